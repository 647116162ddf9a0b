package pgadmin_test

import (
	"context"
	"net"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"tenantry/internal/pgadmin"
	"tenantry/internal/testdb"
)

// killable is an Admin whose connections can be cut as SIGKILL cuts them: the
// server hears nothing but a reset, no cancel request, no goodbye.
func killable(t *testing.T, in *testdb.Installation) (*pgadmin.Admin, func()) {
	t.Helper()
	var mu sync.Mutex
	var open []*net.TCPConn
	cfg, err := pgxpool.ParseConfig(in.ProvisionerURL)
	require.NoError(t, err)
	killed := false
	cfg.ConnConfig.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		mu.Lock()
		defer mu.Unlock()
		if killed {
			return nil, net.ErrClosed
		}
		c, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		if err == nil {
			open = append(open, c.(*net.TCPConn))
		}
		return c, err
	}
	pool, err := pgxpool.NewWithConfig(context.Background(), cfg)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pgadmin.New(pool, testdb.Log()), func() {
		mu.Lock()
		defer mu.Unlock()
		killed = true
		for _, c := range open {
			_ = c.SetLinger(0)
			_ = c.Close()
		}
	}
}

// holdCreates keeps every CREATE and DROP DATABASE of the server waiting until
// the answer is called. Such a test owns its server for that time.
func holdCreates(t *testing.T, in *testdb.Installation) func() {
	t.Helper()
	ctx := testContext(t)
	conn, err := pgx.Connect(ctx, in.SuperURL)
	require.NoError(t, err)
	_, err = conn.Exec(ctx, `BEGIN; LOCK TABLE pg_database IN SHARE MODE`, pgx.QueryExecModeSimpleProtocol)
	require.NoError(t, err)
	release := sync.OnceFunc(func() { _ = conn.Close(ctx) })
	t.Cleanup(release)
	return release
}

func TestDropDatabase_WaitsForTheCreateOfAKilledClient(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	in := testdb.New(t)
	tpl, err := in.Schema.EnsureTemplate(ctx)
	require.NoError(t, err)
	tn := in.InsertTenant(t, "acme", "provisioning")
	admin, kill := killable(t, in)

	release := holdCreates(t, in)
	created := make(chan error, 1)
	go func() { created <- admin.CreateDatabase(ctx, tn.Target, tpl) }()
	creating := func() int {
		return count(t, in, `SELECT count(*)::int FROM pg_stat_activity
			WHERE wait_event_type = 'Lock' AND query LIKE 'CREATE DATABASE "' || $1 || '"%'`, tn.Target.Database)
	}
	eventually(t, "CREATE DATABASE is under way", func() bool { return creating() == 1 })
	kill()
	require.Error(t, <-created)
	require.Equal(t, 1, creating(), "Postgres goes on for its dead client")

	in.SetState(t, tn.ID, "failing")
	dropped := make(chan error, 1)
	go func() { dropped <- in.Admin.DropDatabase(ctx, tn.Target) }()
	eventually(t, "the drop waits for the lock of the dead client's session", func() bool { return advisoryWaiters(t, in) == 1 })
	release()
	require.NoError(t, <-dropped)
	require.Zero(t, creating())
	require.Zero(t, databases(t, in, tn.Target.Database))
	require.Zero(t, advisoryLocks(t, in))
}

// The control of the test above: what happens without the lock.
func TestDropDatabase_WithoutTheLockLeavesTheDatabase(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	in := testdb.New(t)
	tpl, err := in.Schema.EnsureTemplate(ctx)
	require.NoError(t, err)
	tn := in.InsertTenant(t, "acme", "provisioning")
	admin, kill := killable(t, in)
	release := holdCreates(t, in)
	go func() { _ = admin.CreateDatabase(ctx, tn.Target, tpl) }()
	eventually(t, "CREATE DATABASE is under way", func() bool {
		return count(t, in, `SELECT count(*)::int FROM pg_stat_activity
			WHERE wait_event_type = 'Lock' AND query LIKE 'CREATE DATABASE "' || $1 || '"%'`, tn.Target.Database) == 1
	})
	kill()
	require.Zero(t, databases(t, in, tn.Target.Database), "a drop that looks now finds nothing to drop")
	release()
	eventually(t, "and then the database is there", func() bool { return databases(t, in, tn.Target.Database) == 1 })
}
