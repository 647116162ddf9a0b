package pgadmin_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"tenantry/internal/apperr"
	"tenantry/internal/ids"
	"tenantry/internal/pgadmin"
	"tenantry/internal/testdb"
)

// commandsOf are all commands about a tenant.
func commandsOf(in *testdb.Installation, tpl string) map[string]func(context.Context, pgadmin.Target) error {
	return map[string]func(context.Context, pgadmin.Target) error{
		"CreateRole": func(ctx context.Context, t pgadmin.Target) error { return in.Admin.CreateRole(ctx, t, "pw") },
		"CreateDatabase": func(ctx context.Context, t pgadmin.Target) error {
			return in.Admin.CreateDatabase(ctx, t, tpl)
		},
		"GrantAndOpen":  in.Admin.GrantAndOpen,
		"CloseDatabase": in.Admin.CloseDatabase,
		"DropDatabase":  in.Admin.DropDatabase,
		"DropRole":      in.Admin.DropRole,
	}
}

func TestCommands_AnyStepTwiceIsOnce(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	in := testdb.New(t)
	tpl, err := in.Schema.EnsureTemplate(ctx)
	require.NoError(t, err)
	tn := in.InsertTenant(t, "acme", "provisioning")
	twice := func(fn func() error) {
		t.Helper()
		require.NoError(t, fn())
		require.NoError(t, fn())
	}
	twice(func() error { return in.Admin.CreateRole(ctx, tn.Target, "first") })
	twice(func() error { return in.Admin.CreateRole(ctx, tn.Target, tn.Password) })
	twice(func() error { return in.Admin.CreateDatabase(ctx, tn.Target, tpl) })
	own := in.URL(tn.Target.Role, tn.Password, tn.Target.Database)
	require.Equal(t, notAccepting, sqlState(connect(ctx, own)), "open before its grants")
	twice(func() error { return in.Admin.GrantAndOpen(ctx, tn.Target) })
	require.NoError(t, connect(ctx, own), "the last password counts")
	// A creation repeated after the opening destroys nothing.
	twice(func() error { return in.Admin.CreateDatabase(ctx, tn.Target, tpl) })
	require.NoError(t, connect(ctx, own))

	in.SetState(t, tn.ID, "failing")
	open, err := pgx.Connect(ctx, own)
	require.NoError(t, err)
	twice(func() error { return in.Admin.CloseDatabase(ctx, tn.Target) })
	require.Error(t, open.Ping(ctx), "a session outlived the closing")
	require.Equal(t, notAccepting, sqlState(connect(ctx, own)))
	twice(func() error { return in.Admin.DropDatabase(ctx, tn.Target) })
	twice(func() error { return in.Admin.DropRole(ctx, tn.Target) })
	twice(func() error { return in.Admin.CloseDatabase(ctx, tn.Target) })
	require.Zero(t, databases(t, in, tn.Target.Database))
	require.Zero(t, roles(t, in, tn.Target.Role))
}

func TestDropDatabase_EndsTheTenantsSessions(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	in := testdb.New(t)
	tn := in.Active(t, "acme")
	conn, err := pgx.Connect(ctx, in.URL(tn.Target.Role, tn.Password, tn.Target.Database))
	require.NoError(t, err)
	in.SetState(t, tn.ID, "failing")
	require.NoError(t, in.Admin.DropDatabase(ctx, tn.Target))
	require.Error(t, conn.Ping(ctx))
	require.Zero(t, databases(t, in, tn.Target.Database))
}

