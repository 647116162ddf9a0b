package connections_test

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"flag"
	"fmt"
	"net/url"
	"os"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"tenantry/internal/connections"
)

const (
	databaseCount = 24
	// forever is a bound that only a hang reaches.
	forever = time.Minute
)

// The databases of this run, one per tenant.
var (
	server    *url.URL
	databases [databaseCount]string
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	raw := os.Getenv("TENANTRY_TEST_PG_URL")
	if raw == "" {
		fmt.Fprintln(os.Stderr, "TENANTRY_TEST_PG_URL is not set: these tests need a real Postgres (make test starts one)")
		return 1
	}
	if n := os.Getenv("TENANTRY_TEST_HISTORIES"); n != "" {
		if err := flag.Set("rapid.checks", n); err != nil {
			fmt.Fprintln(os.Stderr, "TENANTRY_TEST_HISTORIES:", err)
			return 1
		}
	}
	var err error
	if server, err = url.Parse(raw); err != nil {
		fmt.Fprintln(os.Stderr, "TENANTRY_TEST_PG_URL does not parse")
		return 1
	}
	suffix := token()
	for i := range databases {
		databases[i] = fmt.Sprintf("connections_%s_%02d", suffix, i)
	}
	defer func() { _ = eachDatabase("DROP DATABASE IF EXISTS %s WITH (FORCE)") }()
	if err := eachDatabase("CREATE DATABASE %s TEMPLATE template0"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.Run()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return code
}

func eachDatabase(format string) error {
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, server.String())
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	for _, name := range databases {
		if _, err := conn.Exec(ctx, fmt.Sprintf(format, name)); err != nil {
			return err
		}
	}
	return nil
}

func token() string {
	b := make([]byte, 5)
	_, _ = rand.Read(b)
	return hex.EncodeToString(b)
}

// fixture is a cache on a real server, whose connections carry an application
// name of their own.
type fixture struct {
	*connections.Cache
	app string
	ids [databaseCount]uuid.UUID
}

func setup(t *testing.T, opt connections.Options) *fixture {
	t.Helper()
	f := &fixture{app: "connections_" + token()}
	for i := range f.ids {
		f.ids[i] = uuid.New()
	}
	if opt.Stall == 0 {
		opt.Stall = forever
	}
	opt.OpenTimeout = forever
	before := opt.Configure
	opt.Configure = func(c *pgx.ConnConfig) {
		c.RuntimeParams["application_name"] = f.app
		if before != nil {
			before(c)
		}
	}
	f.Cache = connections.New(opt)
	t.Cleanup(func() {
		require.NoError(t, f.Close(bounded(t)))
		s := f.Stats()
		require.Zero(t, s.Held(), "every connection is closed")
		require.Zero(t, s.Waiting)
		require.Zero(t, s.Tenants)
	})
	return f
}

// bounded ends a test that hangs; it outlives the test's own context, which is
// cancelled before the clean-ups.
func bounded(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), forever)
	t.Cleanup(cancel)
	return ctx
}

func (f *fixture) key(i int) connections.Key {
	return connections.Key{Tenant: f.ids[i], Endpoint: "here"}
}

// db is tenant i's database.
func (f *fixture) db(i int) *connections.Database { return f.Database(f.key(i), dsn(i)) }

func dsn(i int) connections.DSN {
	return func(context.Context) (string, error) { return dsnOf(databases[i]), nil }
}

func dsnOf(database string) string {
	u := *server
	u.Path = "/" + database
	return u.String()
}

// query proves that a database is tenant i's and no other.
func query(ctx context.Context, d *connections.Database, i int) error {
	var name string
	if err := d.QueryRow(ctx, "SELECT current_database()").Scan(&name); err != nil {
		return err
	}
	return named(name, i)
}

// transact is query in a transaction.
func transact(ctx context.Context, d *connections.Database, i int) error {
	tx, err := d.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	var name string
	if err := tx.QueryRowContext(ctx, "SELECT current_database()").Scan(&name); err != nil {
		return err
	}
	if err := named(name, i); err != nil {
		return err
	}
	return tx.Commit()
}

func named(name string, i int) error {
	if name != databases[i] {
		return fmt.Errorf("tenant %d reached %s", i, name)
	}
	return nil
}

func (f *fixture) await(t *testing.T, what string, cond func(connections.Stats) bool) {
	t.Helper()
	require.Eventually(t, func() bool { return cond(f.Stats()) }, forever, time.Millisecond, what)
}

func connected(ctx context.Context, conn *pgx.Conn, app string) (n int, err error) {
	err = conn.QueryRow(ctx, "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1", app).Scan(&n)
	return n, err
}

func superuser(t *testing.T) *pgx.Conn {
	t.Helper()
	ctx := bounded(t)
	conn, err := pgx.Connect(ctx, server.String())
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(ctx) })
	return conn
}

// gated returns a DSN that counts its calls and waits for the gate.
func gated(d connections.DSN) (_ connections.DSN, gate chan struct{}, calls *counter) {
	gate, calls = make(chan struct{}), &counter{}
	return func(ctx context.Context) (string, error) {
		calls.Add(1)
		select {
		case <-gate:
		case <-ctx.Done():
			return "", ctx.Err()
		}
		return d(ctx)
	}, gate, calls
}
