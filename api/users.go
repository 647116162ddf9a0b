package api

import (
	"context"

	"tenantry/api/edge"
	usersv1 "tenantry/api/gen/tenantry/users/v1"
	"tenantry/internal/ids"
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

func (h *usersHandler) GetUser(ctx context.Context, req *usersv1.GetUserRequest) (*usersv1.User, error) {
	call := edge.From(ctx)
	id, err := parseID("id", req.GetId())
	if err != nil {
		return nil, err
	}
	u, err := h.users.Get(ctx, call.Lease, ids.User(id))
	return userMessage(u), err
}

func (h *usersHandler) UpdateUser(ctx context.Context, req *usersv1.UpdateUserRequest) (*usersv1.User, error) {
	call := edge.From(ctx)
	id, err := parseID("id", req.GetId())
	if err != nil {
		return nil, err
	}
	in := users.UpdateInput{ID: ids.User(id), Version: req.GetVersion(), Name: req.Name, Locale: req.Locale}
	u, err := h.users.Update(ctx, call.Lease, call.Member(), in, mark(call, userMessage))
	return userMessage(u), err
}

func (h *usersHandler) DeleteUser(ctx context.Context, req *usersv1.DeleteUserRequest) (*usersv1.User, error) {
	call := edge.From(ctx)
	id, err := parseID("id", req.GetId())
	if err != nil {
		return nil, err
	}
	u, err := h.users.Delete(ctx, call.Lease, call.Member(), ids.User(id), req.GetVersion(), mark(call, userMessage))
	return userMessage(u), err
}

func (h *usersHandler) RestoreUser(ctx context.Context, req *usersv1.RestoreUserRequest) (*usersv1.User, error) {
	call := edge.From(ctx)
	id, err := parseID("id", req.GetId())
	if err != nil {
		return nil, err
	}
	u, err := h.users.Restore(ctx, call.Lease, call.Member(), ids.User(id), mark(call, userMessage))
	return userMessage(u), err
}

func (h *usersHandler) SetUserRoles(ctx context.Context, req *usersv1.SetUserRolesRequest) (*usersv1.User, error) {
	call := edge.From(ctx)
	id, err := parseID("id", req.GetId())
	if err != nil {
		return nil, err
	}
	roles, err := parseIDs("role_ids", req.GetRoleIds())
	if err != nil {
		return nil, err
	}
	in := users.SetRolesInput{ID: ids.User(id), Version: req.GetVersion(), Roles: roles}
	u, err := h.users.SetRoles(ctx, call.Lease, call.Member(), in, mark(call, userMessage))
	return userMessage(u), err
}
