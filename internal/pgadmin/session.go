package pgadmin

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"tenantry/internal/apperr"
	"tenantry/internal/db"
	"tenantry/internal/ids"
)

const (
	// commandTime bounds a command whose caller set no deadline.
	commandTime = time.Minute
	// unlockTime bounds giving a session back.
	unlockTime = 5 * time.Second
)

// Admin runs commands with the provisioning credential.
type Admin struct {
	pool  *pgxpool.Pool
	log   *slog.Logger
	names Names
	// misnamed is why there is no installation, and nothing may be done.
	misnamed error
}

// New takes the provisioner's pool on the central database, whose name tells
// the installation.
func New(provisionerPool *pgxpool.Pool, log *slog.Logger) *Admin {
	n, err := ParseCentral(provisionerPool.Config().ConnConfig.Database)
	return &Admin{pool: provisionerPool, log: log, names: n, misnamed: err}
}

// Names answers the installation's names.
func (a *Admin) Names() Names { return a.names }

// Pool answers the provisioner's pool on the central database.
func (a *Admin) Pool() *pgxpool.Pool { return a.pool }

// LockKey is the key of a tenant's session advisory lock in the central
// database.
func LockKey(t ids.Tenant) int64 { return lockKey("tenant/" + t.String()) }

// lockKey spreads names over the 64 bits that Postgres gives, in a namespace
// of our own.
func lockKey(what string) int64 {
	sum := sha256.Sum256([]byte("tenantry/" + what))
	return int64(binary.BigEndian.Uint64(sum[:8])) //nolint:gosec // any 64 bits make a key
}

// Exclusively runs fn on a session of the central database that holds the
// named lock ("template"), with the server's own timeouts set to ctx's.
func (a *Admin) Exclusively(ctx context.Context, what string, fn func(context.Context, *pgx.Conn) error) error {
	return a.locked(ctx, lockKey(what), fn)
}

func (a *Admin) locked(ctx context.Context, key int64, fn func(context.Context, *pgx.Conn) error) error {
	if a.misnamed != nil {
		return a.misnamed
	}
	if _, bounded := ctx.Deadline(); !bounded {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, commandTime)
		defer cancel()
	}
	c, err := a.pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("session on the central database: %w", err)
	}
	taken := false
	defer func() {
		// The lock goes with the session. After any doubt the session is
		// closed, and the server frees the lock when its command has ended.
		if !taken || !a.unlock(ctx, c, key) {
			hangUp(ctx, c)
			return
		}
		c.Release()
	}()
	if err := limit(ctx, c.Conn()); err != nil {
		return err
	}
	if _, err := c.Exec(ctx, `SELECT pg_advisory_lock($1)`, key); err != nil {
		return fmt.Errorf("advisory lock: %w", err)
	}
	taken = true
	return fn(ctx, c.Conn())
}

// limit lets the server give up when the client's time is over, also when the
// client is no longer there to say so: a session whose client vanished without
// a word would otherwise keep its lock until TCP notices, hours later.
func limit(ctx context.Context, conn *pgx.Conn) error {
	end, ok := ctx.Deadline()
	if !ok {
		return errors.New("command without a deadline")
	}
	ms := strconv.FormatInt(max(time.Until(end).Milliseconds(), 1), 10)
	_, err := conn.Exec(ctx, `SELECT set_config('statement_timeout', $1, false), set_config('lock_timeout', $1, false),
		set_config('idle_session_timeout', $1, false)`, ms)
	if err != nil {
		return fmt.Errorf("set timeouts: %w", err)
	}
	return nil
}

// unlock reports whether the session is as it was before.
func (a *Admin) unlock(ctx context.Context, c *pgxpool.Conn, key int64) bool {
	if c.Conn().IsClosed() {
		return false
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), unlockTime)
	defer cancel()
	var held bool
	if err := c.QueryRow(ctx, `SELECT pg_advisory_unlock($1)`, key).Scan(&held); err != nil || !held {
		return false
	}
	_, err := c.Exec(ctx, `RESET statement_timeout; RESET lock_timeout; RESET idle_session_timeout`, pgx.QueryExecModeSimpleProtocol)
	return err == nil
}

func hangUp(ctx context.Context, c *pgxpool.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), unlockTime)
	defer cancel()
	_ = c.Hijack().Close(ctx) // the socket closes whatever the answer
}

// command locks the tenant, checks names and state, and acts. An empty state
// stands for no row.
func (a *Admin) command(ctx context.Context, what string, t Target, allowed []string, fn func(context.Context, *pgx.Conn) error) error {
	if err := a.check(t); err != nil {
		return err
	}
	err := a.locked(ctx, LockKey(t.Tenant), func(ctx context.Context, conn *pgx.Conn) error {
		if err := inState(ctx, conn, t.Tenant, allowed); err != nil {
			return err
		}
		return fn(ctx, conn)
	})
	if err == nil {
		a.log.DebugContext(ctx, "server command", "command", what, "tenant", t.Tenant)
		return nil
	}
	if _, ok := apperr.As(err); ok {
		return err
	}
	return db.Classify(fmt.Errorf("%s of tenant %s: %w", what, t.Tenant, err), "CENTRAL_UNREACHABLE")
}

// check refuses every name but the tenant's own in this installation.
func (a *Admin) check(t Target) error {
	if a.misnamed != nil {
		return a.misnamed
	}
	if t.Tenant.IsZero() {
		return errors.New("server command for the zero tenant")
	}
	if own := a.names.Tenant(t.Tenant); t.Database != own || t.Role != own {
		return fmt.Errorf("server command for tenant %s: database %q and role %q are not its own in installation %s",
			t.Tenant, t.Database, t.Role, a.names.Installation())
	}
	return nil
}

func inState(ctx context.Context, conn *pgx.Conn, t ids.Tenant, allowed []string) error {
	state := ""
	err := conn.QueryRow(ctx, `SELECT state FROM tenants WHERE id = $1`, t.UUID()).Scan(&state)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return fmt.Errorf("read state: %w", err)
	}
	for _, want := range allowed {
		if state == want {
			return nil
		}
	}
	if state == "" {
		state = "gone"
	}
	return apperr.Newf(apperr.Precondition, "TENANT_STATE", "The tenant is %s: its server objects are not to be changed this way.", state)
}
