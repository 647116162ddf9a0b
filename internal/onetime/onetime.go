// Package onetime is the primitive behind every link and code: 256 random
// bits, of which only the SHA-256 is stored, redeemed exactly once.
//
// A token that is wrong, used, expired or another tenant's is one error: the
// holder learns nothing but that it does not work.
package onetime

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"tenantry/internal/apperr"
	"tenantry/internal/db"
	"tenantry/internal/ids"
	"tenantry/internal/secrets"
)

// Purposes: a token of one is worth nothing for another.
const (
	VerifyEmail  = "verify_email"
	Invitation   = "invitation"
	Refresh      = "refresh"
	MFAChallenge = "mfa_challenge"
	MagicLink    = "magic_link"
	MagicCode    = "magic_code"
	Reset        = "password_reset"
	EmailChange  = "email_change"
	EmailUndo    = "email_undo"
	NotMe        = "not_me"
)

// ErrInvalid is the one refusal of a link that does not work, whatever the cause:
// modules whose own row has gone answer it too.
func ErrInvalid() error {
	return apperr.New(apperr.Invalid, "TOKEN_INVALID", "token: the link is not valid any more. It may have been used, replaced or expired.")
}

// Mint makes a token for a subject; it reads 43 characters of base64url.
func Mint(ctx context.Context, tx db.TenantTx, purpose string, subject uuid.UUID, now, expires time.Time) (string, error) {
	raw := secrets.RandomBytes(tokenSize)
	_, err := insert(ctx, tx, purpose, subject, raw, now, expires)
	return encode(raw), err
}

func insert(ctx context.Context, tx db.TenantTx, purpose string, subject uuid.UUID, raw []byte, now, expires time.Time) (uuid.UUID, error) {
	id, hash := ids.New(), sha256.Sum256(raw)
	_, err := tx.SQL().ExecContext(ctx, `
		INSERT INTO one_time_values (id, purpose, subject_id, token_hash, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6)`,
		id, purpose, subject, hash[:], now, expires)
	if err != nil {
		return id, fmt.Errorf("mint %s: %w", purpose, err)
	}
	return id, nil
}

// tokenSize is in bytes.
const tokenSize = 32

func encode(raw []byte) string { return base64.RawURLEncoding.EncodeToString(raw) }

// decode answers the bytes of a token, as it must be written.
func decode(token string) ([]byte, error) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(raw) != tokenSize {
		return nil, ErrInvalid()
	}
	return raw, nil
}

// Redeem uses a token and answers its subject. Of any number of parallel
// calls one succeeds; a rollback of tx gives the token back.
func Redeem(ctx context.Context, tx db.TenantTx, purpose, token string, now time.Time) (uuid.UUID, error) {
	return one(ctx, tx, `
		UPDATE one_time_values SET used_at = $3
		WHERE token_hash = $1 AND purpose = $2 AND used_at IS NULL AND expires_at > $3 RETURNING subject_id`, purpose, token, now)
}

// Void makes every open token of a subject worthless: a newer one takes their
// place.
func Void(ctx context.Context, tx db.TenantTx, purpose string, subject uuid.UUID, now time.Time) error {
	_, err := tx.SQL().ExecContext(ctx, `
		UPDATE one_time_values SET used_at = $3 WHERE subject_id = $1 AND purpose = $2 AND used_at IS NULL`, subject, purpose, now)
	if err != nil {
		return fmt.Errorf("void %s: %w", purpose, err)
	}
	return nil
}

// Check answers the subject of a token that Redeem would take, using nothing.
func Check(ctx context.Context, tx db.TenantTx, purpose, token string, now time.Time) (uuid.UUID, error) {
	return one(ctx, tx, `
		SELECT subject_id FROM one_time_values
		WHERE token_hash = $1 AND purpose = $2 AND used_at IS NULL AND expires_at > $3`, purpose, token, now)
}

// Expiry answers when a token ends; false when it was used, voided, or has
// expired.
func Expiry(ctx context.Context, tx db.TenantTx, purpose, token string, now time.Time) (time.Time, bool, error) {
	raw, err := decode(token)
	if err != nil {
		return time.Time{}, false, err
	}
	hash := sha256.Sum256(raw)
	var expires time.Time
	err = tx.SQL().QueryRowContext(ctx, `
		SELECT expires_at FROM one_time_values WHERE token_hash = $1 AND purpose = $2 AND used_at IS NULL AND expires_at > $3`,
		hash[:], purpose, now).Scan(&expires)
	if errors.Is(err, sql.ErrNoRows) {
		return time.Time{}, false, nil
	}
	if err != nil {
		return time.Time{}, false, fmt.Errorf("expiry of %s: %w", purpose, err)
	}
	return expires, true, nil
}

func one(ctx context.Context, tx db.TenantTx, query, purpose, token string, now time.Time) (uuid.UUID, error) {
	raw, err := decode(token)
	if err != nil {
		return uuid.Nil, err
	}
	hash := sha256.Sum256(raw)
	var subject uuid.UUID
	err = tx.SQL().QueryRowContext(ctx, query, hash[:], purpose, now).Scan(&subject)
	if errors.Is(err, sql.ErrNoRows) {
		return uuid.Nil, ErrInvalid()
	}
	if err != nil {
		return uuid.Nil, fmt.Errorf("one-time value %s: %w", purpose, err)
	}
	return subject, nil
}
