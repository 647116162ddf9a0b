package invitations

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"tenantry/ent/tenantdb"
	"tenantry/ent/tenantdb/invitation"
	"tenantry/ent/tenantdb/subjectkey"
	"tenantry/ent/tenantdb/user"
	"tenantry/internal/apperr"
	"tenantry/internal/db"
	"tenantry/internal/onetime"
	"tenantry/internal/secrets"
)

type invitationRow struct {
	id, subjectKey uuid.UUID
	email          []byte
	addressHash    []byte
	roles          []uuid.UUID
	// inviter is nil in the first owner's invitation.
	inviter           *uuid.UUID
	locale            string
	at, expires       time.Time
	accepted, revoked *time.Time
	version           int64
}

// ended reports whether nothing can come of it any more; an expired one can
// be sent again.
func (r invitationRow) ended() bool { return r.accepted != nil || r.revoked != nil }

func ownerInvited(ctx context.Context, tx db.TenantTx) (bool, error) {
	return tx.Ent().Invitation.Query().Where(invitation.InviterIDIsNil()).Exist(ctx)
}

func insert(ctx context.Context, tx db.TenantTx, r invitationRow, sealedKey []byte) error {
	if err := tx.Ent().SubjectKey.Create().SetID(r.subjectKey).SetSealedKey(sealedKey).SetCreatedAt(r.at).Exec(ctx); err != nil {
		return fmt.Errorf("insert subject key: %w", err)
	}
	err := tx.Ent().Invitation.Create().SetID(r.id).SetSubjectKeyID(r.subjectKey).SetEmail(r.email).SetAddressHash(r.addressHash).
		SetRoleIds(r.roles).SetNillableInviterID(r.inviter).SetLocale(r.locale).SetCreatedAt(r.at).SetExpiresAt(r.expires).Exec(ctx)
	if err != nil {
		return fmt.Errorf("insert invitation: %w", err)
	}
	return nil
}

func toRow(r *tenantdb.Invitation) invitationRow {
	return invitationRow{
		id: r.ID, subjectKey: r.SubjectKeyID, email: r.Email, addressHash: r.AddressHash, roles: r.RoleIds, inviter: r.InviterID,
		locale: r.Locale, at: r.CreatedAt, expires: r.ExpiresAt, accepted: r.AcceptedAt, revoked: r.RevokedAt, version: r.Version,
	}
}

// open reads an invitation that may still be accepted; with lock it stays so
// until the transaction ends.
func open(ctx context.Context, tx db.TenantTx, id uuid.UUID, now time.Time, lock bool) (invitationRow, error) {
	r, err := load(ctx, tx, id, lock)
	if apperr.KindOf(err) == apperr.NotFound || (err == nil && (r.ended() || !r.expires.After(now))) {
		return invitationRow{}, onetime.ErrInvalid()
	}
	return r, err
}

// load reads an invitation in any state.
func load(ctx context.Context, tx db.TenantTx, id uuid.UUID, lock bool) (invitationRow, error) {
	q := tx.Ent().Invitation.Query().Where(invitation.ID(id))
	if lock {
		q.ForUpdate()
	}
	r, err := q.Only(ctx)
	if tenantdb.IsNotFound(err) {
		return invitationRow{}, apperr.New(apperr.NotFound, "INVITATION_NOT_FOUND", "id: there is no such invitation here.")
	}
	if err != nil {
		return invitationRow{}, fmt.Errorf("load invitation: %w", err)
	}
	return toRow(r), nil
}

// waiting locks the invitation of an address that has not ended; nil when
// there is none.
func waiting(ctx context.Context, tx db.TenantTx, addressHash []byte) (*invitationRow, error) {
	r, err := tx.Ent().Invitation.Query().
		Where(invitation.AddressHash(addressHash), invitation.AcceptedAtIsNil(), invitation.RevokedAtIsNil()).ForUpdate().Only(ctx)
	if tenantdb.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look for invitation: %w", err)
	}
	row := toRow(r)
	return &row, nil
}

// subjectKeys opens the keys of the people that rows are about, in one
// statement; an erased person's is missing.
func subjectKeys(ctx context.Context, tx db.TenantTx, rows []invitationRow) (map[uuid.UUID]secrets.SubjectKey, error) {
	wanted := make([]uuid.UUID, len(rows))
	for i, r := range rows {
		wanted[i] = r.subjectKey
	}
	found, err := tx.Ent().SubjectKey.Query().Where(subjectkey.IDIn(wanted...)).All(ctx)
	if err != nil {
		return nil, fmt.Errorf("load subject keys: %w", err)
	}
	keys := map[uuid.UUID]secrets.SubjectKey{}
	for _, k := range found {
		if keys[k.ID], err = secrets.OpenSubjectKey(tx.DataKey(), k.ID, k.SealedKey); err != nil {
			return nil, err
		}
	}
	return keys, nil
}

func accepted(ctx context.Context, tx db.TenantTx, id uuid.UUID, now time.Time) error {
	return tx.Ent().Invitation.UpdateOneID(id).SetAcceptedAt(now).AddVersion(1).Exec(ctx)
}

func setRevoked(ctx context.Context, tx db.TenantTx, id uuid.UUID, now time.Time) error {
	if err := tx.Ent().Invitation.UpdateOneID(id).SetRevokedAt(now).AddVersion(1).Exec(ctx); err != nil {
		return fmt.Errorf("revoke invitation: %w", err)
	}
	return nil
}

func setExpiry(ctx context.Context, tx db.TenantTx, id uuid.UUID, expires time.Time) error {
	if err := tx.Ent().Invitation.UpdateOneID(id).SetExpiresAt(expires).AddVersion(1).Exec(ctx); err != nil {
		return fmt.Errorf("extend invitation: %w", err)
	}
	return nil
}

// account is whose an address is; the zero value stands for nobody's.
type account struct {
	id      uuid.UUID
	deleted bool
}

func accountOf(ctx context.Context, tx db.TenantTx, email string) (account, error) {
	u, err := tx.Ent().User.Query().Where(user.EmailNormalized(secrets.NormalizeEmail(email))).Select(user.FieldID, user.FieldDeletedAt).Only(ctx)
	if tenantdb.IsNotFound(err) {
		return account{}, nil
	}
	if err != nil {
		return account{}, fmt.Errorf("look for account: %w", err)
	}
	return account{id: u.ID, deleted: u.DeletedAt != nil}, nil
}

// keyOwner answers the service account that an API key acts for.
func keyOwner(ctx context.Context, tx db.TenantTx, key uuid.UUID) (uuid.UUID, error) {
	k, err := tx.Ent().APIKey.Get(ctx, key)
	if err != nil {
		return uuid.Nil, fmt.Errorf("load key: %w", err)
	}
	if k.ServiceAccountID == nil {
		return uuid.Nil, fmt.Errorf("key %s acts for no service account", key)
	}
	return *k.ServiceAccountID, nil
}
