package api

import (
	"context"

	"github.com/google/uuid"

	"tenantry/api/edge"
	apikeysv1 "tenantry/api/gen/tenantry/apikeys/v1"
	"tenantry/internal/apikeys"
)

type serviceAccountsHandler struct{ accounts *apikeys.Service }

func (h *serviceAccountsHandler) CreateServiceAccount(ctx context.Context, req *apikeysv1.CreateServiceAccountRequest) (*apikeysv1.ServiceAccount, error) {
	call := edge.From(ctx)
	roles, err := parseIDs("role_ids", req.GetRoleIds())
	if err != nil {
		return nil, err
	}
	in := apikeys.AccountInput{Name: req.GetName(), Description: req.GetDescription(), Roles: roles}
	a, err := h.accounts.CreateAccount(ctx, call.Lease, in, call.Member(), mark(call, serviceAccountMessage))
	if err != nil {
		return nil, err
	}
	return serviceAccountMessage(a), nil
}

func (h *serviceAccountsHandler) GetServiceAccount(ctx context.Context, req *apikeysv1.GetServiceAccountRequest) (*apikeysv1.ServiceAccount, error) {
	id, err := parseID("id", req.GetId())
	if err != nil {
		return nil, err
	}
	a, err := h.accounts.GetAccount(ctx, edge.From(ctx).Lease, id)
	if err != nil {
		return nil, err
	}
	return serviceAccountMessage(a), nil
}

func (h *serviceAccountsHandler) ListServiceAccounts(ctx context.Context, req *apikeysv1.ListServiceAccountsRequest) (*apikeysv1.ListServiceAccountsResponse, error) {
	in := listRequest(req)
	found, err := h.accounts.ListAccounts(ctx, edge.From(ctx).Lease, in)
	if err != nil {
		return nil, err
	}
	resp := &apikeysv1.ListServiceAccountsResponse{ServiceAccounts: each(found.Items, serviceAccountMessage), NextCursor: found.Next}
	return partial(resp, in, found.Shown), nil
}

func (h *serviceAccountsHandler) UpdateServiceAccount(ctx context.Context, req *apikeysv1.UpdateServiceAccountRequest) (*apikeysv1.ServiceAccount, error) {
	call := edge.From(ctx)
	id, err := parseID("id", req.GetId())
	if err != nil {
		return nil, err
	}
	in := apikeys.AccountUpdate{ID: id, Version: req.GetVersion(), Name: req.Name, Description: req.Description}
	if req.GetRoles() != nil {
		roles, err := parseIDs("roles.ids", req.GetRoles().GetIds())
		if err != nil {
			return nil, err
		}
		in.Roles = &roles
	}
	a, err := h.accounts.UpdateAccount(ctx, call.Lease, in, call.Member(), mark(call, serviceAccountMessage))
	if err != nil {
		return nil, err
	}
	return serviceAccountMessage(a), nil
}

func (h *serviceAccountsHandler) DeleteServiceAccount(ctx context.Context, req *apikeysv1.DeleteServiceAccountRequest) (*apikeysv1.ServiceAccount, error) {
	call := edge.From(ctx)
	id, err := parseID("id", req.GetId())
	if err != nil {
		return nil, err
	}
	a, err := h.accounts.DeleteAccount(ctx, call.Lease, id, req.GetVersion(), call.Member(), mark(call, serviceAccountMessage))
	if err != nil {
		return nil, err
	}
	return serviceAccountMessage(a), nil
}

func serviceAccountMessage(a apikeys.Account) *apikeysv1.ServiceAccount {
	return &apikeysv1.ServiceAccount{
		Id: a.ID.String(), Name: a.Name, Description: a.Description, RoleIds: each(a.Roles, uuid.UUID.String),
		CreateTime: timestamp(&a.CreatedAt), UpdateTime: timestamp(&a.UpdatedAt), Version: a.Version,
	}
}