func TestCommands_RefuseOtherStates(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	in := testdb.New(t)
	tpl, err := in.Schema.EnsureTemplate(ctx)
	require.NoError(t, err)
	allowed := map[string][]string{
		"CreateRole": {"provisioning"}, "CreateDatabase": {"provisioning"}, "GrantAndOpen": {"provisioning"},
		"CloseDatabase": {"failing", "gone"}, "DropDatabase": {"failing", "gone"}, "DropRole": {"failing", "gone"},
	}
	for _, state := range []string{"reserved", "provisioning", "failing", "active", "gone"} {
		id := ids.NewTenant()
		target := pgadmin.Target{Tenant: id, Database: in.Names.Tenant(id), Role: in.Names.Tenant(id)}
		if state != "gone" {
			target = in.InsertTenant(t, "tenant-"+state, state).Target
		}
		for name, run := range commandsOf(in, tpl) {
			if contains(allowed[name], state) {
				continue // TestCommands_AnyStepTwiceIsOnce
			}
			err := run(ctx, target)
			require.Equal(t, apperr.Precondition, apperr.KindOf(err), "%s, %s: %v", name, state, err)
			require.Equal(t, "TENANT_STATE", apperr.ReasonOf(err))
		}
		require.Zero(t, databases(t, in, target.Database))
		require.Zero(t, roles(t, in, target.Role))
	}
}

func contains(list []string, s string) bool {
	return strings.Contains(" "+strings.Join(list, " ")+" ", " "+s+" ")
}

func TestCommands_RefuseForeignNames(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	in, other := testdb.New(t), testdb.New(t)
	tpl, err := in.Schema.EnsureTemplate(ctx)
	require.NoError(t, err)
	foreign := other.Active(t, "foreign")
	mine, sister := in.InsertTenant(t, "mine", "provisioning"), in.Active(t, "sister")
	own := mine.Target.Database
	for _, target := range []pgadmin.Target{
		{Tenant: mine.ID, Database: foreign.Target.Database, Role: own},
		{Tenant: mine.ID, Database: own, Role: foreign.Target.Role},
		{Tenant: foreign.ID, Database: foreign.Target.Database, Role: foreign.Target.Role},
		{Tenant: mine.ID, Database: sister.Target.Database, Role: sister.Target.Role},
		{Tenant: mine.ID, Database: "postgres", Role: "postgres"},
		{Tenant: mine.ID, Database: in.Names.Central(), Role: in.Names.API()},
		{Tenant: mine.ID, Database: own + `"; DROP DATABASE x; --`, Role: own},
		{Tenant: mine.ID},
		{Database: own, Role: own},
	} {
		for _, state := range []string{"provisioning", "failing"} {
			in.SetState(t, mine.ID, state)
			for name, run := range commandsOf(in, tpl) {
				require.Error(t, run(ctx, target), "%s %s %+v", name, state, target)
			}
		}
	}
	in.SetState(t, mine.ID, "provisioning")
	for _, bad := range []string{"template0", "template1", other.Names.Template("0123456789ab"), in.Names.Central(), in.Names.Building("0123456789ab"), sister.Target.Database} {
		require.Error(t, in.Admin.CreateDatabase(ctx, mine.Target, bad), bad)
	}
	require.NoError(t, connect(ctx, in.URL(foreign.Target.Role, foreign.Password, foreign.Target.Database)))
	require.NoError(t, connect(ctx, in.URL(sister.Target.Role, sister.Password, sister.Target.Database)))
	require.Zero(t, databases(t, in, own))
}

func TestCreateRole_PasswordNeverReachesTheServer(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	in := testdb.New(t)
	tn := in.InsertTenant(t, "acme", "provisioning")
	var sent sentence
	cfg, err := pgxpool.ParseConfig(in.ProvisionerURL)
	require.NoError(t, err)
	cfg.ConnConfig.Tracer = &sent
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	admin := pgadmin.New(pool, testdb.Log())
	require.NoError(t, admin.CreateRole(ctx, tn.Target, tn.Password))
	require.NoError(t, admin.CreateRole(ctx, tn.Target, tn.Password))
	require.Contains(t, sent.String(), "SCRAM-SHA-256$4096:")
	require.NotContains(t, sent.String(), tn.Password)
	for _, bad := range []string{"", "pässword", "tab\there"} {
		require.Error(t, admin.CreateRole(ctx, tn.Target, bad))
	}
}

