package app

import (
	"context"
	"net/http"

	"tenantry/api"
	"tenantry/internal/config"
	"tenantry/internal/metrics"
	"tenantry/internal/pools"
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
func newMetrics(p *pools.Manager, budget int) *metrics.Metrics {
	m := metrics.New()
	gauge := func(name, help string, of func(pools.Stats) int) {
		m.Gauge("tenantry_pool_"+name, help, func() float64 { return float64(of(p.Stats())) })
	}
	m.Gauge("tenantry_pool_budget_connections", "Connections to tenant databases that this process may hold.", func() float64 { return float64(budget) })
	gauge("reserved_connections", "Connections of the budget in use: opening, open and closing pools.", func(s pools.Stats) int { return s.Reserved })
	gauge("open_pools", "Tenants with an open pool.", func(s pools.Stats) int { return s.Pools })
	gauge("leases", "Leases that are held.", func(s pools.Stats) int { return s.Leases })
	gauge("waiting", "Callers that wait for a pool.", func(s pools.Stats) int { return s.Waiting })
	m.Counter("tenantry_pool_refusals_total", "Leases refused because the budget was in use.", func() float64 { return float64(p.Stats().Refusals) })
	m.Counter("tenantry_pool_evictions_total", "Pools closed for the budget or for their age.", func() float64 { return float64(p.Stats().Evictions) })
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
