package pools

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
)

// open runs once per entry, on its own goroutine and under its own deadline: it
// belongs to all who wait for it.
func (m *Manager) open(ctx context.Context, e *entry) {
	defer e.cancel()
	var pool *pgxpool.Pool
	err := errors.New("dsn or a hook ended the goroutine")
	// Deferred, so that a panic in the caller's dsn, Configure or tracer neither
	// ends the process nor leaves the waiters and the reservation hanging.
	defer func() {
		if v := recover(); v != nil {
			// The value may hold what dsn was working on; its type and place do not.
			err = fmt.Errorf("panic (%T)\n%s", v, debug.Stack())
		}
		if err != nil {
			m.failed(e, pool, err)
			return
		}
		m.opened(e, pool)
	}()
	if pool, err = m.build(ctx, e); err == nil {
		// pgxpool connects lazily: without this a wrong password would be cached
		// as an open pool and fail every query instead of the open.
		err = pool.Ping(ctx)
	}
}

// build makes the pool without connecting.
func (m *Manager) build(ctx context.Context, e *entry) (*pgxpool.Pool, error) {
	dsn, err := e.dsn(ctx)
	if err != nil {
		return nil, fmt.Errorf("connection string: %w", err)
	}
	config, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		// The parser's error quotes the string, and its redaction is best effort.
		return nil, errors.New("connection string does not parse")
	}
	if m.opt.Configure != nil {
		m.opt.Configure(config)
	}
	// After Configure and whatever pool_* the string asked for: the budget
	// counts on these.
	config.MaxConns = m.opt.Share
	config.MinConns = 0
	config.MinIdleConns = 0
	keepCount(config)
	// pgxpool connects on a context without the caller's deadline.
	if t := config.ConnConfig.ConnectTimeout; t <= 0 || t > m.opt.OpenTimeout {
		config.ConnConfig.ConnectTimeout = m.opt.OpenTimeout
	}
	return pgxpool.NewWithConfig(ctx, config)
}

// keepCount makes the pool's idea of a closed connection the server's.
func keepCount(config *pgxpool.Config) {
	config.ConnConfig.DialFunc = hangUpDial(config.ConnConfig.DialFunc)
	if _, set := config.ConnConfig.RuntimeParams[checkParam]; !set {
		config.ConnConfig.RuntimeParams[checkParam] = checkInterval
	}
	before := config.BeforeClose
	config.BeforeClose = func(conn *pgx.Conn) {
		if before != nil {
			before(conn)
		}
		awaitCleanup(conn)
	}
}

func (m *Manager) opened(e *entry, pool *pgxpool.Pool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e.pool = pool
	e.db = stdlib.OpenDBFromPool(pool)
	e.db.SetMaxIdleConns(0) // an idle sql.Conn would sit on a connection of the share
	if e.retired != nil {
		// Its waiters were answered when it was retired; nobody has a lease.
		m.shut(e)
		return
	}
	e.state = open
	if e.refs == 0 {
		m.park(e) // every waiter left; the next one will find it open
	}
	e.settle(nil)
	m.dispatch()
}

// failed answers the waiters first: closing what was opened may take its time.
// The reservation stays until then, because a backend may still be there.
func (m *Manager) failed(e *entry, pool *pgxpool.Pool, err error) {
	m.mu.Lock()
	e.state = closing
	if e.retired == nil {
		m.stats.Failures++
		m.unmap(e)
	}
	e.settle(&OpenError{Tenant: e.key.Tenant, Err: err})
	m.mu.Unlock()
	if pool != nil {
		pool.Close()
	}
	m.giveBack(e)
}
