package app

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"tenantry/internal/capacity"
	"tenantry/internal/connections"
	"tenantry/internal/db"
)

// yielding watches the connects of the process's own pools. Where the server has
// no place for one, a connection to a tenant makes room: without the central
// database nobody is served.
type yielding struct {
	cache atomic.Pointer[connections.Cache]
}

// TraceConnectStart is for pgx.
func (y *yielding) TraceConnectStart(ctx context.Context, _ pgx.TraceConnectStartData) context.Context {
	return ctx
}

// TraceConnectEnd is for pgx.
func (y *yielding) TraceConnectEnd(_ context.Context, d pgx.TraceConnectEndData) {
	var refusal *pgconn.PgError
	if c := y.cache.Load(); c != nil && errors.As(d.Err, &refusal) && refusal.Code == connections.TooManyConnections {
		c.Yield()
	}
}

// TraceQueryStart is for pgx, whose tracers have it.
func (y *yielding) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	return ctx
}

// TraceQueryEnd is for pgx.
func (y *yielding) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// openPool makes a pool without connecting: a process starts while its
// database is down and says so in /readyz.
func openPool(ctx context.Context, dsn string, size int, process string, crowded *yielding) (*pgxpool.Pool, error) {
	cfg, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, errors.New("database URL: cannot be read") // pgx's text holds the URL
	}
	cfg.MaxConns = int32(size) //nolint:gosec // config allows 2 to 1000
	tune(cfg.ConnConfig, process)
	cfg.ConnConfig.Tracer = crowded
	cfg.MaxConnIdleTime = 5 * time.Minute
	cfg.HealthCheckPeriod = time.Minute
	return pgxpool.NewWithConfig(ctx, cfg)
}

// tune sets what every connection of ours has: its owner's name, an end to a
// transaction that was forgotten, and an end to a server that is frozen.
func tune(c *pgx.ConnConfig, process string) {
	rp := c.RuntimeParams
	rp["application_name"] = "tenantry-" + process
	rp["idle_in_transaction_session_timeout"] = fmt.Sprint(db.MaxTx.Milliseconds())
	rp["statement_timeout"] = fmt.Sprint((db.MaxTx + 5*time.Second).Milliseconds())
	c.ConnectTimeout = 5 * time.Second
}

// budgetEvery is how often the server is asked what it allows: it may have been
// restarted with another max_connections.
const budgetEvery = 30 * time.Second

// keepBudget sets the budget for tenant databases from what the server allows,
// at once and again and again, until ctx ends.
func (b *base) keepBudget(ctx context.Context) error {
	for {
		b.askBudget(ctx)
		again := budgetEvery
		if b.planned.Part == 0 {
			again = time.Second // until then one connection must do
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(again):
		}
	}
}

func (b *base) askBudget(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	server, err := capacity.Ask(ctx, b.central.Pool())
	if err != nil {
		return // the budget stays; /readyz tells of the database
	}
	plan := server.For(b.share)
	if b.planned.Server.MaxConnections == server.MaxConnections && b.planned.Server.Reserved == server.Reserved {
		return
	}
	b.planned = plan
	b.connections.SetBudget(plan.Tenants)
	b.log.Info("connections to the database server divided", "max_connections", server.MaxConnections, "reserved", server.Reserved, "operators", capacity.Operators,
		"processes", b.share.Processes, "part", plan.Part, "central", b.share.Central, "provisioner", b.share.Provisioner,
		"tenant_databases", plan.Tenants, "explicit", b.share.Budget > 0)
	for _, w := range plan.Warnings() {
		b.log.Warn(w)
	}
}
