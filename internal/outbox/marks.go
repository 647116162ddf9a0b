package outbox

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"tenantry/internal/apperr"
	"tenantry/internal/db"
	"tenantry/internal/ids"
)

const (
	// markTime is how long a mark runs by the central clock.
	markTime = 70 * time.Second
	// markReuse is how long a process trusts its own mark, counted from
	// before it asked for it: so a transaction begun within ends, MaxTx
	// later, before the mark does.
	markReuse = markTime - db.MaxTx - 5*time.Second
)

// Marks makes sure, before a transaction that may write to a tenant's outbox,
// that the central mark outlives it: about one write a minute per active
// tenant and process, so that idle tenants need not be polled.
type Marks struct {
	central *db.Central
	log     *slog.Logger

	mu     sync.Mutex
	until  map[ids.Tenant]time.Time
	behind map[ids.Tenant]bool
}

// NewMarks begins with no mark known.
func NewMarks(c *db.Central, log *slog.Logger) *Marks {
	return &Marks{central: c, log: log, until: map[ids.Tenant]time.Time{}, behind: map[ids.Tenant]bool{}}
}

// Ensure answers when the tenant's mark runs long enough, or when the central
// database cannot be reached: then the write goes on unmarked and the mark
// follows as soon as the central database answers again (the nightly pass
// finds what was missed if this process dies first).
func (m *Marks) Ensure(ctx context.Context, t ids.Tenant) {
	// The monotonic reading: a stepped wall clock cannot stretch a mark.
	now := time.Now()
	m.mu.Lock()
	fresh := now.Before(m.until[t])
	m.mu.Unlock()
	if fresh {
		return
	}
	if err := m.write(ctx, t); err != nil {
		m.log.WarnContext(ctx, "outbox mark not written, will follow", "tenant", t, "reason", apperr.ReasonOf(err))
		m.startFollowing(context.WithoutCancel(ctx), t)
		return
	}
	m.mu.Lock()
	m.until[t] = now.Add(markReuse)
	m.mu.Unlock()
}

func (m *Marks) write(ctx context.Context, t ids.Tenant) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	_, err := m.central.Pool().Exec(ctx, markSQL, t.UUID(), markTime.Seconds())
	return db.Classify(err, "CENTRAL_UNREACHABLE")
}

func (m *Marks) startFollowing(ctx context.Context, t ids.Tenant) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.behind[t] {
		return
	}
	m.behind[t] = true
	go m.follow(ctx, t)
}

// follow writes the mark once the central database is back.
func (m *Marks) follow(ctx context.Context, t ids.Tenant) {
	defer func() {
		m.mu.Lock()
		delete(m.behind, t)
		m.mu.Unlock()
	}()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for range 600 {
		<-tick.C
		if m.write(ctx, t) == nil {
			return
		}
	}
}

const markSQL = `
	INSERT INTO outbox_dirty (tenant_id, until) VALUES ($1, clock_timestamp() + make_interval(secs => $2))
	ON CONFLICT (tenant_id) DO UPDATE SET until = greatest(outbox_dirty.until, excluded.until)`

// Mark writes a tenant's mark in a central transaction: activation does, so
// the first sweep finds the invitation.
func Mark(ctx context.Context, tx db.CentralTx, t ids.Tenant) error {
	if _, err := tx.SQL().ExecContext(ctx, markSQL, t.UUID(), markTime.Seconds()); err != nil {
		return fmt.Errorf("mark outbox: %w", err)
	}
	return nil
}

// DirtySince answers the active tenants whose mark runs later than since, and
// the central clock before the marks were read: the since of the next sweep,
// if this one completes.
func DirtySince(ctx context.Context, c *db.Central, since time.Time) ([]ids.Tenant, time.Time, error) {
	var now time.Time
	if err := c.Pool().QueryRow(ctx, `SELECT clock_timestamp()`).Scan(&now); err != nil {
		return nil, now, db.Classify(fmt.Errorf("central clock: %w", err), "CENTRAL_UNREACHABLE")
	}
	rows, err := c.Pool().Query(ctx, `
		SELECT d.tenant_id::text FROM outbox_dirty d JOIN tenants t ON t.id = d.tenant_id
		WHERE t.state = 'active' AND d.until > $1 ORDER BY d.until`, since)
	if err != nil {
		return nil, now, db.Classify(fmt.Errorf("read marks: %w", err), "CENTRAL_UNREACHABLE")
	}
	defer rows.Close()
	var out []ids.Tenant
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return nil, now, fmt.Errorf("scan mark: %w", err)
		}
		t, err := ids.ParseTenant(s)
		if err != nil {
			return nil, now, err
		}
		out = append(out, t)
	}
	return out, now, db.Classify(rows.Err(), "CENTRAL_UNREACHABLE")
}
