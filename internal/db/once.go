package db

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"tenantry/internal/apperr"
	"tenantry/internal/ids"
)

// MarkTTL is how long a keyed call is remembered; the sweep takes older marks.
const MarkTTL = 24 * time.Hour

// maxReply bounds what a mark keeps of a reply, 64 KiB.
const maxReply = 64 << 10

// MarkKey names a keyed call: who called what with which key, and what the
// request said. Both are digests under a secret of the owner.
type MarkKey struct {
	Scope       [sha256.Size]byte
	Fingerprint [sha256.Size]byte
}

// Mark makes a call happen once (E4): the closures below write it last, in
// the transaction of the effect. The zero Key of a nil Mark is no mark.
type Mark[R any] struct {
	Key MarkKey
	Now time.Time
	// Encode turns the use case's result into the reply's binary message. A
	// reply of more than 64 KiB is refused: no RPC that takes a key has one.
	Encode func(R) ([]byte, error)
	// Reply is what was stored, after the commit.
	Reply []byte
}

// ReplayError is the answer of a call that had happened before: nothing was
// done again.
type ReplayError struct{ Reply []byte }

// Error is the log's text; the edge answers the reply instead.
func (*ReplayError) Error() string { return "the keyed call has happened before" }

// InTenantOnce is InTenant for a call that may carry an idempotency key: with
// a mark, fn runs at most once for ever (MarkTTL), and its repetitions answer
// a *ReplayError. A nil mark is InTenant.
func InTenantOnce[R any](ctx context.Context, l *Lease, m *Mark[R], fn func(TenantTx) (R, error)) (R, error) {
	return InTenant(ctx, l, func(tx TenantTx) (R, error) {
		return once(ctx, tx, m, func() (R, error) { return fn(tx) })
	})
}

// InCentralOnce is InTenantOnce on the central database.
func InCentralOnce[R any](ctx context.Context, c *Central, m *Mark[R], fn func(CentralTx) (R, error)) (R, error) {
	return InCentral(ctx, c, func(tx CentralTx) (R, error) {
		return once(ctx, tx, m, func() (R, error) { return fn(tx) })
	})
}

func once[R any](ctx context.Context, tx Tx, m *Mark[R], fn func() (R, error)) (R, error) {
	var zero R
	if m == nil {
		return fn()
	}
	alone, err := claimMark(ctx, tx.SQL(), m.Key)
	if err != nil {
		return zero, err
	}
	// Two repetitions may meet here long after the first call: who holds the
	// claim is of interest only while there is no mark.
	stored, err := FindMark(ctx, tx, m.Key, m.Now)
	if err != nil {
		return zero, err
	}
	if stored != nil {
		return zero, &ReplayError{Reply: stored}
	}
	if !alone {
		return zero, ErrInFlight()
	}
	r, err := fn()
	if err != nil {
		return zero, err
	}
	m.Reply, err = m.Encode(r)
	if err != nil {
		return zero, fmt.Errorf("encode reply: %w", err)
	}
	return r, writeMark(ctx, tx, m.Key, m.Reply, m.Now)
}

// claimMark keeps a second call with the same key out until tx ends, and
// reports whether nobody else holds the claim. It takes a lock of its own
// statement: only a later one sees what the first committed.
func claimMark(ctx context.Context, tx *sql.Tx, k MarkKey) (alone bool, err error) {
	lock := int64(binary.BigEndian.Uint64(k.Scope[:8])) //nolint:gosec // any 64 bits do
	if err := tx.QueryRowContext(ctx, `SELECT pg_try_advisory_xact_lock($1)`, lock).Scan(&alone); err != nil {
		return false, fmt.Errorf("claim idempotency mark: %w", err)
	}
	return alone, nil
}

// ErrInFlight is the answer while the first call with a key still runs.
func ErrInFlight() error {
	return apperr.New(apperr.Conflict, "IDEMPOTENCY_IN_FLIGHT", "Idempotency-Key: the first call with this key is still running. Repeat the call later.").
		WithRetryAfter(time.Second)
}

