package api

import (
	"context"

	"tenantry/api/edge"
	usersv1 "tenantry/api/gen/tenantry/users/v1"
	"tenantry/internal/users"
)

type usersHandler struct{ users *users.Service }

func (h *usersHandler) GetMe(ctx context.Context, _ *usersv1.GetMeRequest) (*usersv1.GetMeResponse, error) {
	// The principal was loaded a moment ago: nothing more is asked.
	return meMessage(edge.From(ctx).User), nil
}

func (h *usersHandler) ListUsers(ctx context.Context, req *usersv1.ListUsersRequest) (*usersv1.ListUsersResponse, error) {
	call := edge.From(ctx)
	in := listRequest(req)
	found, err := h.users.List(ctx, call.Lease, in)
	if err != nil {
		return nil, err
	}
	resp := &usersv1.ListUsersResponse{Users: each(found.Items, userMessage), NextCursor: found.Next}
	return partial(resp, in, found.Shown), nil
}
