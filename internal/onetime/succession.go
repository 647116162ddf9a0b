package onetime

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"tenantry/internal/db"
	"tenantry/internal/secrets"
)

// Value is a value as the holder of its token finds it, used or not.
type Value struct {
	Subject   uuid.UUID
	ExpiresAt time.Time
	UsedAt    *time.Time
	// SuccessorUsed reports whether the token it was changed for has been
	// used itself.
	SuccessorUsed bool
	// SuccessorExpiresAt is zero while there is none.
	SuccessorExpiresAt time.Time

	id     uuid.UUID
	raw    []byte
	sealed []byte
}

// Find answers the value of a token in whatever state it is. Nothing follows
// from it that is not checked again by [Value.Succeed].
func Find(ctx context.Context, tx db.TenantTx, purpose, token string) (Value, error) {
	raw, err := decode(token)
	if err != nil {
		return Value{}, err
	}
	v := Value{raw: raw}
	var ends sql.NullTime
	hash := sha256.Sum256(raw)
	err = tx.SQL().QueryRowContext(ctx, `
		SELECT v.id, v.subject_id, v.expires_at, v.used_at, v.successor, s.used_at IS NOT NULL, s.expires_at
		FROM one_time_values v LEFT JOIN one_time_values s ON s.id = v.successor_id
		WHERE v.token_hash = $1 AND v.purpose = $2`, hash[:], purpose).
		Scan(&v.id, &v.Subject, &v.ExpiresAt, &v.UsedAt, &v.sealed, &v.SuccessorUsed, &ends)
	if errors.Is(err, sql.ErrNoRows) {
		return Value{}, ErrInvalid()
	}
	if err != nil {
		return Value{}, fmt.Errorf("find %s: %w", purpose, err)
	}
	v.SuccessorExpiresAt = ends.Time
	return v, nil
}

// Succeed uses the value and mints its successor, which is kept sealed under a
// key that only the holder of this token can derive (RFC 5869): whoever reads
// the database finds neither.
func (v Value) Succeed(ctx context.Context, tx db.TenantTx, purpose string, now, expires time.Time) (string, error) {
	raw := secrets.RandomBytes(tokenSize)
	successor, err := insert(ctx, tx, purpose, v.Subject, raw, now, expires)
	if err != nil {
		return "", err
	}
	k, err := v.key()
	if err != nil {
		return "", err
	}
	sealed, err := k.Seal(raw, v.id.String())
	if err != nil {
		return "", err
	}
	res, err := tx.SQL().ExecContext(ctx, `
		UPDATE one_time_values SET used_at = $2, successor_id = $3, successor = $4
		WHERE id = $1 AND used_at IS NULL AND expires_at > $2`, v.id, now, successor, sealed)
	if err != nil {
		return "", fmt.Errorf("redeem %s: %w", purpose, err)
	}
	n, err := res.RowsAffected()
	if err == nil && n != 1 {
		err = ErrInvalid()
	}
	return encode(raw), err
}

// Successor answers the token that this one was changed for.
func (v Value) Successor() (string, error) {
	k, err := v.key()
	if err != nil {
		return "", err
	}
	raw, err := k.Open(v.sealed, v.id.String())
	return encode(raw), err
}

func (v Value) key() (secrets.Key, error) {
	raw, err := hkdf.Key(sha256.New, v.raw, nil, "tenantry/successor", secrets.KeySize)
	if err != nil {
		return secrets.Key{}, err
	}
	return secrets.NewKey(raw)
}