// sentence collects every statement with its arguments.
type sentence struct {
	mu  sync.Mutex
	all strings.Builder
}

func (s *sentence) TraceQueryStart(ctx context.Context, _ *pgx.Conn, d pgx.TraceQueryStartData) context.Context {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all.WriteString(d.SQL)
	for _, a := range d.Args {
		if text, ok := a.(string); ok {
			s.all.WriteString("|" + text)
		}
	}
	return ctx
}

func (s *sentence) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func (s *sentence) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all.String()
}

func TestInvalidDatabase_IsMadeAgainAndDropped(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	in := testdb.New(t)
	tpl, err := in.Schema.EnsureTemplate(ctx)
	require.NoError(t, err)
	tn := in.InsertTenant(t, "acme", "provisioning")
	in.Provision(t, tn)
	invalidate := func() { // what a crash inside DROP leaves
		in.Super(t, "", `UPDATE pg_database SET datconnlimit = -2 WHERE datname = $1`, tn.Target.Database)
	}
	invalidate()
	require.Error(t, connect(ctx, in.URL(tn.Target.Role, tn.Password, tn.Target.Database)))
	require.NoError(t, in.Admin.CreateDatabase(ctx, tn.Target, tpl))
	require.NoError(t, in.Admin.GrantAndOpen(ctx, tn.Target))
	require.NoError(t, connect(ctx, in.URL(tn.Target.Role, tn.Password, tn.Target.Database)))

	invalidate()
	in.SetState(t, tn.ID, "failing")
	require.NoError(t, in.Admin.CloseDatabase(ctx, tn.Target))
	require.NoError(t, in.Admin.DropDatabase(ctx, tn.Target))
	require.NoError(t, in.Admin.DropRole(ctx, tn.Target))
	require.Zero(t, databases(t, in, tn.Target.Database))
}

func TestLock_IsGivenBackByACancelledCaller(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	in := testdb.New(t)
	tn := in.InsertTenant(t, "acme", "failing")
	holder, err := pgx.Connect(ctx, in.ProvisionerURL)
	require.NoError(t, err)
	_, err = holder.Exec(ctx, `SELECT pg_advisory_lock($1)`, pgadmin.LockKey(tn.ID))
	require.NoError(t, err)

	waiting, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- in.Admin.DropRole(waiting, tn.Target) }()
	eventually(t, "the command waits for the lock", func() bool { return advisoryWaiters(t, in) == 1 })
	cancel()
	require.ErrorIs(t, <-done, context.Canceled)
	short, stop := context.WithTimeout(ctx, 100*time.Millisecond)
	defer stop()
	err = in.Admin.DropRole(short, tn.Target)
	require.Error(t, err)
	require.NotEqual(t, "TENANT_STATE", apperr.ReasonOf(err))

	require.NoError(t, holder.Close(ctx))
	require.NoError(t, in.Admin.DropRole(ctx, tn.Target))
	eventually(t, "no session keeps an advisory lock", func() bool { return advisoryLocks(t, in) == 0 })
	var timeout string
	require.NoError(t, in.Provisioner.QueryRow(ctx, `SELECT current_setting('statement_timeout')`).Scan(&timeout))
	require.Equal(t, "0", timeout, "the pool's session kept the command's timeout")
}

func advisoryLocks(t *testing.T, in *testdb.Installation) int {
	t.Helper()
	return count(t, in, `SELECT count(*)::int FROM pg_locks l JOIN pg_database d ON d.oid = l.database
		WHERE l.locktype = 'advisory' AND d.datname = $1`, in.Names.Central())
}

func advisoryWaiters(t *testing.T, in *testdb.Installation) int {
	t.Helper()
	return count(t, in, `SELECT count(*)::int FROM pg_locks l JOIN pg_database d ON d.oid = l.database
		WHERE l.locktype = 'advisory' AND NOT l.granted AND d.datname = $1`, in.Names.Central())
}
