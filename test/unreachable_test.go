package test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"tenantry/internal/systest"
)

// TestTenantDatabaseUnreachable_OnlyThatTenantNotices closes one tenant's
// database under load, in two ways. Its people are told to come back, nobody
// else sees an error or waits, and it recovers by itself.
func TestTenantDatabaseUnreachable_OnlyThatTenantNotices(t *testing.T) {
	t.Parallel()
	s := own(t, systest.Options{})
	ctx := within(t, 5*time.Minute)
	victim, token := tenant(t, s, systest.NewOrder("closed"))
	key := apiKey(t, s, "closed", token, "users.read", "apikeys.manage")
	database, err := systest.Value[string](ctx, s, "", `SELECT database_name FROM tenants WHERE id = $1`, victim.TenantID)
	require.NoError(t, err)
	role, err := systest.Value[string](ctx, s, "", `SELECT role_name FROM tenants WHERE id = $1`, victim.TenantID)
	require.NoError(t, err)
	others := neighbours(t, s, 3)
	quiet := others.measure(ctx, func() { others.count(t, ctx, 200) })
	require.NoError(t, quiet.err)

	db, owner := pgx.Identifier{database}.Sanitize(), pgx.Identifier{role}.Sanitize()
	for name, way := range map[string]struct{ shut, open string }{
		"no connections": {`ALTER DATABASE ` + db + ` ALLOW_CONNECTIONS false`, `ALTER DATABASE ` + db + ` ALLOW_CONNECTIONS true`},
		"no right":       {`REVOKE CONNECT ON DATABASE ` + db + ` FROM ` + owner, `GRANT CONNECT ON DATABASE ` + db + ` TO ` + owner},
	} {
		a, err := s.Get(ctx, "closed", "/v1/users", key)
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, a.Status, a.String())
		var reasons map[string]int
		loud := others.measure(ctx, func() {
			superuser(t, s, way.shut, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '`+database+`'`)
			reasons = refusedWhileShut(t, s, key, 60)
		})
		require.NoError(t, loud.err, "%s: another tenant noticed", name)
		require.Less(t, loud.worst, 5*time.Second, "%s: another tenant waited", name)
		t.Logf("%s: the others' p50 %s, worst %s (quiet: %s, %s) over %d calls; the tenant was refused as %v",
			name, loud.median, loud.worst, quiet.median, quiet.worst, loud.calls, reasons)
		superuser(t, s, way.open)
		require.NoError(t, systest.Until(ctx, "the tenant is served again", func(ctx context.Context) (bool, error) {
			a, err := s.Get(ctx, "closed", "/v1/users", key)
			return a.Status == http.StatusOK, err
		}))
		keyed(t, s, "closed", key, "after-"+strconv.Itoa(len(name)), "")
	}
	clean(t, s)
}

// refusedWhileShut wants every call, through read and write, to be unavailable
// with a time to come back, and soon: nobody waits for a database that is shut.
func refusedWhileShut(t *testing.T, s *systest.System, key string, calls int) map[string]int {
	t.Helper()
	reasons := map[string]int{}
	for i := range calls {
		method, path, body := http.MethodGet, "/v1/users", any(nil)
		if i%2 == 1 {
			method, path, body = http.MethodPost, "/v1/service-accounts", map[string]any{"name": "never"}
		}
		began := time.Now()
		a, err := s.Call(within(t, time.Minute), method, s.TenantURL("closed", path), key, body)
		require.NoError(t, err)
		require.Equal(t, http.StatusServiceUnavailable, a.Status, a.String())
		require.Equal(t, "unavailable", a.Code())
		require.Equal(t, "TENANT_UNREACHABLE", a.Reason())
		after, err := strconv.Atoi(a.Header.Get("Retry-After"))
		require.NoError(t, err)
		require.Positive(t, after)
		require.NotContains(t, string(a.Body), "SQLSTATE")
		require.Less(t, time.Since(began), 5*time.Second)
		reasons[a.Reason()]++
	}
	return reasons
}

func superuser(t *testing.T, s *systest.System, statements ...string) {
	t.Helper()
	ctx := within(t, time.Minute)
	conn, err := s.Connect(ctx, "")
	require.NoError(t, err)
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	for _, sql := range statements {
		_, err := conn.Exec(ctx, sql, pgx.QueryExecModeSimpleProtocol)
		require.NoError(t, err, sql)
	}
}

// crowd is tenants that are asked all the time.
type crowd struct {
	s     *systest.System
	slugs []string
	keys  []string
	calls atomic.Int64
}

func neighbours(t *testing.T, s *systest.System, n int) *crowd {
	t.Helper()
	c := &crowd{s: s}
	for i := range n {
		slug := fmt.Sprintf("neighbour-%d", i)
		_, token := tenant(t, s, systest.NewOrder(slug))
		c.slugs, c.keys = append(c.slugs, slug), append(c.keys, apiKey(t, s, slug, token, "users.read", "apikeys.manage"))
	}
	return c
}

// felt is what a crowd felt.
type felt struct {
	calls         int
	median, worst time.Duration
	err           error
}

// measure asks all tenants, each by one caller, while fn runs.
func (c *crowd) measure(ctx context.Context, fn func()) felt {
	stop := make(chan struct{})
	var mu sync.Mutex
	var took []time.Duration
	var errs []error
	var all sync.WaitGroup
	for i := range c.slugs {
		all.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				began := time.Now()
				err := c.ask(ctx, i, n)
				mu.Lock()
				took = append(took, time.Since(began))
				if err != nil && len(errs) < 3 {
					errs = append(errs, err)
				}
				mu.Unlock()
				c.calls.Add(1)
			}
		})
	}
	func() {
		defer all.Wait()
		defer close(stop)
		fn()
	}()
	slices.Sort(took)
	if len(took) == 0 {
		return felt{err: errors.New("nobody asked")}
	}
	return felt{calls: len(took), median: took[len(took)/2], worst: took[len(took)-1], err: errors.Join(errs...)}
}

// ask reads, and now and then writes something that stays small.
func (c *crowd) ask(ctx context.Context, i, n int) error {
	method, path, body := http.MethodGet, "/v1/users", any(nil)
	if n%8 == 7 && n < 700 {
		method, path, body = http.MethodPost, "/v1/service-accounts", map[string]any{"name": fmt.Sprintf("n%d-%d", n, time.Now().UnixNano())}
	}
	a, err := c.s.Call(ctx, method, c.s.TenantURL(c.slugs[i], path), c.keys[i], body)
	if err == nil && a.Status != http.StatusOK && a.Reason() != "SERVICE_ACCOUNT_LIMIT" {
		err = fmt.Errorf("%s %s at %s: %s", method, path, c.slugs[i], a)
	}
	return err
}

// count waits until so many calls were made.
func (c *crowd) count(t *testing.T, ctx context.Context, n int64) {
	t.Helper()
	until := c.calls.Load() + n
	require.NoError(t, systest.Until(ctx, "the neighbours were served", func(context.Context) (bool, error) {
		return c.calls.Load() >= until, nil
	}))
}
