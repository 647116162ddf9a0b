package api

import (
	"context"

	"tenantry/api/edge"
	operatorsv1 "tenantry/api/gen/tenantry/operators/v1"
	"tenantry/internal/apperr"
	"tenantry/internal/operators"
)

type operatorsHandler struct{ operators *operators.Service }

func (h *operatorsHandler) CreateOperatorKey(ctx context.Context, req *operatorsv1.CreateOperatorKeyRequest) (*operatorsv1.CreateOperatorKeyResponse, error) {
	call := edge.From(ctx)
	for _, scope := range req.GetScopes() {
		if !call.Operator.Has(scope) {
			return nil, apperr.Newf(apperr.Forbidden, "SCOPE_MISSING", "Your own key lacks the scope %q; nobody grants what they do not hold.", scope).
				WithParams("scope", scope)
		}
	}
	k, text, err := h.operators.Create(ctx, operators.CreateInput{
		Name: req.GetName(), Scopes: req.GetScopes(), ExpireDays: int(req.GetExpireDays()),
	}, call.Actor(), call.RequestID)
	if err != nil {
		return nil, err
	}
	return &operatorsv1.CreateOperatorKeyResponse{Meta: operatorKeyMessage(k), Key: text}, nil
}

func (h *operatorsHandler) ListOperatorKeys(ctx context.Context, req *operatorsv1.ListOperatorKeysRequest) (*operatorsv1.ListOperatorKeysResponse, error) {
	in := listRequest(req)
	found, err := h.operators.List(ctx, in)
	if err != nil {
		return nil, err
	}
	resp := &operatorsv1.ListOperatorKeysResponse{Keys: each(found.Items, operatorKeyMessage), NextCursor: found.Next}
	return partial(resp, in, found.Shown), nil
}

func (h *operatorsHandler) RevokeOperatorKey(ctx context.Context, req *operatorsv1.RevokeOperatorKeyRequest) (*operatorsv1.RevokeOperatorKeyResponse, error) {
	call := edge.From(ctx)
	id, err := parseID("id", req.GetId())
	if err != nil {
		return nil, err
	}
	answer := func(struct{}) *operatorsv1.RevokeOperatorKeyResponse { return &operatorsv1.RevokeOperatorKeyResponse{} }
	return answer(struct{}{}), h.operators.Revoke(ctx, id, call.Actor(), call.RequestID, mark(call, answer))
}

func operatorKeyMessage(k operators.Key) *operatorsv1.OperatorKey {
	return &operatorsv1.OperatorKey{
		Id: k.ID.String(), Name: k.Name, Scopes: k.Scopes,
		CreateTime: timestamp(&k.CreatedAt), ExpireTime: timestamp(&k.ExpiresAt), RevokeTime: timestamp(k.RevokedAt),
	}
}
