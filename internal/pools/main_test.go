package pools_test

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/url"
	"os"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"tenantry/internal/pools"
)

const (
	tenants = 24
	// forever is a bound that only a hang reaches.
	forever = 5 * time.Minute
)

// The databases of this run, one per tenant.
var (
	server    *url.URL
	databases [tenants]string
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	raw := os.Getenv("TENANTRY_TEST_PG_URL")
	if raw == "" {
		fmt.Fprintln(os.Stderr, "TENANTRY_TEST_PG_URL is not set: these tests need a real Postgres (make test starts one)")
		return 1
	}
	var err error
	if server, err = url.Parse(raw); err != nil {
		fmt.Fprintln(os.Stderr, "TENANTRY_TEST_PG_URL does not parse")
		return 1
	}
	suffix := token()
	for i := range databases {
		databases[i] = fmt.Sprintf("pools_%s_%02d", suffix, i)
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

// fixture is a manager whose connections carry an application name of their own.
type fixture struct {
	*pools.Manager
	app string
	ids [tenants]uuid.UUID
}

func setup(t *testing.T, opt pools.Options) *fixture {
	t.Helper()
	f := &fixture{app: "pools_" + token()}
	for i := range f.ids {
		f.ids[i] = uuid.New()
	}
	if opt.Wait == 0 {
		opt.Wait = forever
	}
	opt.OpenTimeout = forever
	opt.Configure = func(c *pgxpool.Config) { c.ConnConfig.RuntimeParams["application_name"] = f.app }
	f.Manager = pools.New(opt)
	t.Cleanup(func() {
		require.NoError(t, f.Close(bounded(t)))
		s := f.Stats()
		require.Zero(t, s.Reserved, "every reservation came back")
		require.Zero(t, s.Leases)
		require.Zero(t, s.Waiting)
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

func (f *fixture) key(i int) pools.Key { return pools.Key{Tenant: f.ids[i], Endpoint: "here"} }

func dsn(i int) pools.DSN {
	return func(context.Context) (string, error) { return dsnOf(databases[i]), nil }
}

func dsnOf(database string) string {
	u := *server
	u.Path = "/" + database
	return u.String()
}

func (f *fixture) lease(t *testing.T, i int) *pools.Lease {
	t.Helper()
	l, err := f.Acquire(bounded(t), f.key(i), dsn(i))
	require.NoError(t, err)
	t.Cleanup(l.Release)
	return l
}

// query proves that the lease reaches tenant i's database and no other.
func query(ctx context.Context, l *pools.Lease, i int) error {
	var name string
	if err := l.Pool().QueryRow(ctx, "SELECT current_database()").Scan(&name); err != nil {
		return err
	}
	if name != databases[i] {
		return fmt.Errorf("tenant %d reached %s", i, name)
	}
	return nil
}

func (f *fixture) await(t *testing.T, what string, cond func(pools.Stats) bool) {
	t.Helper()
	require.Eventually(t, func() bool { return cond(f.Stats()) }, forever, time.Millisecond, what)
}

type outcome struct {
	lease *pools.Lease
	err   error
}

// acquire runs Acquire on a goroutine of its own.
func (f *fixture) acquire(ctx context.Context, key pools.Key, d pools.DSN) <-chan outcome {
	done := make(chan outcome, 1)
	go func() {
		l, err := f.Acquire(ctx, key, d)
		done <- outcome{l, err}
	}()
	return done
}

func connections(ctx context.Context, conn *pgx.Conn, app string) (n int, err error) {
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
