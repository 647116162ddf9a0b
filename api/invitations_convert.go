package api

import (
	"github.com/google/uuid"

	invitationsv1 "tenantry/api/gen/tenantry/invitations/v1"
	"tenantry/internal/invitations"
)

var invitationStates = map[string]invitationsv1.InvitationState{
	invitations.Open:     invitationsv1.InvitationState_INVITATION_STATE_OPEN,
	invitations.Expired:  invitationsv1.InvitationState_INVITATION_STATE_EXPIRED,
	invitations.Accepted: invitationsv1.InvitationState_INVITATION_STATE_ACCEPTED,
	invitations.Revoked:  invitationsv1.InvitationState_INVITATION_STATE_REVOKED,
}

func invitationMessage(i invitations.Invitation) *invitationsv1.Invitation {
	m := &invitationsv1.Invitation{
		Id: i.ID.String(), Email: i.Email, RoleIds: each(i.Roles, uuid.UUID.String), State: invitationStates[i.State], Locale: i.Locale,
		CreateTime: timestamp(&i.CreatedAt), ExpireTime: timestamp(&i.ExpiresAt), AcceptTime: timestamp(i.AcceptedAt),
		RevokeTime: timestamp(i.RevokedAt), Version: i.Version,
	}
	if i.Inviter != nil {
		m.InviterId = i.Inviter.String()
	}
	return m
}
