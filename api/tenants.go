package api

import (
	"context"

	"tenantry/api/edge"
	operationsv1 "tenantry/api/gen/tenantry/operations/v1"
	tenantsv1 "tenantry/api/gen/tenantry/tenants/v1"
	"tenantry/internal/ids"
	"tenantry/internal/tenants"
)

type tenantsHandler struct {
	tenants *tenants.Service
	urls    tenants.URLs
}

func (h *tenantsHandler) CreateTenant(ctx context.Context, req *tenantsv1.CreateTenantRequest) (*operationsv1.Operation, error) {
	call := edge.From(ctx)
	op, err := h.tenants.Reserve(ctx, reserveInput(req), requester(call), mark(call, operationMessage))
	return operationMessage(op), err
}

func (h *tenantsHandler) GetTenant(ctx context.Context, req *tenantsv1.GetTenantRequest) (*tenantsv1.Tenant, error) {
	id, err := parseID("id", req.GetId())
	if err != nil {
		return nil, err
	}
	t, err := h.tenants.Get(ctx, ids.Tenant(id))
	return tenantMessage(t, h.urls), err
}

func (h *tenantsHandler) ListTenants(ctx context.Context, req *tenantsv1.ListTenantsRequest) (*tenantsv1.ListTenantsResponse, error) {
	in := listRequest(req)
	found, err := h.tenants.List(ctx, in)
	if err != nil {
		return nil, err
	}
	convert := func(t tenants.Tenant) *tenantsv1.Tenant { return tenantMessage(t, h.urls) }
	resp := &tenantsv1.ListTenantsResponse{Tenants: each(found.Items, convert), NextCursor: found.Next}
	return partial(resp, in, found.Shown), nil
}

func (h *tenantsHandler) SuspendTenant(ctx context.Context, req *tenantsv1.SuspendTenantRequest) (*operationsv1.Operation, error) {
	call := edge.From(ctx)
	id, err := parseID("id", req.GetId())
	if err != nil {
		return nil, err
	}
	op, err := h.tenants.Suspend(ctx, ids.Tenant(id), requester(call), mark(call, operationMessage))
	return operationMessage(op), err
}

func (h *tenantsHandler) ResumeTenant(ctx context.Context, req *tenantsv1.ResumeTenantRequest) (*operationsv1.Operation, error) {
	call := edge.From(ctx)
	id, err := parseID("id", req.GetId())
	if err != nil {
		return nil, err
	}
	op, err := h.tenants.Resume(ctx, ids.Tenant(id), requester(call), mark(call, operationMessage))
	return operationMessage(op), err
}

func (h *tenantsHandler) InviteTenantOwner(ctx context.Context, req *tenantsv1.InviteTenantOwnerRequest) (*operationsv1.Operation, error) {
	call := edge.From(ctx)
	id, err := parseID("id", req.GetId())
	if err != nil {
		return nil, err
	}
	op, err := h.tenants.InviteOwner(ctx, ids.Tenant(id), req.GetOwnerEmail(), requester(call), mark(call, operationMessage))
	return operationMessage(op), err
}

func (h *tenantsHandler) SetTenantLimits(ctx context.Context, req *tenantsv1.SetTenantLimitsRequest) (*operationsv1.Operation, error) {
	call := edge.From(ctx)
	id, err := parseID("id", req.GetId())
	if err != nil {
		return nil, err
	}
	in := tenants.LimitsInput{MaxUsers: int(req.GetMaxUsers()), Version: req.GetVersion()}
	op, err := h.tenants.SetLimits(ctx, ids.Tenant(id), in, requester(call), mark(call, operationMessage))
	return operationMessage(op), err
}

func requester(call *edge.Call) tenants.Requester {
	return tenants.Requester{Actor: call.Actor(), RequestID: call.RequestID}
}
