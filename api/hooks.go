package api

import (
	"context"

	"tenantry/api/edge"
	hooksv1 "tenantry/api/gen/tenantry/hooks/v1"
	"tenantry/internal/hooks"
)

type hooksHandler struct{ hooks *hooks.Service }

func (h *hooksHandler) CreateHookSource(ctx context.Context, req *hooksv1.CreateHookSourceRequest) (*hooksv1.CreateHookSourceResponse, error) {
	call := edge.From(ctx)
	src, secret, key, err := h.hooks.CreateSource(ctx, req.GetSource(), req.GetCallbackUrl(), call.Actor(), call.RequestID)
	if err != nil {
		return nil, err
	}
	return &hooksv1.CreateHookSourceResponse{Source: hookSourceMessage(src), Secret: secret, OperatorKey: key}, nil
}

func (h *hooksHandler) ListHookSources(ctx context.Context, req *hooksv1.ListHookSourcesRequest) (*hooksv1.ListHookSourcesResponse, error) {
	in := listRequest(req)
	found, err := h.hooks.ListSources(ctx, in)
	if err != nil {
		return nil, err
	}
	resp := &hooksv1.ListHookSourcesResponse{Sources: each(found.Items, hookSourceMessage), NextCursor: found.Next}
	return partial(resp, in, found.Shown), nil
}

func (h *hooksHandler) AddHookSecret(ctx context.Context, req *hooksv1.AddHookSecretRequest) (*hooksv1.AddHookSecretResponse, error) {
	call := edge.From(ctx)
	meta, secret, err := h.hooks.AddSecret(ctx, req.GetSource(), call.Actor(), call.RequestID)
	if err != nil {
		return nil, err
	}
	return &hooksv1.AddHookSecretResponse{Meta: hookSecretMessage(meta), Secret: secret}, nil
}

func (h *hooksHandler) RetireHookSecret(ctx context.Context, req *hooksv1.RetireHookSecretRequest) (*hooksv1.RetireHookSecretResponse, error) {
	call := edge.From(ctx)
	id, err := parseID("secret_id", req.GetSecretId())
	if err != nil {
		return nil, err
	}
	answer := func(struct{}) *hooksv1.RetireHookSecretResponse { return &hooksv1.RetireHookSecretResponse{} }
	return answer(struct{}{}), h.hooks.RetireSecret(ctx, req.GetSource(), id, call.Actor(), call.RequestID, mark(call, answer))
}

func hookSourceMessage(src hooks.Source) *hooksv1.HookSource {
	return &hooksv1.HookSource{
		Source: src.Name, CallbackUrl: src.CallbackURL, CreateTime: timestamp(&src.CreatedAt), Secrets: each(src.Secrets, hookSecretMessage),
	}
}

func hookSecretMessage(k hooks.Secret) *hooksv1.HookSecret {
	return &hooksv1.HookSecret{Id: k.ID.String(), CreateTime: timestamp(&k.CreatedAt), RetireTime: timestamp(k.RetiredAt)}
}
