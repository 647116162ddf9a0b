package schema_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"tenantry/internal/schema"
	"tenantry/internal/testdb"
)

// databasesLike answers name → oid of databases with a prefix.
func databasesLike(t *testing.T, in *testdb.Installation, prefix string) map[string]uint32 {
	t.Helper()
	ctx := testContext(t)
	rows, err := in.Provisioner.Query(ctx, `SELECT datname::text, oid FROM pg_database WHERE starts_with(datname, $1)`, prefix)
	require.NoError(t, err)
	out := map[string]uint32{}
	var name string
	var oid uint32
	_, err = pgx.ForEachRow(rows, []any{&name, &oid}, func() error { out[name] = oid; return nil })
	require.NoError(t, err)
	return out
}

func TestEnsureTemplate_IsBuiltOnce(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	in := testdb.New(t)
	name, err := in.Schema.EnsureTemplate(ctx)
	require.NoError(t, err)
	require.Equal(t, in.Names.Template(schema.TenantHash()), name)
	in.Super(t, "", `DROP DATABASE "`+name+`"`)
	var g errgroup.Group
	for range 5 {
		g.Go(func() error {
			_, err := in.Schema.EnsureTemplate(ctx)
			return err
		})
	}
	require.NoError(t, g.Wait())
	first := databasesLike(t, in, in.Names.Prefix()+"tp")
	require.Len(t, first, 1)
	_, err = in.Schema.EnsureTemplate(ctx)
	require.NoError(t, err)
	require.Equal(t, first, databasesLike(t, in, in.Names.Prefix()+"tp"))
}

func TestEnsureTemplate_RebuildsWhatACrashLeft(t *testing.T) {
	t.Parallel()
	hash := schema.TenantHash()
	for name, plant := range map[string]func(in *testdb.Installation, tpl, building string){
		"killed while it was built": func(in *testdb.Installation, tpl, building string) {
			in.Super(t, "", `ALTER DATABASE "`+tpl+`" RENAME TO "`+building+`"`)
			in.Super(t, "", `ALTER DATABASE "`+building+`" ALLOW_CONNECTIONS true`)
			in.Super(t, building, `DROP TABLE users CASCADE`)
		},
		"killed between the last migration and the new name": func(in *testdb.Installation, tpl, building string) {
			in.Super(t, "", `ALTER DATABASE "`+tpl+`" RENAME TO "`+building+`"`)
		},
		"another schema's builder was killed": func(in *testdb.Installation, tpl, _ string) {
			in.Super(t, "", `ALTER DATABASE "`+tpl+`" RENAME TO "`+in.Names.Building("0123456789ab")+`"`)
		},
		"server died in DROP of the leftover": func(in *testdb.Installation, tpl, building string) {
			in.Super(t, "", `ALTER DATABASE "`+tpl+`" RENAME TO "`+building+`"`)
			in.Super(t, "", `UPDATE pg_database SET datconnlimit = -2 WHERE datname = '`+building+`'`)
		},
		"server died in DROP of the template": func(in *testdb.Installation, tpl, _ string) {
			in.Super(t, "", `UPDATE pg_database SET datconnlimit = -2 WHERE datname = '`+tpl+`'`)
		},
		"somebody opened the template": func(in *testdb.Installation, tpl, _ string) {
			in.Super(t, "", `ALTER DATABASE "`+tpl+`" ALLOW_CONNECTIONS true`)
			in.Super(t, tpl, `DROP TABLE users CASCADE`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := testContext(t)
			in := testdb.New(t)
			tpl := in.Names.Template(hash)
			before := databasesLike(t, in, tpl)[tpl]
			plant(in, tpl, in.Names.Building(hash))
			got, err := in.Schema.EnsureTemplate(ctx)
			require.NoError(t, err)
			require.Equal(t, tpl, got)
			after := databasesLike(t, in, in.Names.Prefix()+"tp")
			require.Len(t, after, 1, "%v", after)
			require.NotEqual(t, before, after[tpl])
			_, lease := in.ActiveTenant(t, "acme")
			_, err = lease.Database().Exec(ctx, `SELECT FROM users`)
			require.NoError(t, err)
		})
	}
}

func TestEnsureTemplate_LeavesOthersAlone(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	in, other := testdb.New(t), testdb.New(t)
	tpl, theirs, old := in.Names.Template(schema.TenantHash()), other.Names.Template(schema.TenantHash()), in.Names.Template("0123456789ab")
	in.Super(t, "", `ALTER DATABASE "`+theirs+`" RENAME TO "`+other.Names.Building("0123456789ab")+`"`)
	in.Super(t, "", `ALTER DATABASE "`+tpl+`" RENAME TO "`+old+`"`)
	_, err := in.Schema.EnsureTemplate(ctx)
	require.NoError(t, err)
	require.Len(t, databasesLike(t, in, old), 1, "a template that an older binary may use")
	require.Len(t, databasesLike(t, in, other.Names.Building("0123456789ab")), 1, "another installation's")
}

func TestEnsureTemplate_CancelledBuilderLeavesTheLock(t *testing.T) {
	t.Parallel()
	in := testdb.New(t)
	tpl := in.Names.Template(schema.TenantHash())
	in.Super(t, "", `DROP DATABASE "`+tpl+`"`)
	ctx, cancel := context.WithCancel(testContext(t))
	cancel()
	_, err := in.Schema.EnsureTemplate(ctx)
	require.ErrorIs(t, err, context.Canceled)
	_, err = in.Schema.EnsureTemplate(testContext(t))
	require.NoError(t, err)
}
