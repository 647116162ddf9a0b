package expiry

import (
	"context"
	"fmt"
	"time"

	"tenantry/internal/db"
)

// kind is one sort of rows: $1 is the time before which they are past, $2 the
// limit. The statement answers how many it has deleted.
type kind struct {
	name string
	kept time.Duration
	sql  string
}

// kinds in the order they go: a session after the tokens that need it.
var kinds = []kind{
	{"one-time values", slack, `
		WITH gone AS (DELETE FROM one_time_values WHERE id IN (
			SELECT id FROM one_time_values WHERE purpose <> 'refresh' AND expires_at <= $1 ORDER BY expires_at LIMIT $2) RETURNING 1)
		SELECT count(*) FROM gone`},
	{"refresh tokens", slack, `
		WITH gone AS (DELETE FROM one_time_values WHERE id IN (
			SELECT v.id FROM one_time_values v LEFT JOIN sessions s ON s.id = v.subject_id
			WHERE v.purpose = 'refresh' AND v.expires_at <= $1 AND (s.id IS NULL OR s.revoked_at <= $1 OR s.expires_at <= $1)
			ORDER BY v.expires_at LIMIT $2) RETURNING 1)
		SELECT count(*) FROM gone`},
	{"sessions", sessionsKept, `
		WITH gone AS (DELETE FROM sessions WHERE id IN (
			SELECT s.id FROM sessions s WHERE (s.revoked_at <= $1 OR s.expires_at <= $1)
			AND NOT EXISTS (SELECT FROM one_time_values v WHERE v.subject_id = s.id AND v.purpose = 'refresh')
			ORDER BY s.expires_at LIMIT $2) RETURNING 1)
		SELECT count(*) FROM gone`},
	// The key goes with the registration: what it sealed anywhere is erased.
	{"registrations", slack, `
		WITH gone AS (DELETE FROM registrations WHERE id IN (
			SELECT id FROM registrations WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2) RETURNING subject_key_id),
		keys AS (DELETE FROM subject_keys k USING gone WHERE k.id = gone.subject_key_id
			AND NOT EXISTS (SELECT FROM users u WHERE u.subject_key_id = k.id))
		SELECT count(*) FROM gone`},
	{"challenges", slack, `
		WITH gone AS (DELETE FROM mfa_challenges WHERE id IN (
			SELECT id FROM mfa_challenges WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2) RETURNING 1)
		SELECT count(*) FROM gone`},
	{"magic links", slack, `
		WITH gone AS (DELETE FROM magic_links WHERE id IN (
			SELECT id FROM magic_links WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2) RETURNING 1)
		SELECT count(*) FROM gone`},
	{"email changes", changesKept, `
		WITH gone AS (DELETE FROM email_changes WHERE id IN (
			SELECT c.id FROM email_changes c WHERE c.expires_at <= $1
			AND NOT EXISTS (SELECT FROM one_time_values v WHERE v.subject_id = c.id)
			ORDER BY c.expires_at LIMIT $2) RETURNING 1)
		SELECT count(*) FROM gone`},
	{"factor resets", resetsKept, `
		WITH gone AS (DELETE FROM factor_resets WHERE id IN (
			SELECT id FROM factor_resets WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2) RETURNING 1)
		SELECT count(*) FROM gone`},
	// Events are for their subscribers, who do not read yet.
	{"sent mails", mailsKept, `
		WITH gone AS (DELETE FROM outbox WHERE id IN (
			SELECT id FROM outbox WHERE kind = 'mail' AND done_at <= $1 ORDER BY done_at LIMIT $2) RETURNING 1)
		SELECT count(*) FROM gone`},
}

func (k kind) sweep(ctx context.Context, l *db.Lease, now time.Time, limit int) (int, error) {
	return db.InTenantUnmarked(ctx, l, func(tx db.TenantTx) (n int, err error) {
		if err := tx.SQL().QueryRowContext(ctx, k.sql, now.Add(-k.kept), limit).Scan(&n); err != nil {
			return 0, fmt.Errorf("sweep %s: %w", k.name, err)
		}
		return n, nil
	})
}
