package pgadmin_test

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"tenantry/internal/pgadmin"
	"tenantry/internal/testdb"
)

func TestBootstrap_AgainKeepsTheDataAndReplacesPasswords(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	in := testdb.New(t)
	in.InsertTenant(t, "acme", "reserved")
	again, err := pgadmin.Bootstrap(ctx, in.SuperURL, pgadmin.Options{Installation: in.IID})
	require.NoError(t, err)
	require.Equal(t, in.IID, again.Installation)
	require.Error(t, connect(ctx, in.CentralURL))
	require.Error(t, connect(ctx, in.ProvisionerURL))
	require.NoError(t, connect(ctx, again.CentralURL))

	conn, err := pgx.Connect(ctx, again.ProvisionerURL)
	require.NoError(t, err)
	defer func() { _ = conn.Close(ctx) }()
	var tenants int
	require.NoError(t, conn.QueryRow(ctx, `SELECT count(*) FROM tenants`).Scan(&tenants))
	require.Equal(t, 1, tenants)
}

func TestBootstrap_GoesOnAfterACrash(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	in := testdb.New(t)
	// As if it had died right after CREATE DATABASE, and before that.
	in.Super(t, "", `ALTER DATABASE "`+in.Names.Central()+`" ALLOW_CONNECTIONS false`)
	in.Super(t, "", `REVOKE CONNECT ON DATABASE "`+in.Names.Central()+`" FROM "`+in.Names.API()+`"`)
	in.Super(t, "", `REVOKE "`+in.Names.Group()+`" FROM "`+in.Names.Provisioner()+`"`)
	again, err := pgadmin.Bootstrap(ctx, in.SuperURL, pgadmin.Options{Installation: in.IID})
	require.NoError(t, err)
	require.NoError(t, connect(ctx, again.CentralURL))
	require.NoError(t, connect(ctx, again.ProvisionerURL))
}

func TestBootstrap_RefusesBadInputWithoutShowingIt(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	for _, url := range []string{"", "postgres", "postgres://u:hunter2@h:notaport/x", "postgres://u:hunter2@h/x?sslmode=nonsense"} {
		_, err := pgadmin.Bootstrap(ctx, url, pgadmin.Options{})
		require.Error(t, err)
		require.NotContains(t, err.Error(), "hunter2")
	}
	for _, iid := range []string{"a", "ABCDEF", "abc-de", `abcde"`} {
		_, err := pgadmin.Bootstrap(ctx, testdb.ServerURL(t), pgadmin.Options{Installation: iid})
		require.Error(t, err, iid)
	}
}

func TestBootstrapSQL_DoesTheSameAndHoldsNoPassword(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	in := testdb.New(t) // an existing installation: the script may be repeated, too
	opts := pgadmin.Options{Installation: in.IID}.Complete()
	sql, err := pgadmin.BootstrapSQL(opts)
	require.NoError(t, err)
	require.NotContains(t, sql, opts.APIPassword)
	require.NotContains(t, sql, opts.ProvisionerPassword)
	require.Equal(t, 2, strings.Count(sql, "'SCRAM-SHA-256$4096:"))
	_, err = pgadmin.BootstrapSQL(pgadmin.Options{Installation: in.IID})
	require.Error(t, err, "a script whose passwords nobody knows")

	runScript(t, ctx, in, sql)
	res, err := opts.Result(in.SuperURL)
	require.NoError(t, err)
	require.NoError(t, connect(ctx, res.CentralURL))
	require.NoError(t, connect(ctx, res.ProvisionerURL))
}

func TestBootstrapSQL_MakesANewInstallation(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	in := testdb.New(t)
	in.Super(t, "", `DROP DATABASE "`+in.Names.Central()+`" WITH (FORCE)`)
	in.Super(t, "", `DROP ROLE "`+in.Names.API()+`"`)
	opts := pgadmin.Options{Installation: in.IID}.Complete()
	sql, err := pgadmin.BootstrapSQL(opts)
	require.NoError(t, err)
	runScript(t, ctx, in, sql)
	res, err := opts.Result(in.SuperURL)
	require.NoError(t, err)
	require.NoError(t, connect(ctx, res.CentralURL))
	require.NoError(t, connect(ctx, res.ProvisionerURL))
}

// runScript does what psql does with the script: \connect and \gexec.
func runScript(t *testing.T, ctx context.Context, in *testdb.Installation, script string) {
	t.Helper()
	conn, err := pgx.Connect(ctx, in.SuperURL)
	require.NoError(t, err)
	defer func() { _ = conn.Close(ctx) }()
	run := func(sql string) {
		_, err := conn.Exec(ctx, sql, pgx.QueryExecModeSimpleProtocol)
		require.NoError(t, err, sql)
	}
	for _, block := range strings.Split(script, "\n\n")[1:] {
		_, block, _ = strings.Cut(block, "\n") // the comment
		block = strings.TrimSpace(block)
		if rest, ok := strings.CutPrefix(block, `\connect `); ok {
			database, sql, _ := strings.Cut(rest, "\n")
			require.NoError(t, conn.Close(ctx))
			conn, err = pgx.Connect(ctx, in.SuperURLOn(database))
			require.NoError(t, err)
			run(sql)
			continue
		}
		if query, ok := strings.CutSuffix(block, ` \gexec`); ok {
			rows, err := conn.Query(ctx, query)
			require.NoError(t, err)
			statements, err := pgx.CollectRows(rows, pgx.RowTo[string])
			require.NoError(t, err)
			for _, sql := range statements {
				run(sql)
			}
			continue
		}
		run(block)
	}
}
