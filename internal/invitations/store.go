package invitations

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"tenantry/ent/tenantdb"
	"tenantry/ent/tenantdb/invitation"
	"tenantry/internal/db"
	"tenantry/internal/onetime"
)

type invitationRow struct {
	id, subjectKey uuid.UUID
	email          []byte
	addressHash    []byte
	roles          []uuid.UUID
	locale         string
	at, expires    time.Time
}

func ownerInvited(ctx context.Context, tx db.TenantTx) (bool, error) {
	return tx.Ent().Invitation.Query().Where(invitation.InviterIDIsNil()).Exist(ctx)
}

func insert(ctx context.Context, tx db.TenantTx, r invitationRow, sealedKey []byte) error {
	if err := tx.Ent().SubjectKey.Create().SetID(r.subjectKey).SetSealedKey(sealedKey).SetCreatedAt(r.at).Exec(ctx); err != nil {
		return fmt.Errorf("insert subject key: %w", err)
	}
	err := tx.Ent().Invitation.Create().SetID(r.id).SetSubjectKeyID(r.subjectKey).SetEmail(r.email).SetAddressHash(r.addressHash).
		SetRoleIds(r.roles).SetLocale(r.locale).SetCreatedAt(r.at).SetExpiresAt(r.expires).Exec(ctx)
	if err != nil {
		return fmt.Errorf("insert invitation: %w", err)
	}
	return nil
}

// open reads an invitation that may still be accepted; with lock it stays so
// until the transaction ends.
func open(ctx context.Context, tx db.TenantTx, id uuid.UUID, now time.Time, lock bool) (invitationRow, error) {
	q := tx.Ent().Invitation.Query().Where(invitation.ID(id), invitation.AcceptedAtIsNil(), invitation.RevokedAtIsNil(), invitation.ExpiresAtGT(now))
	if lock {
		q.ForUpdate()
	}
	r, err := q.Only(ctx)
	if tenantdb.IsNotFound(err) {
		return invitationRow{}, onetime.ErrInvalid()
	}
	if err != nil {
		return invitationRow{}, fmt.Errorf("load invitation: %w", err)
	}
	return invitationRow{
		id: r.ID, subjectKey: r.SubjectKeyID, email: r.Email, addressHash: r.AddressHash, roles: r.RoleIds, locale: r.Locale,
		at: r.CreatedAt, expires: r.ExpiresAt,
	}, nil
}

func accepted(ctx context.Context, tx db.TenantTx, id uuid.UUID, now time.Time) error {
	return tx.Ent().Invitation.UpdateOneID(id).SetAcceptedAt(now).Exec(ctx)
}
