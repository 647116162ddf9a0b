package auth

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"tenantry/ent/tenantdb"
	"tenantry/ent/tenantdb/user"
	"tenantry/internal/db"
)

// findByID answers the account of somebody who is logged in, with the keyed
// hash of its address.
func findByID(ctx context.Context, l *db.Lease, id uuid.UUID) (account, []byte, error) {
	type found struct {
		account account
		address string
	}
	r, err := db.InTenantRead(ctx, l, func(tx db.TenantTx) (found, error) {
		u, err := tx.Ent().User.Query().Where(user.ID(id), user.DeletedAtIsNil()).Only(ctx)
		if tenantdb.IsNotFound(err) {
			return found{}, errLogin()
		}
		if err != nil {
			return found{}, fmt.Errorf("find account: %w", err)
		}
		return found{account{id: u.ID, passwordHash: u.PasswordHash, revision: u.Revision}, u.EmailNormalized}, nil
	})
	return r.account, l.Key.AddressHash(r.address), err
}

// setFactorDue moves a person's date from what it was read as, and reports
// whether it did. Somebody else who holds the account at the moment goes
// first and is not waited for: the next sign of life moves it.
func setFactorDue(ctx context.Context, tx db.TenantTx, id uuid.UUID, from, to *time.Time) (bool, error) {
	r, err := tx.SQL().ExecContext(ctx, `
		UPDATE users SET factor_due_at = $3 WHERE id = (
			SELECT id FROM users WHERE id = $1 AND factor_due_at IS NOT DISTINCT FROM $2::timestamptz FOR NO KEY UPDATE SKIP LOCKED)`, id, from, to)
	if err != nil {
		return false, fmt.Errorf("set factor due: %w", err)
	}
	n, err := r.RowsAffected()
	return n == 1, err
}

func holdsAny(ctx context.Context, tx db.TenantTx, user uuid.UUID, roles []uuid.UUID) (holds bool, err error) {
	texts := make([]string, len(roles))
	for i, r := range roles {
		texts[i] = r.String()
	}
	err = tx.SQL().QueryRowContext(ctx, `
		SELECT EXISTS (SELECT FROM user_roles WHERE user_id = $1 AND role_id = ANY ($2::uuid[]))`, user, texts).Scan(&holds)
	if err != nil {
		return false, fmt.Errorf("roles that require a factor: %w", err)
	}
	return holds, nil
}
