// Package db owns the transaction: leases on tenant databases, the central
// database, and the closures every write goes through.
//
// A closure commits when it answers nil and rolls back otherwise. Nothing in
// it may wait for a network: it holds row locks, and it is cut off after
// [MaxTx]. An error of COMMIT leaves the outcome unknown; nothing here
// retries, because a statement that failed may have been committed.
package db

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"entgo.io/ent/dialect"
	entsql "entgo.io/ent/dialect/sql"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"

	"tenantry/ent/centraldb"
	"tenantry/ent/tenantdb"
	"tenantry/internal/apperr"
	"tenantry/internal/connections"
	"tenantry/internal/ids"
	"tenantry/internal/secrets"
)

// MaxTx is the longest a transaction may last. The outbox's marks outlive it
// (W1), so a relay never misses a commit.
const MaxTx = 10 * time.Second

// Tx is what the shared tables (audit, outbox, operations) need of either
// kind of transaction.
type Tx interface {
	SQL() *sql.Tx
	DataKey() secrets.DataKey
}

// TenantTx is a transaction on one tenant's database.
type TenantTx struct {
	tx    *sql.Tx
	ent   *tenantdb.Client
	lease *Lease
}

// Ent answers the typed client; only store.go files call it.
func (t TenantTx) Ent() *tenantdb.Client { return t.ent }

// SQL answers the bare transaction.
func (t TenantTx) SQL() *sql.Tx { return t.tx }

// Tenant answers whose database this is.
func (t TenantTx) Tenant() ids.Tenant { return t.lease.Tenant }

// DataKey answers the tenant's data key.
func (t TenantTx) DataKey() secrets.DataKey { return t.lease.Key }

// CentralTx is a transaction on the central database.
type CentralTx struct {
	tx  *sql.Tx
	ent *centraldb.Client
	key secrets.DataKey
}

// Ent answers the typed client; only store.go files call it.
func (t CentralTx) Ent() *centraldb.Client { return t.ent }

// SQL answers the bare transaction.
func (t CentralTx) SQL() *sql.Tx { return t.tx }

// DataKey answers the installation's data key.
func (t CentralTx) DataKey() secrets.DataKey { return t.key }

// Lease is the right to use one tenant's database. It holds no connection: each
// statement and each transaction takes one and gives it back at its end.
type Lease struct {
	Tenant   ids.Tenant
	Key      secrets.DataKey
	database *connections.Database
	mark     func(context.Context)
}

// NewLease is for tenants.Router and tests. mark runs before each write
// transaction and may not fail it (W1).
func NewLease(t ids.Tenant, key secrets.DataKey, database *connections.Database, mark func(context.Context)) *Lease {
	return &Lease{Tenant: t, Key: key, database: database, mark: mark}
}

// Database returns the bare database, for the one query of each request. Its
// errors go through [Classify].
func (l *Lease) Database() *connections.Database { return l.database }

// InTenant runs fn in a transaction that may write.
func InTenant[R any](ctx context.Context, l *Lease, fn func(TenantTx) (R, error)) (R, error) {
	if l.mark != nil {
		l.mark(ctx)
	}
	return inTenant(ctx, l, nil, fn)
}

// InTenantUnmarked is InTenant for what writes nothing that a relay must see:
// it leaves no outbox mark.
func InTenantUnmarked[R any](ctx context.Context, l *Lease, fn func(TenantTx) (R, error)) (R, error) {
	return inTenant(ctx, l, nil, fn)
}

// InTenantRead runs fn in a read-only transaction on one snapshot.
func InTenantRead[R any](ctx context.Context, l *Lease, fn func(TenantTx) (R, error)) (R, error) {
	return inTenant(ctx, l, &sql.TxOptions{ReadOnly: true, Isolation: sql.LevelRepeatableRead}, fn)
}

func inTenant[R any](ctx context.Context, l *Lease, opts *sql.TxOptions, fn func(TenantTx) (R, error)) (R, error) {
	r, err := inTx(ctx, l.database.BeginTx, opts, func(tx *sql.Tx) (R, error) {
		return fn(TenantTx{tx: tx, ent: tenantdb.NewClient(tenantdb.Driver(driver(tx))), lease: l})
	})
	return r, Classify(err, "TENANT_UNREACHABLE")
}

// Central is the central database.
type Central struct {
	pool *pgxpool.Pool
	sql  *sql.DB
	ring *secrets.Keyring

	mu   sync.Mutex
	key  *secrets.DataKey
	inst string
}

// NewCentral wraps a pool. The key-encryption keys open the installation's
// data key on first use.
func NewCentral(pool *pgxpool.Pool, ring *secrets.Keyring) *Central {
	d := stdlib.OpenDBFromPool(pool)
	d.SetMaxIdleConns(0)
	return &Central{pool: pool, sql: d, ring: ring}
}

