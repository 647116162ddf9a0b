package auth

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"tenantry/internal/db"
	"tenantry/internal/secrets"
)

// Account is whom a mail goes to.
type Account struct {
	ID         uuid.UUID
	SubjectKey uuid.UUID
	Email      string
	Locale     string
}

// AccountByHash answers the account of an address that is known only by its
// keyed hash, nil where there is none or it is deleted. It runs in the worker:
// accounts of an older release get their hashes first, so that none is
// silently never found.
func AccountByHash(ctx context.Context, tx db.TenantTx, addressHash []byte) (*Account, error) {
	if err := fillAddressHashes(ctx, tx); err != nil {
		return nil, err
	}
	return oneAccount(ctx, tx, `address_hash = $1`, addressHash)
}

// AccountByID is AccountByHash for an account that is known by its id.
func AccountByID(ctx context.Context, tx db.TenantTx, id uuid.UUID) (*Account, error) {
	return oneAccount(ctx, tx, `id = $1`, id)
}

// oneAccount shares the lock: a link is minted for the address that is valid
// when the mail is written, and whoever changes it then ends the link.
func oneAccount(ctx context.Context, tx db.TenantTx, where string, arg any) (*Account, error) {
	var a Account
	err := tx.SQL().QueryRowContext(ctx, `SELECT id, subject_key_id, email, locale FROM users WHERE deleted_at IS NULL AND `+where+` FOR SHARE`, arg).
		Scan(&a.ID, &a.SubjectKey, &a.Email, &a.Locale)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("find account: %w", err)
	}
	return &a, nil
}

// hashBatch is how many accounts get their hash at a time.
const hashBatch = 500

// fillAddressHashes gives each account without a hash its own; that is a look
// into an index once all have one.
func fillAddressHashes(ctx context.Context, tx db.TenantTx) error {
	for {
		n, err := fillBatch(ctx, tx)
		if err != nil || n < hashBatch {
			return err
		}
	}
}

func fillBatch(ctx context.Context, tx db.TenantTx) (int, error) {
	rows, err := tx.SQL().QueryContext(ctx, `SELECT id, email FROM users WHERE address_hash IS NULL ORDER BY id LIMIT $1 FOR UPDATE`, hashBatch)
	if err != nil {
		return 0, fmt.Errorf("find accounts without a hash: %w", err)
	}
	defer func() { _ = rows.Close() }()
	type missing struct {
		id    uuid.UUID
		email string
	}
	var found []missing
	for rows.Next() {
		var m missing
		if err := rows.Scan(&m.id, &m.email); err != nil {
			return 0, fmt.Errorf("scan account without a hash: %w", err)
		}
		found = append(found, m)
	}
	if err := rows.Err(); err != nil {
		return 0, fmt.Errorf("find accounts without a hash: %w", err)
	}
	for _, m := range found {
		_, err := tx.SQL().ExecContext(ctx, `UPDATE users SET address_hash = $2 WHERE id = $1`, m.id, tx.DataKey().AddressHash(m.email))
		if err != nil {
			return 0, fmt.Errorf("give an account its hash: %w", err)
		}
	}
	return len(found), nil
}

// AddressTaken reports whether another account, deleted or not, has an address.
func AddressTaken(ctx context.Context, tx db.TenantTx, id uuid.UUID, email string) (taken bool, err error) {
	err = tx.SQL().QueryRowContext(ctx, `SELECT EXISTS (SELECT FROM users WHERE email_normalized = $2 AND id <> $1)`, id, secrets.NormalizeEmail(email)).Scan(&taken)
	if err != nil {
		return false, fmt.Errorf("look for account: %w", err)
	}
	return taken, nil
}

// MoveAddress gives an account another address, unless somebody has it: a
// deleted account counts too (U5). The holder of a link to the address is told
// so; it is theirs.
func MoveAddress(ctx context.Context, tx db.TenantTx, id uuid.UUID, email string) error {
	normalized := secrets.NormalizeEmail(email)
	// Looked for rather than run into: the server's log would quote the address.
	taken, err := AddressTaken(ctx, tx, id, email)
	if err != nil {
		return err
	}
	if taken {
		return errAccountExists()
	}
	_, err = tx.SQL().ExecContext(ctx, `UPDATE users SET email = $2, email_normalized = $3, address_hash = $4 WHERE id = $1`,
		id, email, normalized, tx.DataKey().AddressHash(email))
	if db.IsUnique(err, "") {
		return errAccountExists()
	}
	if err != nil {
		return fmt.Errorf("change the address: %w", err)
	}
	return nil
}
