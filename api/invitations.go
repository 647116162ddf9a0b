package api

import (
	"context"

	"tenantry/api/edge"
	invitationsv1 "tenantry/api/gen/tenantry/invitations/v1"
	"tenantry/internal/invitations"
)

type invitationsHandler struct{ invitations *invitations.Service }

func (h *invitationsHandler) AcceptInvitation(ctx context.Context, req *invitationsv1.AcceptInvitationRequest) (*invitationsv1.AcceptInvitationResponse, error) {
	call := edge.From(ctx)
	user, err := h.invitations.Accept(ctx, call.Lease, invitations.AcceptInput{
		Token: req.GetToken(), Name: req.GetName(), Password: req.GetPassword(),
	}, call.Meta())
	if err != nil {
		return nil, err
	}
	return &invitationsv1.AcceptInvitationResponse{UserId: user.String()}, nil
}
