package api

import (
	"context"
	"time"

	"github.com/google/uuid"

	"tenantry/api/edge"
	apikeysv1 "tenantry/api/gen/tenantry/apikeys/v1"
	"tenantry/internal/apikeys"
)

type apiKeysHandler struct{ keys *apikeys.Service }

func (h *apiKeysHandler) CreateApiKey(ctx context.Context, req *apikeysv1.CreateApiKeyRequest) (*apikeysv1.CreateApiKeyResponse, error) {
	call := edge.From(ctx)
	in := apikeys.CreateInput{
		Name: req.GetName(), Scopes: req.GetScopes(), ExpireDays: int(req.GetExpireDays()), Networks: req.GetAllowedNetworks(),
	}
	if text := req.GetServiceAccountId(); text != "" {
		id, err := parseID("service_account_id", text)
		if err != nil {
			return nil, err
		}
		in.ServiceAccount = &id
	}
	k, secret, err := h.keys.Create(ctx, call.Lease, in, call.Member())
	if err != nil {
		return nil, err
	}
	return &apikeysv1.CreateApiKeyResponse{Key: apiKeyMessage(k), Secret: secret}, nil
}

func (h *apiKeysHandler) GetApiKey(ctx context.Context, req *apikeysv1.GetApiKeyRequest) (*apikeysv1.ApiKey, error) {
	id, err := parseID("id", req.GetId())
	if err != nil {
		return nil, err
	}
	k, err := h.keys.Get(ctx, edge.From(ctx).Lease, id)
	if err != nil {
		return nil, err
	}
	return apiKeyMessage(k), nil
}

func (h *apiKeysHandler) ListApiKeys(ctx context.Context, req *apikeysv1.ListApiKeysRequest) (*apikeysv1.ListApiKeysResponse, error) {
	in := listRequest(req)
	found, err := h.keys.List(ctx, edge.From(ctx).Lease, in)
	if err != nil {
		return nil, err
	}
	resp := &apikeysv1.ListApiKeysResponse{Keys: each(found.Items, apiKeyMessage), NextCursor: found.Next}
	return partial(resp, in, found.Shown), nil
}

func (h *apiKeysHandler) UpdateApiKey(ctx context.Context, req *apikeysv1.UpdateApiKeyRequest) (*apikeysv1.ApiKey, error) {
	call := edge.From(ctx)
	id, err := parseID("id", req.GetId())
	if err != nil {
		return nil, err
	}
	in := apikeys.UpdateInput{ID: id, Version: req.GetVersion(), Name: req.Name, Scopes: req.GetScopes().GetValues()}
	if req.GetAllowedNetworks() != nil {
		networks := req.GetAllowedNetworks().GetValues()
		in.Networks = &networks
	}
	k, err := h.keys.Update(ctx, call.Lease, in, call.Member(), mark(call, apiKeyMessage))
	if err != nil {
		return nil, err
	}
	return apiKeyMessage(k), nil
}

func (h *apiKeysHandler) RotateApiKey(ctx context.Context, req *apikeysv1.RotateApiKeyRequest) (*apikeysv1.RotateApiKeyResponse, error) {
	call := edge.From(ctx)
	id, err := parseID("id", req.GetId())
	if err != nil {
		return nil, err
	}
	in := apikeys.RotateInput{ID: id, Version: req.GetVersion(), Overlap: time.Duration(req.GetOverlapSeconds()) * time.Second}
	k, secret, err := h.keys.Rotate(ctx, call.Lease, in, call.Member())
	if err != nil {
		return nil, err
	}
	return &apikeysv1.RotateApiKeyResponse{Key: apiKeyMessage(k), Secret: secret}, nil
}

func (h *apiKeysHandler) RevokeApiKey(ctx context.Context, req *apikeysv1.RevokeApiKeyRequest) (*apikeysv1.ApiKey, error) {
	call := edge.From(ctx)
	id, err := parseID("id", req.GetId())
	if err != nil {
		return nil, err
	}
	k, err := h.keys.Revoke(ctx, call.Lease, id, call.Member(), mark(call, apiKeyMessage))
	if err != nil {
		return nil, err
	}
	return apiKeyMessage(k), nil
}

func apiKeyMessage(k apikeys.Key) *apikeysv1.ApiKey {
	return &apikeysv1.ApiKey{
		Id: k.ID.String(), Name: k.Name, UserId: idText(k.User), ServiceAccountId: idText(k.ServiceAccount), Scopes: k.Scopes,
		AllowedNetworks: k.Networks, CreateTime: timestamp(&k.CreatedAt), ExpireTime: timestamp(k.ExpiresAt),
		LastUsedTime: timestamp(k.LastUsedAt), RevokeTime: timestamp(k.RevokedAt), PreviousExpireTime: timestamp(k.PreviousExpiresAt),
		Version: k.Version,
	}
}

// idText is empty for an absent id.
func idText(id *uuid.UUID) string {
	if id == nil || *id == uuid.Nil {
		return ""
	}
	return id.String()
}
