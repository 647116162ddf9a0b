package test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"tenantry/internal/devstack"
	"tenantry/internal/systest"
)

// organizations is how many a test of connections makes; the long form has 60.
func organizations(t *testing.T) int {
	t.Helper()
	n, err := strconv.Atoi(os.Getenv("TENANTRY_TEST_ORGANIZATIONS"))
	if err != nil {
		return 10
	}
	return n
}

// spread is an open load: GET /v1/me at random organizations at a fixed pace,
// whether or not the calls before are answered, at each process in turn.
type spread struct {
	s       *systest.System
	tokens  map[string]string
	slugs   []string
	perSec  int
	targets atomic.Pointer[[]string]

	mu  sync.Mutex
	all []reply
}

// reply is one request and its answer.
type reply struct {
	sent   time.Time
	took   time.Duration
	slug   string
	status int
	body   string
	retry  string
}

func newSpread(t *testing.T, s *systest.System, n, perSec int) *spread {
	t.Helper()
	l := &spread{s: s, tokens: map[string]string{}, perSec: perSec}
	var mu sync.Mutex
	var making sync.WaitGroup
	places := make(chan struct{}, 3)
	for i := range n {
		slug := fmt.Sprintf("spread-%02d", i)
		l.slugs = append(l.slugs, slug)
		making.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			_, token := tenant(t, s, systest.NewOrder(slug))
			mu.Lock()
			defer mu.Unlock()
			l.tokens[slug] = token
		})
	}
	making.Wait()
	require.Len(t, l.tokens, n)
	return l
}

// at names the processes that are asked from now on.
func (l *spread) at(addrs ...string) { l.targets.Store(&addrs) }

// start asks until stop, which waits for the last answer.
func (l *spread) start() (stop func()) {
	client := &http.Client{Timeout: 40 * time.Second, Transport: &http.Transport{
		MaxIdleConnsPerHost: 64,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			_, port, err := net.SplitHostPort(addr)
			if err != nil {
				return nil, err
			}
			return (&net.Dialer{}).DialContext(ctx, network, "127.0.0.1:"+port)
		},
	}}
	quit := make(chan struct{})
	var asking sync.WaitGroup
	asking.Go(func() {
		tick := time.NewTicker(time.Second / time.Duration(l.perSec))
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-quit:
				return
			case <-tick.C:
			}
			targets := *l.targets.Load()
			addr, slug := targets[i%len(targets)], l.slugs[rand.IntN(len(l.slugs))]
			asking.Go(func() { l.keep(ask(client, addr, slug, l.tokens[slug])) })
		}
	})
	return func() {
		close(quit)
		asking.Wait()
		client.CloseIdleConnections()
	}
}

func ask(client *http.Client, addr, slug, token string) reply {
	_, port, _ := net.SplitHostPort(addr) // ours
	out := reply{sent: time.Now(), slug: slug}
	req, err := http.NewRequest(http.MethodGet, "http://"+slug+".localhost:"+port+"/v1/me", nil)
	if err != nil {
		out.body = err.Error()
		return out
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := client.Do(req)
	out.took = time.Since(out.sent)
	if err != nil {
		out.body = err.Error()
		return out
	}
	defer func() { _ = resp.Body.Close() }()
	body, _ := io.ReadAll(resp.Body) // a body cut short shows in the test
	out.status, out.body, out.retry = resp.StatusCode, string(body), resp.Header.Get("Retry-After")
	return out
}

func (l *spread) keep(s reply) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, s)
}

func (l *spread) replies() []reply {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]reply(nil), l.all...)
}

// served waits until every organization has been served by a request sent after
// since, and returns how long that took.
func (l *spread) served(t *testing.T, since time.Time) time.Duration {
	t.Helper()
	require.NoError(t, systest.Until(within(t, time.Minute), "every organization is served", func(context.Context) (bool, error) {
		got := map[string]bool{}
		for _, s := range l.replies() {
			if s.status == http.StatusOK && s.sent.After(since) {
				got[s.slug] = true
			}
		}
		return len(got) == len(l.slugs), nil
	}))
	return time.Since(since)
}

// typed checks that every refusal says so, and why, and when to come again.
func (l *spread) typed(t *testing.T) (refused int) {
	t.Helper()
	for _, s := range l.replies() {
		if s.status == http.StatusOK {
			continue
		}
		refused++
		require.Equal(t, http.StatusServiceUnavailable, s.status, s.body)
		require.NotEmpty(t, s.retry, s.body)
	}
	return refused
}

