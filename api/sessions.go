package api

import (
	"context"

	"tenantry/api/edge"
	authv1 "tenantry/api/gen/tenantry/auth/v1"
	"tenantry/internal/auth"
)

type sessionsHandler struct{ auth *auth.Service }

func (h *sessionsHandler) ListSessions(ctx context.Context, req *authv1.ListSessionsRequest) (*authv1.ListSessionsResponse, error) {
	call, in := edge.From(ctx), listRequest(req)
	found, err := h.auth.ListSessions(ctx, call.Lease, call.User, in)
	if err != nil {
		return nil, err
	}
	resp := &authv1.ListSessionsResponse{Sessions: each(found.Items, sessionMessage), NextCursor: found.Next}
	return partial(resp, in, found.Shown), nil
}

func (h *sessionsHandler) RevokeSession(ctx context.Context, req *authv1.RevokeSessionRequest) (*authv1.RevokeSessionResponse, error) {
	call := edge.From(ctx)
	id, err := parseID("id", req.GetId())
	if err != nil {
		return nil, err
	}
	resp := &authv1.RevokeSessionResponse{}
	return resp, h.auth.RevokeSession(ctx, call.Lease, call.User, id, call.Meta(), mark(call, func(struct{}) *authv1.RevokeSessionResponse { return resp }))
}

func (h *sessionsHandler) RevokeAllSessions(ctx context.Context, _ *authv1.RevokeAllSessionsRequest) (*authv1.RevokeAllSessionsResponse, error) {
	call := edge.From(ctx)
	n, err := h.auth.RevokeAllSessions(ctx, call.Lease, call.User, call.Meta(), mark(call, revokedAll))
	if err != nil {
		return nil, err
	}
	return revokedAll(n), nil
}

func revokedAll(n int) *authv1.RevokeAllSessionsResponse {
	return &authv1.RevokeAllSessionsResponse{Revoked: int32(n)} //nolint:gosec // a person's sessions
}

func sessionMessage(s auth.Session) *authv1.Session {
	return &authv1.Session{
		Id: s.ID.String(), Device: s.Device, Current: s.Current, AuthenticateTime: timestamp(&s.AuthenticatedAt), Amr: s.AMR,
		Aal:        int32(s.AAL), //nolint:gosec // 1 or 2
		CreateTime: timestamp(&s.CreatedAt), LastUsedTime: timestamp(&s.LastUsedAt), ExpireTime: timestamp(&s.ExpiresAt),
	}
}
