package pgadmin_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"tenantry/internal/pgadmin"
	"tenantry/internal/testdb"
)

const (
	denied       = "42501" // insufficient_privilege
	notAccepting = "55000" // object_not_in_prerequisite_state
)

func TestTenantRole_ConnectsToItsOwnDatabaseOnly(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	in, other := testdb.New(t), testdb.New(t)
	a, b, foreign := in.Active(t, "a"), in.Active(t, "b"), other.Active(t, "a")

	require.NoError(t, connect(ctx, in.URL(a.Target.Role, a.Password, a.Target.Database)))
	for _, database := range []string{b.Target.Database, in.Names.Central(), "postgres", "template1", other.Names.Central(), foreign.Target.Database} {
		err := connect(ctx, in.URL(a.Target.Role, a.Password, database))
		require.Equal(t, denied, sqlState(err), "%s: %v", database, err)
	}
	tpl, err := in.Schema.EnsureTemplate(ctx)
	require.NoError(t, err)
	for _, database := range []string{tpl, "template0"} {
		err := connect(ctx, in.URL(a.Target.Role, a.Password, database))
		require.Equal(t, notAccepting, sqlState(err), "%s: %v", database, err)
	}
}

func TestTenantRole_NeverConnectsWhileAnotherDatabaseIsMade(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	in := testdb.New(t)
	a := in.Active(t, "prober")
	probe, stop := context.WithCancel(ctx)
	var target atomic.Value
	var seen atomic.Int64
	var g errgroup.Group
	for range 4 {
		g.Go(func() error {
			for probe.Err() == nil {
				database, _ := target.Load().(string)
				if database == "" {
					continue
				}
				err := connect(probe, in.URL(a.Target.Role, a.Password, database))
				if err == nil {
					return fmt.Errorf("connected to %s", database)
				}
				if s := sqlState(err); s == denied || s == notAccepting {
					seen.Add(1)
				}
			}
			return nil
		})
	}
	for i := range 6 {
		b := in.InsertTenant(t, fmt.Sprintf("victim-%d", i), "provisioning")
		target.Store(b.Target.Database)
		in.Provision(t, b)
	}
	stop()
	require.NoError(t, g.Wait())
	require.Positive(t, seen.Load(), "the probers met no database at all")
}

func TestTenantRole_OwnsNothingAndChangesNoHistory(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	in := testdb.New(t)
	_, lease := in.ActiveTenant(t, "acme")
	pool := lease.Database()
	_, err := pool.Exec(ctx, `INSERT INTO audit_log (id, at, actor_kind, action, target_kind, mac)
		VALUES (gen_random_uuid(), now(), 'system', 'x', 'y', '')`)
	require.NoError(t, err)
	_, err = pool.Exec(ctx, `INSERT INTO settings (id, document) VALUES (1, '{}')`)
	require.NoError(t, err)
	_, err = pool.Exec(ctx, `UPDATE settings SET version = 2`)
	require.NoError(t, err)
	refused(t, ctx, pool.Exec, append([]string{
		`UPDATE audit_log SET action = 'z'`, `DELETE FROM audit_log`, `TRUNCATE audit_log`,
		`DELETE FROM goose_db_version`, `UPDATE goose_db_version SET version_id = 9`,
		`INSERT INTO goose_db_version (version_id, is_applied) VALUES (9, true)`,
		`CREATE TABLE mine (id int)`, `CREATE TEMPORARY TABLE mine (id int)`, `DROP TABLE users`,
		`GRANT CONNECT ON DATABASE "` + in.Names.Central() + `" TO PUBLIC`,
	}, serverCommands(in)...))
}

func TestAPIRole_ChangesRowsOnly(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	in := testdb.New(t)
	tn := in.Active(t, "acme")
	pool := in.Central.Pool()
	_, err := pool.Exec(ctx, `UPDATE tenants SET name = 'Acme'`)
	require.NoError(t, err)
	_, err = pool.Exec(ctx, `INSERT INTO audit_log (id, at, actor_kind, action, target_kind, mac)
		VALUES (gen_random_uuid(), now(), 'system', 'x', 'y', '')`)
	require.NoError(t, err)
	refused(t, ctx, pool.Exec, append([]string{
		`UPDATE audit_log SET action = 'z'`, `DELETE FROM audit_log`, `TRUNCATE audit_log`,
		`DELETE FROM goose_db_version`, `CREATE TABLE mine (id int)`, `DROP TABLE tenants`,
		`ALTER ROLE "` + tn.Target.Role + `" PASSWORD 'x'`, `DROP ROLE "` + tn.Target.Role + `"`,
		`ALTER DATABASE "` + tn.Target.Database + `" ALLOW_CONNECTIONS false`,
		`DROP DATABASE "` + tn.Target.Database + `"`,
		`SET ROLE "` + in.Names.Provisioner() + `"`,
	}, serverCommands(in)...))
	err = connect(ctx, in.URL(in.Names.API(), pool.Config().ConnConfig.Password, tn.Target.Database))
	require.Equal(t, denied, sqlState(err))
}

// serverCommands are what only the provisioner may do.
func serverCommands(in *testdb.Installation) []string {
	return []string{
		`CREATE ROLE "` + in.Names.Prefix() + `x"`, `ALTER ROLE "` + in.Names.Group() + `" LOGIN`,
		`ALTER ROLE "` + in.Names.API() + `" CREATEDB`, `DROP ROLE "` + in.Names.Provisioner() + `"`,
		`CREATE DATABASE "` + in.Names.Prefix() + `x"`, `DROP DATABASE "` + in.Names.Central() + `"`,
		`ALTER DATABASE "` + in.Names.Central() + `" RENAME TO x`,
		`GRANT "` + in.Names.Provisioner() + `" TO CURRENT_USER`,
	}
}

func refused[T any](t *testing.T, ctx context.Context, exec func(context.Context, string, ...any) (T, error), statements []string) {
	t.Helper()
	for _, sql := range statements {
		_, err := exec(ctx, sql, pgx.QueryExecModeSimpleProtocol)
		require.Equal(t, denied, sqlState(err), "%s: %v", sql, err)
	}
}

func TestNames_TellInstallationsApart(t *testing.T) {
	t.Parallel()
	n, err := pgadmin.ParseCentral("tn_abc123_central")
	require.NoError(t, err)
	require.Equal(t, "abc123", n.Installation())
	for _, bad := range []string{"", "postgres", "tn__central", "tn_abc_central", "tn_ABC123_central", "tn_abc123_t_central", "xtn_abc123_central", "tn_abc123_central2"} {
		_, err := pgadmin.ParseCentral(bad)
		require.Error(t, err, bad)
	}
	require.True(t, n.IsTemplate("tn_abc123_tpl_0123456789ab"))
	for _, bad := range []string{"tn_abc124_tpl_0123456789ab", "tn_abc123_tpb_0123456789ab", `tn_abc123_tpl_0123456789ab"`, "template0"} {
		require.False(t, n.IsTemplate(bad), bad)
	}
	_, ok := n.ParseTenant("tn_abc123_t_00112233445566778899aabbccddeeff")
	require.True(t, ok)
	for _, bad := range []string{"tn_abc123_t_00112233445566778899AABBCCDDEEFF", "tn_abc123_t_00", "tn_abc124_t_00112233445566778899aabbccddeeff"} {
		_, ok := n.ParseTenant(bad)
		require.False(t, ok, bad)
	}
}
