package app

import (
	"context"
	"net/http"

	"tenantry/api"
	"tenantry/internal/config"
	"tenantry/internal/connections"
	"tenantry/internal/metrics"
	"tenantry/internal/ratelimit"
)

// newLimits makes the product's limits over a Redis client of their own, which
// gives up sooner than the others. close ends it.
func newLimits(b *base, c config.Config) (l api.Limits, close func(), err error) {
	client, err := ratelimit.Connect(c.RedisURL.Reveal(), 0)
	if err != nil {
		return api.Limits{}, nil, err
	}
	limiter := ratelimit.New(ratelimit.Options{Redis: client, Now: b.now, Observe: b.metrics.RateLimitDecision})
	return api.Limits{Limiter: limiter, Read: c.RateRead, Write: c.RateWrite, Credential: c.RateCredential},
		func() { _ = client.Close() }, nil
}

// newMetrics counts what both processes have: the connections to tenants.
func newMetrics(c *connections.Cache) *metrics.Metrics {
	m := metrics.New()
	gauge := func(name, help string, of func(connections.Stats) int) {
		m.Gauge("tenantry_pool_"+name, help, func() float64 { return float64(of(c.Stats())) })
	}
	counter := func(name, help string, of func(connections.Stats) uint64) {
		m.Counter("tenantry_pool_"+name+"_total", help, func() float64 { return float64(of(c.Stats())) })
	}
	gauge("budget_connections", "Connections to tenant databases that this process may hold.", func(s connections.Stats) int { return s.Budget })
	gauge("allowed_connections", "Of the budget, what the server has been seen to allow; less than the budget while it refuses connections.", func(s connections.Stats) int { return s.Allowed })
	gauge("reserved_connections", "Connections of the budget that are taken: busy, idle, opening and closing.", connections.Stats.Held)
	gauge("busy_connections", "Connections that run a statement or a transaction.", func(s connections.Stats) int { return s.Busy })
	gauge("idle_connections", "Connections that wait for use.", func(s connections.Stats) int { return s.Idle })
	gauge("tenants", "Tenants with a connection or a caller that waits for one.", func(s connections.Stats) int { return s.Tenants })
	gauge("waiting", "Callers that wait for a connection.", func(s connections.Stats) int { return s.Waiting })
	counter("opens", "Connections that were opened or tried.", func(s connections.Stats) uint64 { return s.Opens })
	counter("open_failures", "Connections that could not be opened.", func(s connections.Stats) uint64 { return s.Failures })
	counter("server_full", "Connections that the server refused because it had no place for them.", func(s connections.Stats) uint64 { return s.Full })
	counter("refusals", "Callers that got no connection (POOL_BUDGET).", func(s connections.Stats) uint64 { return s.Refusals })
	counter("evictions", "Idle connections closed to make room or for their age.", func(s connections.Stats) uint64 { return s.Evictions })
	return m
}

// serveMetrics serves /metrics until ctx ends, on a listener that no client
// reaches. A port that is taken is reported and keeps nobody from working.
func (b *base) serveMetrics(ctx context.Context, addr string) error {
	if addr != config.Off {
		mux := http.NewServeMux()
		mux.Handle("GET /metrics", b.metrics.Handler())
		if err := serve(ctx, b.log, "metrics", addr, mux); err != nil {
			b.log.ErrorContext(ctx, "metrics are not served", "error", err)
		}
	}
	<-ctx.Done()
	return nil
}