// Pool answers the bare pool.
func (c *Central) Pool() *pgxpool.Pool { return c.pool }

// Keyring answers the key-encryption keys.
func (c *Central) Keyring() *secrets.Keyring { return c.ring }

// Installation answers the installation's id and data key; they never change
// while a process runs, so they are read once.
func (c *Central) Installation(ctx context.Context) (string, secrets.DataKey, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.key != nil {
		return c.inst, *c.key, nil
	}
	var id string
	var sealed []byte
	if err := c.pool.QueryRow(ctx, `SELECT id, data_key FROM installation`).Scan(&id, &sealed); err != nil {
		return "", secrets.DataKey{}, Classify(fmt.Errorf("read installation: %w", err), "CENTRAL_UNREACHABLE")
	}
	key, err := secrets.OpenCentralKey(c.ring, id, sealed)
	if err != nil {
		return "", secrets.DataKey{}, err
	}
	c.inst, c.key = id, &key
	return id, key, nil
}

// Key answers the installation's data key.
func (c *Central) Key(ctx context.Context) (secrets.DataKey, error) {
	_, key, err := c.Installation(ctx)
	return key, err
}

// InCentral runs fn in a transaction on the central database.
func InCentral[R any](ctx context.Context, c *Central, fn func(CentralTx) (R, error)) (R, error) {
	_, key, err := c.Installation(ctx)
	if err != nil {
		var zero R
		return zero, err
	}
	r, err := inTx(ctx, c.sql.BeginTx, nil, func(tx *sql.Tx) (R, error) {
		return fn(CentralTx{tx: tx, ent: centraldb.NewClient(centraldb.Driver(driver(tx))), key: key})
	})
	return r, Classify(err, "CENTRAL_UNREACHABLE")
}

type beginFunc = func(context.Context, *sql.TxOptions) (*sql.Tx, error)

func inTx[R any](ctx context.Context, begin beginFunc, opts *sql.TxOptions, fn func(*sql.Tx) (R, error)) (r R, err error) {
	var zero R
	ctx, cancel := context.WithTimeout(ctx, MaxTx)
	defer cancel()
	tx, err := begin(ctx, opts)
	if err != nil {
		return zero, fmt.Errorf("begin: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // a no-op after Commit; also on panic
	r, err = fn(tx)
	if err != nil {
		return zero, err
	}
	if err := tx.Commit(); err != nil {
		return zero, fmt.Errorf("commit, outcome unknown: %w", err)
	}
	return r, nil
}

// nested lets ent open its inner transactions inside ours.
type nested struct{ dialect.Driver }

func (n nested) Tx(context.Context) (dialect.Tx, error) { return dialect.NopTx(n.Driver), nil }

func driver(tx *sql.Tx) dialect.Driver {
	return nested{entsql.NewDriver(dialect.Postgres, entsql.Conn{ExecQuerier: tx})}
}

// Classify turns what a broken, restarting or crowded server causes into
// Unavailable: with the reason POOL_BUDGET where no connection became free, else
// with the given one. Every other error passes unchanged.
func Classify(err error, reason string) error {
	if err == nil {
		return nil
	}
	if _, ok := apperr.As(err); ok {
		return err
	}
	var budget *connections.BudgetError
	if errors.As(err, &budget) {
		return apperr.New(apperr.Unavailable, "POOL_BUDGET", "All database connections are in use. Try again later.").
			WithRetryAfter(max(budget.RetryAfter, time.Second)).WithCause(err)
	}
	if !transient(err) {
		return err
	}
	return apperr.New(apperr.Unavailable, reason, "The database cannot be reached at the moment. Try again later.").
		WithRetryAfter(time.Second).WithCause(err)
}

func transient(err error) bool {
	// Whatever kept a connection from being opened: the server, its refusal, or
	// the credential.
	var open *connections.OpenError
	if errors.As(err, &open) || errors.Is(err, connections.ErrClosed) {
		return true
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, sql.ErrConnDone) || pgconn.Timeout(err) {
		return true
	}
	// A server that dies in the middle of an answer: pgx passes on what the
	// read said.
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) || errors.Is(err, sqldriver.ErrBadConn) {
		return true
	}
	var netErr net.Error
	var connErr *pgconn.ConnectError
	if errors.As(err, &netErr) || errors.As(err, &connErr) {
		return true
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		switch pg.Code[:2] {
		case "08", "53", "57": // connection, resources, operator intervention
			return true
		}
		return pg.Code == "55000" || pg.Code == "25P03"
	}
	return pgconn.SafeToRetry(err)
}

// IsUnique reports whether err is a violation of the named unique index; an
// empty name stands for any.
func IsUnique(err error, index string) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "23505" && (index == "" || pg.ConstraintName == index)
}
