package api

import (
	"context"

	"tenantry/api/edge"
	rolesv1 "tenantry/api/gen/tenantry/roles/v1"
	"tenantry/internal/rbac"
)

type rolesHandler struct{ roles *rbac.Service }

func (h *rolesHandler) CreateRole(ctx context.Context, req *rolesv1.CreateRoleRequest) (*rolesv1.Role, error) {
	call := edge.From(ctx)
	in := rbac.CreateInput{Name: req.GetName(), Description: req.GetDescription(), Permissions: req.GetPermissions()}
	r, err := h.roles.Create(ctx, call.Lease, call.Member(), in, mark(call, roleMessage))
	return roleMessage(r), err
}

func (h *rolesHandler) GetRole(ctx context.Context, req *rolesv1.GetRoleRequest) (*rolesv1.Role, error) {
	call := edge.From(ctx)
	id, err := parseID("id", req.GetId())
	if err != nil {
		return nil, err
	}
	r, err := h.roles.Get(ctx, call.Lease, id)
	return roleMessage(r), err
}

func (h *rolesHandler) ListRoles(ctx context.Context, req *rolesv1.ListRolesRequest) (*rolesv1.ListRolesResponse, error) {
	call := edge.From(ctx)
	in := listRequest(req)
	found, err := h.roles.List(ctx, call.Lease, in)
	if err != nil {
		return nil, err
	}
	resp := &rolesv1.ListRolesResponse{Roles: each(found.Items, roleMessage), NextCursor: found.Next}
	return partial(resp, in, found.Shown), nil
}

func (h *rolesHandler) UpdateRole(ctx context.Context, req *rolesv1.UpdateRoleRequest) (*rolesv1.Role, error) {
	call := edge.From(ctx)
	id, err := parseID("id", req.GetId())
	if err != nil {
		return nil, err
	}
	in := rbac.UpdateInput{ID: id, Version: req.GetVersion(), Name: req.Name, Description: req.Description}
	if set := req.GetPermissions(); set != nil {
		in.Permissions = whole(set.GetValues())
	}
	r, err := h.roles.Update(ctx, call.Lease, call.Member(), in, mark(call, roleMessage))
	return roleMessage(r), err
}

func (h *rolesHandler) DeleteRole(ctx context.Context, req *rolesv1.DeleteRoleRequest) (*rolesv1.DeleteRoleResponse, error) {
	call := edge.From(ctx)
	id, err := parseID("id", req.GetId())
	if err != nil {
		return nil, err
	}
	err = h.roles.Delete(ctx, call.Lease, call.Member(), id, req.GetVersion(), mark(call, deletedRole))
	return deletedRole(struct{}{}), err
}
