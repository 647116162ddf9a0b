package pgadmin_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"tenantry/internal/testdb"
)

// testTime bounds what a test waits for.
const testTime = 30 * time.Second

func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testTime)
	t.Cleanup(cancel)
	return ctx
}

// sqlState answers the SQLSTATE of err, "" for none.
func sqlState(err error) string {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code
	}
	return ""
}

// connect tries a session and answers why not.
func connect(ctx context.Context, url string) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	return conn.Close(ctx)
}

// count runs a counting query as superuser.
func count(t *testing.T, in *testdb.Installation, sql string, args ...any) int {
	t.Helper()
	ctx := testContext(t)
	conn, err := pgx.Connect(ctx, in.SuperURL)
	require.NoError(t, err)
	defer func() { _ = conn.Close(ctx) }()
	var n int
	require.NoError(t, conn.QueryRow(ctx, sql, args...).Scan(&n))
	return n
}

func databases(t *testing.T, in *testdb.Installation, name string) int {
	t.Helper()
	return count(t, in, `SELECT count(*)::int FROM pg_database WHERE datname = $1`, name)
}

func roles(t *testing.T, in *testdb.Installation, name string) int {
	t.Helper()
	return count(t, in, `SELECT count(*)::int FROM pg_roles WHERE rolname = $1`, name)
}

// eventually waits for what another session is to do.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	require.Eventually(t, ok, testTime, 5*time.Millisecond, what)
}
