package invitations

import (
	"context"
	"time"

	"github.com/google/uuid"

	"tenantry/internal/apperr"
	"tenantry/internal/audit"
	"tenantry/internal/db"
	"tenantry/internal/rbac"
	"tenantry/internal/subjects"
)

// InviteOwnerAgain takes the owner's open invitation back and writes another,
// to email or, where it is empty, to the address of the one before (U8). id
// names it: a repetition finds it and does nothing. Where an owner has joined,
// nothing is written and the reason is OWNER_PRESENT.
func InviteOwnerAgain(ctx context.Context, tx db.TenantTx, id uuid.UUID, email string, now time.Time) error {
	owner, err := rbac.RoleID(ctx, tx, rbac.Owner)
	if err != nil {
		return err
	}
	// Locked, so that one that is being accepted is accepted or revoked.
	before, err := lockOwnerInvitations(ctx, tx, owner)
	if err != nil {
		return err
	}
	for _, inv := range before {
		if inv.id == id {
			return nil
		}
	}
	present, err := ownerPresent(ctx, tx, owner)
	if err != nil {
		return err
	}
	if present {
		return apperr.New(apperr.Precondition, "OWNER_PRESENT", "The organization has an owner, who can invite others.")
	}
	if email == "" {
		if email, err = lastAddress(ctx, tx, before); err != nil {
			return err
		}
	}
	for _, inv := range before {
		if inv.ended {
			continue
		}
		if err := revokeOwners(ctx, tx, inv.id, now); err != nil {
			return err
		}
		if err := audit.Write(ctx, tx, now, audit.Entry{
			Actor: audit.System, Action: "invitation.revoked", TargetKind: "invitation", TargetID: inv.id, TenantID: tx.Tenant(),
			After: map[string]any{"replaced_by": id},
		}); err != nil {
			return err
		}
	}
	err = inviteOwner(ctx, tx, id, email, now)
	if db.IsUnique(err, "") {
		return apperr.New(apperr.AlreadyExists, "INVITATION_EXISTS", "The address has an open invitation to another role.")
	}
	return err
}

// lastAddress opens the address of the newest invitation.
func lastAddress(ctx context.Context, tx db.TenantTx, before []ownerInvitation) (string, error) {
	if len(before) == 0 {
		return "", apperr.New(apperr.NotFound, "INVITATION_NOT_FOUND", "No owner has been invited; name the address.")
	}
	k, err := subjects.Key(ctx, tx, before[0].subjectKey)
	if err != nil {
		return "", err
	}
	return k.Open(before[0].email, sealEmail)
}