// TestConnections_BothProcessesKilledUnderAnOpenLoad: organizations that come
// all at once to fresh processes are served, every one, and nobody is refused
// once the processes say that they are ready.
func TestConnections_BothProcessesKilledUnderAnOpenLoad(t *testing.T) {
	t.Parallel()
	n := organizations(t)
	s := own(t, systest.Options{Env: map[string]string{"TENANTRY_POOL_BUDGET": strconv.Itoa(n), "TENANTRY_FLOOD_PER_SECOND": "1000000"}})
	l := newSpread(t, s, n, 60)
	ctx := within(t, 5*time.Minute)
	port, err := s.StartAPIBeside(ctx)
	require.NoError(t, err)
	l.at(s.Setting("API_ADDR"), devstack.Loopback(port))
	stop := l.start()
	l.served(t, time.Now())
	for range 2 {
		require.NoError(t, s.KillAPI())
		require.NoError(t, s.KillAPIBeside())
		require.NoError(t, s.StartAPI(ctx))
		port, err := s.StartAPIBeside(ctx)
		require.NoError(t, err)
		l.at(s.Setting("API_ADDR"), devstack.Loopback(port))
		ready := time.Now()
		t.Logf("%d organizations served %s after both processes were ready", n, l.served(t, ready).Round(time.Millisecond))
		l.served(t, time.Now()) // once more: no error later
		for _, reply := range l.replies() {
			if reply.sent.After(ready) {
				require.Equal(t, http.StatusOK, reply.status, "%s after %s: %s", reply.slug, reply.took, reply.body)
			}
		}
	}
	stop()
	clean(t, s)
}

// poolMetric reads a metric of the API.
func poolMetric(t *testing.T, s *systest.System, name string) int {
	t.Helper()
	n, err := s.Metric(within(t, 10*time.Second), "METRICS_ADDR", "tenantry_pool_"+name)
	require.NoError(t, err)
	return int(n)
}

// strangers take every place of the server but a few.
func strangers(t *testing.T, s *systest.System, leave int) (leaveAll func()) {
	t.Helper()
	ctx := within(t, time.Minute)
	watch, err := s.Connect(ctx, "postgres")
	require.NoError(t, err)
	conns := []*pgx.Conn{watch}
	for {
		var free int
		require.NoError(t, watch.QueryRow(ctx, `
			SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int - count(*)
			FROM pg_stat_activity WHERE backend_type = 'client backend'`).Scan(&free))
		if free <= leave {
			break
		}
		conn, err := s.Connect(ctx, "postgres")
		require.NoError(t, err)
		conns = append(conns, conn)
	}
	return func() {
		for _, conn := range conns {
			_ = conn.Close(ctx)
		}
	}
}

// TestConnections_StrangersTakeTheServersPlaces: somebody else's program fills
// the database server. The process goes on with the connections it has, says so,
// and takes its part again when there are places.
func TestConnections_StrangersTakeTheServersPlaces(t *testing.T) {
	t.Parallel()
	n := organizations(t)
	s := own(t, systest.Options{Env: map[string]string{"TENANTRY_POOL_BUDGET": strconv.Itoa(2 * n), "TENANTRY_FLOOD_PER_SECOND": "1000000"}})
	l := newSpread(t, s, n, 40)
	ctx := within(t, 5*time.Minute)
	// A process that holds no connection to a tenant yet, on a full server.
	require.NoError(t, s.KillAPI())
	require.NoError(t, s.StartAPI(ctx))
	l.at(s.Setting("API_ADDR"))
	leaveAll := strangers(t, s, 4)
	stop := l.start()
	took := l.served(t, time.Now())
	require.Positive(t, poolMetric(t, s, "server_full_total"))
	require.Less(t, poolMetric(t, s, "allowed_connections"), 2*n)
	t.Logf("%d organizations served within %s on a full server, with %d connections; %d of %d requests refused",
		n, took.Round(time.Millisecond), poolMetric(t, s, "reserved_connections"), l.typed(t), len(l.replies()))
	require.Contains(t, s.Logs(1000), "the database server refuses connections within the budget")

	leaveAll()
	require.NoError(t, systest.Until(ctx, "there is a connection for each", func(context.Context) (bool, error) {
		return poolMetric(t, s, "reserved_connections") >= n, nil
	}))
	since := time.Now()
	l.served(t, since)
	stop()
	l.typed(t)
	for _, reply := range l.replies() {
		if reply.sent.After(since) {
			require.Equal(t, http.StatusOK, reply.status, reply.body)
		}
	}
	clean(t, s)
}

// TestConnections_ServerRestartedSmaller: the server comes back with fewer
// connections than the budget. Everybody is served, the central database too.
func TestConnections_ServerRestartedSmaller(t *testing.T) {
	t.Parallel()
	n := organizations(t)
	s := own(t, systest.Options{Env: map[string]string{"TENANTRY_POOL_BUDGET": "60", "TENANTRY_FLOOD_PER_SECOND": "1000000"}})
	l := newSpread(t, s, n, 40)
	l.at(s.Setting("API_ADDR"))
	stop := l.start()
	l.served(t, time.Now())
	ctx := within(t, 5*time.Minute)
	s.Postgres.SetMaxConnections(32)
	require.NoError(t, s.RestartPostgres(ctx, devstack.Fast))
	took := l.served(t, time.Now())
	a, err := s.Get(ctx, "", "/v1/tenants", s.OperatorKey) // the central database
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, a.Status, a.String())
	stop()
	require.NoError(t, systest.Until(ctx, "the budget follows the server", func(context.Context) (bool, error) {
		return poolMetric(t, s, "budget_connections") < 32, nil
	}))
	t.Logf("%d organizations served %s after the restart with 32 connections; %d of %d requests refused", n, took.Round(time.Millisecond), l.typed(t), len(l.replies()))
	op, err := s.Provision(ctx, systest.NewOrder("after"))
	require.NoError(t, err, "and the worker works")
	whole(t, s, op, "after")
	clean(t, s)
}
