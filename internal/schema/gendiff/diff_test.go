package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"tenantry/internal/testdb"
)

const root = "../../../migrations"

// numbered is the name of a set's migration that many after the last.
func numbered(t *testing.T, s set, after int, name string) string {
	t.Helper()
	return fmt.Sprintf("%05d_%s.sql", len(sqlFiles(filepath.Join(root, s.name)))+after, name)
}

func TestDiff_EmbeddedMigrationsReachTheEntSchema(t *testing.T) {
	t.Parallel()
	for _, s := range sets {
		path, sql, err := diff(context.Background(), testdb.ServerURL(t), root, s, "change")
		require.NoError(t, err)
		require.Empty(t, path, "go run ./internal/schema/gendiff; missing:\n%s", sql)
	}
}

func TestDiff_GeneratesTheFirstMigrationByteForByte(t *testing.T) {
	t.Parallel()
	for _, s := range sets {
		empty := t.TempDir()
		require.NoError(t, os.Mkdir(filepath.Join(empty, s.name), 0o700))
		path, sql, err := diff(context.Background(), testdb.ServerURL(t), empty, s, "change")
		require.NoError(t, err)
		require.Equal(t, filepath.Join(empty, s.name, "00001_init.sql"), path)
		_, again, err := diff(context.Background(), testdb.ServerURL(t), empty, s, "change")
		require.NoError(t, err)
		require.Equal(t, again, sql)
	}
}

// edited copies a set and changes it with one more migration.
func edited(t *testing.T, s set, sql string) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS(root)))
	require.NoError(t, os.WriteFile(filepath.Join(dir, s.name, numbered(t, s, 1, "edit")), []byte("-- +goose Up\n"+sql+"\n"), 0o600))
	return dir
}

func TestDiff_FindsWhatIsMissingAndKeepsHandwork(t *testing.T) {
	t.Parallel()
	central := sets[0]
	for _, c := range []struct{ planted, want string }{
		{`ALTER TABLE tenants DROP COLUMN slug;`, `ADD COLUMN "slug"`},
		{`ALTER TABLE tenants ADD COLUMN extra text;`, `DROP COLUMN "extra"`},
		{`DROP INDEX tenant_state;`, `CREATE INDEX "tenant_state"`},
		{`CREATE INDEX extra ON tenants (name);`, `DROP INDEX "extra"`},
		{`ALTER TABLE tenants ALTER COLUMN owner_email SET NOT NULL;`, `DROP NOT NULL`},
	} {
		path, sql, err := diff(context.Background(), testdb.ServerURL(t), edited(t, central, c.planted), central, "change")
		require.NoError(t, err, c.planted)
		require.Equal(t, numbered(t, central, 2, "change"), filepath.Base(path))
		require.Contains(t, sql, c.want)
		require.NotContains(t, sql, "CONSTRAINT")
		require.NotContains(t, sql, "goose Down")
	}
	_, _, err := diff(context.Background(), testdb.ServerURL(t), edited(t, central, `CREATE TABLE extra (id int);`), central, "change")
	require.ErrorContains(t, err, "extra")
}

func TestDiff_RefusesGapsAndLeavesNoDatabase(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS(root)))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "central", numbered(t, sets[0], 2, "gap")), []byte("-- +goose Up\n"), 0o600))
	_, _, err := diff(ctx, testdb.ServerURL(t), dir, sets[0], "change")
	require.ErrorContains(t, err, strings.TrimSuffix(numbered(t, sets[0], 1, ""), ".sql"))

	_, _, err = diff(ctx, testdb.ServerURL(t), edited(t, sets[0], `SELECT nonsense;`), sets[0], "change")
	require.Error(t, err)
	_, _, err = diff(ctx, "", dir, sets[0], "change")
	require.ErrorContains(t, err, "TENANTRY_TEST_PG_URL")

	server, err := pgx.Connect(ctx, testdb.ServerURL(t))
	require.NoError(t, err)
	defer func() { _ = server.Close(ctx) }()
	_, drop, err := scratch(ctx, testdb.ServerURL(t))
	require.NoError(t, err)
	require.NoError(t, drop())
}
