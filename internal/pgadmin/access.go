package pgadmin

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"tenantry/internal/ids"
)

// States in which a tenant's role is let in, or shut out.
var (
	entered = []string{"active", "resuming"}
	shut    = []string{"suspended"}
)

// Access makes the role of a tenant match the tenant's state, which it reads
// under the tenant's lock: so late, repeated and reordered calls do no harm.
// then hears that state while the lock is still held, so nobody changes the
// role before what it writes is committed. A tenant that is being made or
// taken back is refused.
func (a *Admin) Access(ctx context.Context, t Target, then func(ctx context.Context, state string) error) error {
	return a.command(ctx, "access", t, slices.Concat(entered, shut), func(ctx context.Context, conn *pgx.Conn) error {
		state := ""
		if err := conn.QueryRow(ctx, `SELECT state FROM tenants WHERE id = $1`, t.Tenant.UUID()).Scan(&state); err != nil {
			return fmt.Errorf("read state: %w", err)
		}
		var err error
		if slices.Contains(shut, state) {
			err = shutOut(ctx, conn, t.Role)
		} else {
			err = exec(ctx, conn, "ALTER ROLE "+ident(t.Role)+" LOGIN")
		}
		if err != nil {
			return err
		}
		return then(ctx, state)
	})
}

// shutOut refuses new sessions of a role, then ends those that are there. One
// that was logging in meanwhile shows only when it is ready, so the search is
// over when two in a row have found none.
func shutOut(ctx context.Context, conn *pgx.Conn, role string) error {
	if err := exec(ctx, conn, "ALTER ROLE "+ident(role)+" NOLOGIN"); err != nil {
		return err
	}
	for quiet := 0; quiet < 2; quiet++ {
		var found int
		err := conn.QueryRow(ctx, `SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity WHERE usename = $1`, role).Scan(&found)
		if err != nil {
			return fmt.Errorf("end sessions: %w", err)
		}
		if found > 0 {
			quiet = -1
		}
		if _, err := conn.Exec(ctx, `SELECT pg_sleep(0.05)`); err != nil {
			return fmt.Errorf("end sessions: %w", err)
		}
	}
	return nil
}

// Holding runs fn while nobody else holds the tenant's lock: what it reads
// centrally is still so when it has written it elsewhere.
func (a *Admin) Holding(ctx context.Context, t ids.Tenant, fn func(context.Context) error) error {
	return a.locked(ctx, LockKey(t), func(ctx context.Context, _ *pgx.Conn) error { return fn(ctx) })
}
