package metrics_test

import (
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tenantry/internal/metrics"
)

func scrape(m *metrics.Metrics) string {
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	return w.Body.String()
}

func TestMetrics_ShowWhatHasHappened(t *testing.T) {
	t.Parallel()
	m := metrics.New()
	require.Contains(t, scrape(m), `tenantry_redis_fallback{component="idempotency"} 0`, "there before anything happens")
	m.Request("/x.v1.X/Get", "rest", "ok", 3*time.Millisecond)
	m.RateLimited("read", "ip")
	m.RateLimitDecision(false)
	m.RateLimitDecision(true)
	m.Gauge("tenantry_things", "Things.", func() float64 { return 7 })
	m.Counter("tenantry_things_total", "Things ever.", func() float64 { return 8 })
	text := scrape(m)
	for _, line := range []string{
		`tenantry_requests_total{code="ok",door="rest",procedure="/x.v1.X/Get"} 1`,
		`tenantry_request_duration_seconds_bucket{door="rest",procedure="/x.v1.X/Get",le="0.005"} 1`,
		`tenantry_request_duration_seconds_bucket{door="rest",procedure="/x.v1.X/Get",le="0.0025"} 0`,
		`tenantry_rate_limited_total{class="read",key="ip"} 1`,
		`tenantry_rate_limit_decisions_total{mode="local"} 1`,
		`tenantry_rate_limit_decisions_total{mode="redis"} 1`,
		`tenantry_redis_fallback{component="ratelimit"} 1`,
		"tenantry_things 7", "tenantry_things_total 8", "go_goroutines",
	} {
		require.Contains(t, text, line)
	}
	m.RateLimitDecision(false)
	require.Contains(t, scrape(m), `tenantry_redis_fallback{component="ratelimit"} 0`)
}

func TestMetrics_TwoProcessesInOneTestDoNotMeet(t *testing.T) {
	t.Parallel()
	a, b := metrics.New(), metrics.New()
	a.RateLimited("read", "ip")
	require.NotContains(t, scrape(b), "tenantry_rate_limited_total{")
}

func TestMetrics_NoneIsFine(t *testing.T) {
	t.Parallel()
	var m *metrics.Metrics
	m.Request("", "", "", 0)
	m.RateLimited("", "")
	m.RateLimitDecision(true)
	m.Fallback("", true)
	m.Gauge("", "", nil)
	m.Counter("", "", nil)
}
