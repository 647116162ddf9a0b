package test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tenantry/internal/systest"
)

// TestLimits_HoldOverTwoProcessesAndOutliveRedis runs the real binary against
// the real Redis: limits are the installation's, not a process's.
func TestLimits_HoldOverTwoProcessesAndOutliveRedis(t *testing.T) {
	t.Parallel()
	s := own(t, systest.Options{Env: map[string]string{
		"TENANTRY_RATE_CREDENTIAL": "ip:1/h:8,tenant:1000/s:1000,principal:1000/s:1000",
		"TENANTRY_TRUSTED_PROXIES": "127.0.0.0/8",
	}})
	ctx := within(t, 2*time.Minute)
	o := systest.NewOrder("limited").Open()
	_, err := s.Provision(ctx, o)
	require.NoError(t, err)
	port, err := s.StartAPIBeside(ctx)
	require.NoError(t, err)
	const path = "/v1/auth/login"
	processes, turn := []string{s.TenantURL(o.Slug, path), fmt.Sprintf("http://%s.localhost:%d%s", o.Slug, port, path)}, 0

	// try asks the two processes in turn.
	try := func(from string) systest.Answer {
		t.Helper()
		turn++
		a, err := s.Do(ctx, systest.Request{
			Method: http.MethodPost, URL: processes[turn%2], Header: http.Header{"X-Forwarded-For": {from}, "Content-Type": {"application/json"}},
			Body: []byte(`{"email":"nobody@limited.example","password":"a wrong password of one's own"}`),
		})
		require.NoError(t, err)
		return a
	}
	for range 8 {
		require.Equal(t, http.StatusUnauthorized, try("192.0.2.1").Status)
	}
	for range 2 {
		refused := try("198.51.100.9, 192.0.2.1")
		require.Equal(t, http.StatusTooManyRequests, refused.Status, refused.String())
		require.Equal(t, "RATE_LIMITED", refused.Reason())
		require.NotEmpty(t, refused.Header.Get("Retry-After"))
	}
	require.Contains(t, metricsOf(t, s, "METRICS_ADDR"), `tenantry_redis_fallback{component="ratelimit"} 0`)
	require.Contains(t, metricsOf(t, s, "METRICS_ADDR"), `tenantry_rate_limited_total{class="credential",key="ip"} 1`)

	// Without Redis less is admitted, not more, and the metric says so: a quarter
	// by each process, 4 of 8 by the two.
	require.NoError(t, s.Redis.Stop())
	for range 4 {
		require.Equal(t, http.StatusUnauthorized, try("192.0.2.2").Status)
	}
	require.Equal(t, http.StatusTooManyRequests, try("192.0.2.2").Status)
	require.Equal(t, http.StatusTooManyRequests, try("192.0.2.2").Status)
	require.Contains(t, metricsOf(t, s, "METRICS_ADDR"), `tenantry_redis_fallback{component="ratelimit"} 1`)
	require.NoError(t, s.Redis.Start(ctx))
	require.Eventually(t, func() bool {
		try("192.0.2.3")
		return strings.Contains(metricsOf(t, s, "METRICS_ADDR"), `tenantry_redis_fallback{component="ratelimit"} 0`)
	}, 20*time.Second, 100*time.Millisecond, "Redis decides again")
}

func TestMetrics_AreServedBesideTheAPIAndByTheWorker(t *testing.T) {
	t.Parallel()
	s := shared(t)
	out, err := s.Output(within(t, time.Minute), "config", "check", "migrate", "--online", "--json")
	require.NoError(t, err)
	var check struct {
		Connections struct {
			ByProcess []struct {
				TenantDatabases int `json:"tenant_databases"`
			} `json:"by_process"`
		}
	}
	require.NoError(t, json.Unmarshal([]byte(out), &check))
	require.Len(t, check.Connections.ByProcess, 2)
	for i, addr := range []string{"METRICS_ADDR", "WORKER_ADDR"} {
		text := metricsOf(t, s, addr)
		budget := fmt.Sprintf("tenantry_pool_budget_connections %d\n", check.Connections.ByProcess[i].TenantDatabases)
		for _, name := range []string{budget, "tenantry_pool_reserved_connections ", `tenantry_redis_fallback{component="idempotency"} 0`, "go_goroutines "} {
			require.Contains(t, text, name, addr)
		}
	}
	for _, url := range []string{s.URL("/metrics"), s.TenantURL("nobody", "/metrics"), "http://" + s.Setting("API_ADDR") + "/metrics"} {
		a, err := s.Call(within(t, time.Minute), http.MethodGet, url, s.OperatorKey, nil)
		require.NoError(t, err)
		require.Equal(t, http.StatusNotFound, a.Status, url)
	}
	a, err := s.Call(within(t, time.Minute), http.MethodGet, "http://"+s.Setting("METRICS_ADDR")+"/v1/me", "", nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusNotFound, a.Status, "and nothing else is there")
}

func metricsOf(t *testing.T, s *systest.System, addr string) string {
	t.Helper()
	a, err := s.Call(within(t, time.Minute), http.MethodGet, "http://"+s.Setting(addr)+"/metrics", "", nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, a.Status)
	return string(a.Body)
}
