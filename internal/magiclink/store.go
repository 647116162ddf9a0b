package magiclink

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"tenantry/internal/db"
	"tenantry/internal/onetime"
)

// request is a row of magic_links.
type request struct {
	id                               uuid.UUID
	addressHash, challenge, codeHash []byte
	user                             *uuid.UUID
	tries                            int
	at, expires                      time.Time
	approvedAt, exchangedAt          *time.Time // End sets the latter, too
}

// open reports whether a request may still become a sign-in. One that was
// approved in its last moment has a minute.
func (r request) open(now time.Time) bool {
	if r.exchangedAt != nil {
		return false
	}
	return now.Before(r.expires) || (r.approvedAt != nil && now.Before(r.approvedAt.Add(codeTTL)))
}

const columns = `id, address_hash, challenge, code_hash, user_id, tries, created_at, expires_at, approved_at, exchanged_at`

func scan(row *sql.Row) (*request, error) {
	var r request
	err := row.Scan(&r.id, &r.addressHash, &r.challenge, &r.codeHash, &r.user, &r.tries, &r.at, &r.expires, &r.approvedAt, &r.exchangedAt)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read magic link: %w", err)
	}
	return &r, nil
}

func insert(ctx context.Context, tx db.TenantTx, r request) error {
	return exec(ctx, tx, `INSERT INTO magic_links (id, address_hash, challenge, code_hash, tries, created_at, expires_at) VALUES ($1, $2, $3, $4, 0, $5, $6)`,
		r.id, r.addressHash, r.challenge, r.codeHash, r.at, r.expires)
}

// find answers a request, nil where there is none.
func find(ctx context.Context, tx db.TenantTx, id uuid.UUID) (*request, error) {
	return scan(tx.SQL().QueryRowContext(ctx, `SELECT `+columns+` FROM magic_links WHERE id = $1`, id))
}

// try counts a try and answers the request; nil when none is left.
func try(ctx context.Context, tx db.TenantTx, id uuid.UUID) (*request, error) {
	return scan(tx.SQL().QueryRowContext(ctx, `UPDATE magic_links SET tries = tries + 1 WHERE id = $1 AND tries < $2 RETURNING `+columns, id, maxTries))
}

func setUser(ctx context.Context, tx db.TenantTx, id, user uuid.UUID) error {
	return exec(ctx, tx, `UPDATE magic_links SET user_id = $2 WHERE id = $1`, id, user)
}

func approve(ctx context.Context, tx db.TenantTx, id uuid.UUID, now time.Time) error {
	return exec(ctx, tx, `UPDATE magic_links SET approved_at = $2 WHERE id = $1`, id, now)
}

// exchanged marks a request as a sign-in; false when it has been one.
func exchanged(ctx context.Context, tx db.TenantTx, id uuid.UUID, now time.Time) (bool, error) {
	r, err := tx.SQL().ExecContext(ctx, `UPDATE magic_links SET exchanged_at = $2 WHERE id = $1 AND exchanged_at IS NULL`, id, now)
	if err != nil {
		return false, fmt.Errorf("write magic link: %w", err)
	}
	n, err := r.RowsAffected()
	return n == 1, err
}

// End ends the requests of an account and of its address: nothing that was
// asked for before opens it.
func End(ctx context.Context, tx db.TenantTx, user uuid.UUID, addressHash []byte, now time.Time) error {
	rows, err := tx.SQL().QueryContext(ctx, `
		UPDATE magic_links SET exchanged_at = $3 WHERE (user_id = $1 OR address_hash = $2) AND exchanged_at IS NULL AND expires_at > $4 RETURNING id`,
		user, addressHash, now, now.Add(-codeTTL))
	if err != nil {
		return fmt.Errorf("end magic links: %w", err)
	}
	defer func() { _ = rows.Close() }()
	var ended []uuid.UUID
	for rows.Next() {
		var id uuid.UUID
		if err := rows.Scan(&id); err != nil {
			return fmt.Errorf("end magic links: %w", err)
		}
		ended = append(ended, id)
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("end magic links: %w", err)
	}
	for _, id := range ended {
		if err := errors.Join(onetime.Void(ctx, tx, onetime.MagicLink, id, now), onetime.Void(ctx, tx, onetime.MagicCode, id, now)); err != nil {
			return err
		}
	}
	return nil
}

// revisionOf answers an account's revision; zero for one that has gone, or has
// another address now than the one that the link went to.
func revisionOf(ctx context.Context, tx db.TenantTx, r request) (int64, error) {
	var revision int64
	var email string
	err := tx.SQL().QueryRowContext(ctx, `SELECT revision, email FROM users WHERE id = $1 AND deleted_at IS NULL`, *r.user).Scan(&revision, &email)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read revision: %w", err)
	}
	if !bytes.Equal(tx.DataKey().AddressHash(email), r.addressHash) {
		return 0, nil
	}
	return revision, nil
}

func exec(ctx context.Context, tx db.TenantTx, query string, args ...any) error {
	if _, err := tx.SQL().ExecContext(ctx, query, args...); err != nil {
		return fmt.Errorf("write magic link: %w", err)
	}
	return nil
}
