package pgadmin_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"tenantry/internal/apperr"
	"tenantry/internal/pgadmin"
	"tenantry/internal/testdb"
)

// notPermitted is what a role without LOGIN hears: invalid_authorization_specification.
const notPermitted = "28000"

func heard(states *[]string) func(context.Context, string) error {
	return func(_ context.Context, state string) error {
		*states = append(*states, state)
		return nil
	}
}

func TestAccess_TheRoleMatchesTheStateThatIsReadUnderTheLock(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	in := testdb.New(t)
	tn, other := in.Active(t, "acme"), in.Active(t, "other")
	own := in.URL(tn.Target.Role, tn.Password, tn.Target.Database)
	session, err := pgx.Connect(ctx, own)
	require.NoError(t, err)
	neighbour, err := pgx.Connect(ctx, in.URL(other.Target.Role, other.Password, other.Target.Database))
	require.NoError(t, err)

	var states []string
	in.SetState(t, tn.ID, "suspended")
	for range 2 {
		require.NoError(t, in.Admin.Access(ctx, tn.Target, heard(&states)))
		require.Equal(t, notPermitted, sqlState(connect(ctx, own)))
	}
	require.Error(t, session.Ping(ctx), "a session outlived the suspension")
	require.NoError(t, neighbour.Ping(ctx), "another tenant's session was ended")

	in.SetState(t, tn.ID, "resuming")
	require.NoError(t, in.Admin.Access(ctx, tn.Target, heard(&states)))
	require.NoError(t, connect(ctx, own))
	in.SetState(t, tn.ID, "active")
	in.Super(t, "", `ALTER ROLE "`+tn.Target.Role+`" NOLOGIN`)
	require.NoError(t, in.Admin.Access(ctx, tn.Target, heard(&states)), "a run that comes late puts it right")
	require.NoError(t, connect(ctx, own))
	require.Equal(t, []string{"suspended", "suspended", "resuming", "active"}, states)

	for _, state := range []string{"reserved", "provisioning", "failing"} {
		in.SetState(t, tn.ID, state)
		require.Equal(t, "TENANT_STATE", apperr.ReasonOf(in.Admin.Access(ctx, tn.Target, heard(&states))), state)
	}
	require.Len(t, states, 4)
}

// Whoever comes second waits until the first has written what it wanted, and
// only then reads the state.
func TestAccess_HoldsTheLockUntilTheOutcomeIsWritten(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	in := testdb.New(t)
	tn := in.Active(t, "acme")
	in.SetState(t, tn.ID, "resuming")
	inside, goOn := make(chan struct{}), make(chan struct{})
	first := make(chan error, 1)
	go func() {
		first <- in.Admin.Access(ctx, tn.Target, func(context.Context, string) error { close(inside); <-goOn; return nil })
	}()
	<-inside
	second := make(chan string, 1)
	go func() {
		_ = in.Admin.Access(ctx, tn.Target, func(_ context.Context, state string) error { second <- state; return nil })
	}()
	eventually(t, "the second waits for the lock", func() bool {
		return count(t, in, `SELECT count(*)::int FROM pg_locks WHERE locktype = 'advisory' AND NOT granted`) > 0
	})
	require.Equal(t, 1, count(t, in, `SELECT count(*)::int FROM pg_roles WHERE rolname = $1 AND rolcanlogin`, tn.Target.Role))
	in.SetState(t, tn.ID, "suspended") // after the second had begun
	close(goOn)
	require.NoError(t, <-first)
	require.Equal(t, "suspended", <-second)
	require.Zero(t, count(t, in, `SELECT count(*)::int FROM pg_roles WHERE rolname = $1 AND rolcanlogin`, tn.Target.Role))
}

// Callers that keep connecting while the tenant is suspended leave no session.
func TestAccess_LeavesNoSessionOfCallersThatKeepConnecting(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	in := testdb.New(t)
	tn := in.Active(t, "acme")
	own := in.URL(tn.Target.Role, tn.Password, tn.Target.Database)
	stop := make(chan struct{})
	var all sync.WaitGroup
	var entered atomic.Int32
	for range 6 {
		all.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if conn, err := pgx.Connect(ctx, own); err == nil {
					entered.Add(1)
					_, _ = conn.Exec(ctx, `SELECT pg_sleep(10)`) // cut off, or the session outlives the test
				}
			}
		})
	}
	for range 5 {
		in.SetState(t, tn.ID, "resuming")
		require.NoError(t, in.Admin.Access(ctx, tn.Target, ignore))
		before := entered.Load()
		eventually(t, "somebody enters", func() bool { return entered.Load() > before })
		in.SetState(t, tn.ID, "suspended")
		require.NoError(t, in.Admin.Access(ctx, tn.Target, ignore))
		quiet := time.NewTimer(200 * time.Millisecond)
		<-quiet.C
		require.Zero(t, count(t, in, `SELECT count(*)::int FROM pg_stat_activity WHERE usename = $1`, tn.Target.Role))
	}
	close(stop)
	all.Wait()
}

func ignore(context.Context, string) error { return nil }

func TestAccess_RefusesNamesThatAreNotTheTenantsOwn(t *testing.T) {
	t.Parallel()
	in := testdb.New(t)
	tn, other := in.Active(t, "acme"), in.Active(t, "other")
	in.SetState(t, tn.ID, "suspended")
	require.Error(t, in.Admin.Access(testContext(t), pgadmin.Target{Tenant: tn.ID, Database: tn.Target.Database, Role: other.Target.Role}, ignore))
	require.NoError(t, connect(testContext(t), in.URL(other.Target.Role, other.Password, other.Target.Database)))
}
