package api

import (
	"context"

	"tenantry/api/edge"
	invitationsv1 "tenantry/api/gen/tenantry/invitations/v1"
	"tenantry/internal/invitations"
)

type invitationsHandler struct{ invitations *invitations.Service }

func (h *invitationsHandler) CreateInvitation(ctx context.Context, req *invitationsv1.CreateInvitationRequest) (*invitationsv1.Invitation, error) {
	call := edge.From(ctx)
	roles, err := parseIDs("role_ids", req.GetRoleIds())
	if err != nil {
		return nil, err
	}
	in := invitations.CreateInput{Email: req.GetEmail(), Roles: roles, Locale: req.GetLocale()}
	inv, err := h.invitations.Create(ctx, call.Lease, call.Member(), in, mark(call, invitationMessage))
	return invitationMessage(inv), err
}

func (h *invitationsHandler) GetInvitation(ctx context.Context, req *invitationsv1.GetInvitationRequest) (*invitationsv1.Invitation, error) {
	call := edge.From(ctx)
	id, err := parseID("id", req.GetId())
	if err != nil {
		return nil, err
	}
	inv, err := h.invitations.Get(ctx, call.Lease, id)
	return invitationMessage(inv), err
}

func (h *invitationsHandler) ListInvitations(ctx context.Context, req *invitationsv1.ListInvitationsRequest) (*invitationsv1.ListInvitationsResponse, error) {
	call := edge.From(ctx)
	in := listRequest(req)
	found, err := h.invitations.List(ctx, call.Lease, in)
	if err != nil {
		return nil, err
	}
	resp := &invitationsv1.ListInvitationsResponse{Invitations: each(found.Items, invitationMessage), NextCursor: found.Next}
	return partial(resp, in, found.Shown), nil
}

func (h *invitationsHandler) ResendInvitation(ctx context.Context, req *invitationsv1.ResendInvitationRequest) (*invitationsv1.Invitation, error) {
	call := edge.From(ctx)
	id, err := parseID("id", req.GetId())
	if err != nil {
		return nil, err
	}
	inv, err := h.invitations.Resend(ctx, call.Lease, call.Member(), id, mark(call, invitationMessage))
	return invitationMessage(inv), err
}

func (h *invitationsHandler) RevokeInvitation(ctx context.Context, req *invitationsv1.RevokeInvitationRequest) (*invitationsv1.Invitation, error) {
	call := edge.From(ctx)
	id, err := parseID("id", req.GetId())
	if err != nil {
		return nil, err
	}
	inv, err := h.invitations.Revoke(ctx, call.Lease, call.Member(), id, mark(call, invitationMessage))
	return invitationMessage(inv), err
}

func (h *invitationsHandler) AcceptInvitation(ctx context.Context, req *invitationsv1.AcceptInvitationRequest) (*invitationsv1.AcceptInvitationResponse, error) {
	call := edge.From(ctx)
	user, err := h.invitations.Accept(ctx, call.Lease, call.Tenant, invitations.AcceptInput{
		Token: req.GetToken(), Name: req.GetName(), Password: req.GetPassword(),
	}, call.Meta())
	if err != nil {
		return nil, err
	}
	return &invitationsv1.AcceptInvitationResponse{UserId: user.String()}, nil
}
