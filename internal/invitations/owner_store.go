package invitations

import (
	"context"
	"fmt"
	"slices"
	"time"

	"entgo.io/ent/dialect/sql"
	"github.com/google/uuid"

	"tenantry/ent/tenantdb/invitation"
	"tenantry/ent/tenantdb/user"
	"tenantry/ent/tenantdb/userrole"
	"tenantry/internal/db"
)

// ownerInvitation is one of the owner's invitations; ended ones were accepted
// or taken back.
type ownerInvitation struct {
	id, subjectKey uuid.UUID
	email          []byte
	ended          bool
}

// lockOwnerInvitations answers the owner's invitations, the newest first, and
// holds them until the transaction ends.
func lockOwnerInvitations(ctx context.Context, tx db.TenantTx, owner uuid.UUID) ([]ownerInvitation, error) {
	rows, err := tx.Ent().Invitation.Query().Where(invitation.InviterIDIsNil()).
		Order(invitation.ByCreatedAt(sql.OrderDesc()), invitation.ByID(sql.OrderDesc())).ForUpdate().All(ctx)
	if err != nil {
		return nil, fmt.Errorf("lock owner invitations: %w", err)
	}
	var out []ownerInvitation
	for _, r := range rows {
		if slices.Contains(r.RoleIds, owner) {
			out = append(out, ownerInvitation{
				id: r.ID, subjectKey: r.SubjectKeyID, email: r.Email, ended: r.AcceptedAt != nil || r.RevokedAt != nil,
			})
		}
	}
	return out, nil
}

func ownerPresent(ctx context.Context, tx db.TenantTx, owner uuid.UUID) (bool, error) {
	found, err := tx.Ent().User.Query().Where(user.DeletedAtIsNil(), user.HasUserRolesWith(userrole.RoleID(owner))).Exist(ctx)
	if err != nil {
		return false, fmt.Errorf("find owner: %w", err)
	}
	return found, nil
}

func revokeOwners(ctx context.Context, tx db.TenantTx, id uuid.UUID, now time.Time) error {
	return tx.Ent().Invitation.UpdateOneID(id).SetRevokedAt(now).AddVersion(1).Exec(ctx)
}