// ErrKeyReused is the answer when a key comes back with another request.
func ErrKeyReused() error {
	return apperr.New(apperr.Invalid, "IDEMPOTENCY_KEY_REUSED", "Idempotency-Key: this key has been used for another request. Use a new key for each one.").
		WithStatus(422)
}

// TenantMark is FindMark at a tenant, outside any effect.
func TenantMark(ctx context.Context, l *Lease, k MarkKey, now time.Time) ([]byte, error) {
	return InTenantRead(ctx, l, func(tx TenantTx) ([]byte, error) { return FindMark(ctx, tx, k, now) })
}

// CentralMark is TenantMark in the central database.
func CentralMark(ctx context.Context, c *Central, k MarkKey, now time.Time) ([]byte, error) {
	return InCentral(ctx, c, func(tx CentralTx) ([]byte, error) { return FindMark(ctx, tx, k, now) })
}

// FindMark answers the reply of a keyed call that has happened, nil when it
// has not, and refuses a key that came with another request.
func FindMark(ctx context.Context, tx Tx, k MarkKey, now time.Time) ([]byte, error) {
	var fingerprint, sealed []byte
	err := tx.SQL().QueryRowContext(ctx, `SELECT fingerprint, reply FROM idempotency_marks WHERE scope = $1 AND created_at > $2`,
		k.Scope[:], now.Add(-MarkTTL)).Scan(&fingerprint, &sealed)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read idempotency mark: %w", err)
	}
	if !hmac.Equal(fingerprint, k.Fingerprint[:]) {
		return nil, ErrKeyReused()
	}
	reply, err := tx.DataKey().Open(sealed, markPurpose)
	if err != nil {
		return nil, fmt.Errorf("open stored reply: %w", err)
	}
	if reply == nil {
		reply = []byte{} // an empty message is an answer
	}
	return reply, nil
}

const markPurpose = "idempotency-reply"

func writeMark(ctx context.Context, tx Tx, k MarkKey, reply []byte, now time.Time) error {
	if len(reply) > maxReply {
		return fmt.Errorf("reply of %d bytes: more than a mark keeps (%d)", len(reply), maxReply)
	}
	sealed, err := tx.DataKey().Seal(reply, markPurpose)
	if err != nil {
		return err
	}
	// An expired mark makes room; a live one has been found before.
	_, err = tx.SQL().ExecContext(ctx, `
		INSERT INTO idempotency_marks (id, scope, fingerprint, reply, created_at) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (scope) DO UPDATE SET id = excluded.id, fingerprint = excluded.fingerprint, reply = excluded.reply, created_at = excluded.created_at
		WHERE idempotency_marks.created_at <= $6`, ids.New(), k.Scope[:], k.Fingerprint[:], sealed, now, now.Add(-MarkTTL))
	if err != nil {
		return fmt.Errorf("write idempotency mark: %w", err)
	}
	return nil
}

// SweepTenantMarks deletes up to limit marks that have expired and answers how
// many. It leaves no outbox mark: nothing is written that a relay must see.
func SweepTenantMarks(ctx context.Context, l *Lease, now time.Time, limit int) (int, error) {
	return inTenant(ctx, l, nil, func(tx TenantTx) (int, error) { return sweepMarks(ctx, tx, now, limit) })
}

// SweepCentralMarks is SweepTenantMarks in the central database.
func SweepCentralMarks(ctx context.Context, c *Central, now time.Time, limit int) (int, error) {
	return InCentral(ctx, c, func(tx CentralTx) (int, error) { return sweepMarks(ctx, tx, now, limit) })
}

func sweepMarks(ctx context.Context, tx Tx, now time.Time, limit int) (int, error) {
	res, err := tx.SQL().ExecContext(ctx, `
		DELETE FROM idempotency_marks WHERE id IN (
			SELECT id FROM idempotency_marks WHERE created_at <= $1 ORDER BY created_at LIMIT $2)`, now.Add(-MarkTTL), limit)
	if err != nil {
		return 0, fmt.Errorf("sweep idempotency marks: %w", err)
	}
	n, err := res.RowsAffected()
	return int(n), err
}
