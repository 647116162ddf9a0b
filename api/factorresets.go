package api

import (
	"context"

	"tenantry/api/edge"
	authv1 "tenantry/api/gen/tenantry/auth/v1"
	"tenantry/internal/factors"
	"tenantry/internal/ids"
)

func (h *factorsHandler) RequestFactorReset(ctx context.Context, req *authv1.RequestFactorResetRequest) (*authv1.FactorReset, error) {
	call := edge.From(ctx)
	id, err := parseID("user_id", req.GetUserId())
	if err != nil {
		return nil, err
	}
	r, err := h.factors.RequestReset(ctx, call.Lease, call.Member(), ids.User(id), mark(call, factorResetMessage))
	return factorResetMessage(r), err
}

func (h *factorsHandler) RequestOwnFactorReset(ctx context.Context, req *authv1.RequestOwnFactorResetRequest) (*authv1.FactorReset, error) {
	call := edge.From(ctx)
	r, err := h.factors.RequestOwnReset(ctx, call.Lease, req.GetChallengeToken(), call.Meta())
	return factorResetMessage(r), err
}

func (h *factorsHandler) ListFactorResets(ctx context.Context, req *authv1.ListFactorResetsRequest) (*authv1.ListFactorResetsResponse, error) {
	in := listRequest(req)
	found, err := h.factors.ListResets(ctx, edge.From(ctx).Lease, in)
	if err != nil {
		return nil, err
	}
	resp := &authv1.ListFactorResetsResponse{FactorResets: each(found.Items, factorResetMessage), NextCursor: found.Next}
	return partial(resp, in, found.Shown), nil
}

func (h *factorsHandler) ConfirmFactorReset(ctx context.Context, req *authv1.ConfirmFactorResetRequest) (*authv1.FactorReset, error) {
	call := edge.From(ctx)
	id, err := parseID("id", req.GetId())
	if err != nil {
		return nil, err
	}
	r, err := h.factors.ConfirmReset(ctx, call.Lease, call.Member(), id, mark(call, factorResetMessage))
	return factorResetMessage(r), err
}

func (h *factorsHandler) CancelFactorReset(ctx context.Context, req *authv1.CancelFactorResetRequest) (*authv1.FactorReset, error) {
	call := edge.From(ctx)
	id, err := parseID("id", req.GetId())
	if err != nil {
		return nil, err
	}
	r, err := h.factors.CancelReset(ctx, call.Lease, call.Member(), id, mark(call, factorResetMessage))
	return factorResetMessage(r), err
}

func (h *factorsHandler) ConfirmTenantFactorReset(ctx context.Context, req *authv1.ConfirmTenantFactorResetRequest) (*authv1.FactorReset, error) {
	call := edge.From(ctx)
	tenant, err := parseID("tenant_id", req.GetTenantId())
	if err != nil {
		return nil, err
	}
	id, err := parseID("id", req.GetId())
	if err != nil {
		return nil, err
	}
	by := factors.Operator{Actor: call.Actor(), RequestID: call.RequestID}
	r, err := h.factors.ConfirmResetAsOperator(ctx, ids.Tenant(tenant), id, by, mark(call, factorResetMessage))
	return factorResetMessage(r), err
}
