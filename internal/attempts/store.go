package attempts

import (
	"context"
	"fmt"
	"time"

	"tenantry/internal/db"
	"tenantry/internal/ids"
)

// lock answers a subject's counter, made if it is not there, which nobody else
// changes until the transaction ends.
func lock(ctx context.Context, tx db.TenantTx, kind string, subject []byte, now time.Time) (counter, error) {
	var c counter
	err := tx.SQL().QueryRowContext(ctx, `
		INSERT INTO login_counters AS c (id, kind, subject_hash, failures, updated_at) VALUES ($1, $2, $3, 0, $4)
		ON CONFLICT (subject_hash, kind) DO UPDATE SET updated_at = c.updated_at
		RETURNING id, failures, blocked_until, updated_at`, ids.New(), kind, subject, now).
		Scan(&c.id, &c.failures, &c.blocked, &c.updated)
	if err != nil {
		return c, fmt.Errorf("lock counter of %s: %w", kind, err)
	}
	return c, nil
}

func save(ctx context.Context, tx db.TenantTx, c counter) error {
	_, err := tx.SQL().ExecContext(ctx, `
		UPDATE login_counters SET user_id = $2, failures = $3, blocked_until = $4, updated_at = $5 WHERE id = $1`,
		c.id, c.user, c.failures, c.blocked, c.updated)
	if err != nil {
		return fmt.Errorf("count attempt: %w", err)
	}
	return nil
}

// reset removes the row: an account that has logged in looks like an address
// that nobody has tried.
func reset(ctx context.Context, tx db.TenantTx, kind string, subject []byte) error {
	_, err := tx.SQL().ExecContext(ctx, `DELETE FROM login_counters WHERE subject_hash = $1 AND kind = $2`, subject, kind)
	if err != nil {
		return fmt.Errorf("clear counter of %s: %w", kind, err)
	}
	return nil
}

// sweep skips what an attempt holds at the moment: it is no longer idle.
func sweep(ctx context.Context, tx db.TenantTx, before time.Time, limit int) (int, error) {
	r, err := tx.SQL().ExecContext(ctx, `
		DELETE FROM login_counters WHERE id IN (
			SELECT c.id FROM login_counters c
			WHERE c.updated_at < $1 AND NOT EXISTS (SELECT FROM users u WHERE u.id = c.user_id)
			ORDER BY c.updated_at LIMIT $2 FOR UPDATE SKIP LOCKED)`, before, limit)
	if err != nil {
		return 0, fmt.Errorf("sweep counters: %w", err)
	}
	n, err := r.RowsAffected()
	return int(n), err
}
