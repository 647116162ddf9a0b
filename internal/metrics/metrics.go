// Package metrics is what Prometheus may read of a process. A registry belongs
// to a process's wiring; nothing is global.
//
// No label names a tenant, a person, an address or a path that a client chose:
// labels come from the schema and from short lists in the code, so the number
// of series does not grow with the customers and nothing personal is in them.
// What a tenant's share is, the tenant's own database knows.
//
// The methods of a nil [Metrics] do nothing.
package metrics

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// The components that go on without Redis.
const (
	RateLimit   = "ratelimit"
	Idempotency = "idempotency"
)

// Metrics counts what one process does.
type Metrics struct {
	registry  *prometheus.Registry
	requests  *prometheus.CounterVec
	latency   *prometheus.HistogramVec
	limited   *prometheus.CounterVec
	decisions *prometheus.CounterVec
	fallback  *prometheus.GaugeVec
}

// New makes the metrics of a process.
func New() *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tenantry_requests_total",
			Help: "Requests answered, by RPC, door and code: ok, a Connect code, or the status class of what is no RPC error.",
		}, []string{"procedure", "door", "code"}),
		latency: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "tenantry_request_duration_seconds", Help: "Time from the first byte of a request's head to the end of its answer.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"procedure", "door"}),
		limited: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tenantry_rate_limited_total", Help: "Requests refused by a rate limit, by rate class and by the key that refused.",
		}, []string{"class", "key"}),
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tenantry_rate_limit_decisions_total", Help: "Decisions of the rate limiter, by who made them: redis, or this process (local).",
		}, []string{"mode"}),
		fallback: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "tenantry_redis_fallback", Help: "1 while a component goes on without Redis, by its latest call.",
		}, []string{"component"}),
	}
	m.registry.MustRegister(m.requests, m.latency, m.limited, m.decisions, m.fallback,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.Fallback(RateLimit, false)
	m.Fallback(Idempotency, false)
	return m
}

// Request counts an answered request. Code is "ok", a Connect code or a status
// class; what is no RPC has a procedure from the code's own list.
func (m *Metrics) Request(procedure, door, code string, took time.Duration) {
	if m == nil {
		return
	}
	m.requests.WithLabelValues(procedure, door, code).Inc()
	m.latency.WithLabelValues(procedure, door).Observe(took.Seconds())
}

// RateLimited counts a refusal.
func (m *Metrics) RateLimited(class, key string) {
	if m != nil {
		m.limited.WithLabelValues(class, key).Inc()
	}
}

// RateLimitDecision counts a decision; local when Redis did not make it.
func (m *Metrics) RateLimitDecision(local bool) {
	if m == nil {
		return
	}
	mode := "redis"
	if local {
		mode = "local"
	}
	m.decisions.WithLabelValues(mode).Inc()
	m.Fallback(RateLimit, local)
}

// Fallback says whether a component goes on without Redis at present.
func (m *Metrics) Fallback(component string, on bool) {
	if m == nil {
		return
	}
	value := 0.0
	if on {
		value = 1
	}
	m.fallback.WithLabelValues(component).Set(value)
}

// Gauge adds a figure that is asked for at every scrape; help names its unit.
func (m *Metrics) Gauge(name, help string, value func() float64) {
	if m != nil {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value))
	}
}

// Counter is Gauge for what only grows.
func (m *Metrics) Counter(name, help string, value func() float64) {
	if m != nil {
		m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, value))
	}
}

// Handler serves the metrics, at whatever path it is mounted. It belongs on a
// listener of its own: what it shows is for operators.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4})
}
