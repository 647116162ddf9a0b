package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"tenantry/internal/systest"
)

const (
	// spreadWidth is the concurrency of the closed loads.
	spreadWidth = 16
	// spreadBudget is the API's budget of connections to tenant databases.
	spreadBudget = 60
	spreadTime   = 4 * time.Second
)

// picker chooses the tenant of the next request; it is safe for concurrent use.
type picker func() int

func uniform(n int) picker { return func() int { return rand.IntN(n) } } //nolint:gosec // a load

// askMe is GET /v1/me at whichever tenant pick says.
func askMe(sys *systest.System, client *http.Client, members []*member, pick picker) func(context.Context) error {
	return func(ctx context.Context) error {
		m := members[pick()]
		return get(ctx, client, sys.TenantURL(m.slug, "/v1/me"), m.access)
	}
}

func wideClient(width int) *http.Client {
	// One idle connection for each host is not enough, and one for each of a
	// thousand too many: all hosts are the same address.
	return &http.Client{Transport: &http.Transport{MaxIdleConns: 4 * width, MaxIdleConnsPerHost: width, DialContext: loopback}}
}

// spread is GET /v1/me at 60 tenants, as many as the API may hold connections,
// against the same at one tenant.
var spread = measure{name: "spread", goal: 0.7, unit: "/s", prepare: func(ctx context.Context, sys *systest.System) (run, run, error) {
	members, err := fleet.of(ctx, sys, spreadBudget)
	if err != nil {
		return nil, nil, err
	}
	client := wideClient(spreadWidth)
	load := func(pick picker) run {
		return func(ctx context.Context) (float64, error) {
			if _, err := fleet.of(ctx, sys, len(members)); err != nil {
				return 0, err
			}
			return rate(ctx, spreadWidth, spreadTime, askMe(sys, client, members, pick))
		}
	}
	return load(uniform(len(members))), load(func() int { return 0 }), nil
}}

// spreadMisses is how many connections a second the API opens where 200 tenants
// share its 60, against a loop that connects, asks once and closes.
var spreadMisses = measure{name: "spread-misses", goal: 0.6, unit: "opens/s", prepare: func(ctx context.Context, sys *systest.System) (run, run, error) {
	members, err := fleet.of(ctx, sys, 200)
	if err != nil {
		return nil, nil, err
	}
	client := wideClient(spreadWidth)
	ours := func(ctx context.Context) (float64, error) {
		if _, err := fleet.of(ctx, sys, len(members)); err != nil {
			return 0, err
		}
		before, err := opens(ctx, sys)
		if err != nil {
			return 0, err
		}
		started := time.Now()
		asked, err := rate(ctx, spreadWidth, spreadTime, askMe(sys, client, members, uniform(len(members))))
		if err != nil {
			return 0, err
		}
		after, err := opens(ctx, sys)
		fmt.Fprintf(progress(), "  %.0f requests/s\n", asked)
		return (after - before) / time.Since(started).Seconds(), err
	}
	connect, err := bareConnect(ctx, sys, len(members))
	if err != nil {
		return nil, nil, err
	}
	bare := func(ctx context.Context) (float64, error) {
		return rate(ctx, spreadWidth, spreadTime, func(ctx context.Context) error { return connect(ctx, rand.IntN(len(members))) }) //nolint:gosec // a load
	}
	return ours, bare, nil
}}

// opens is how many connections to tenants the API has opened.
func opens(ctx context.Context, sys *systest.System) (float64, error) {
	return apiMetric(ctx, sys, "tenantry_pool_opens_total")
}

// apiMetric reads a metric without labels.
func apiMetric(ctx context.Context, sys *systest.System, name string) (float64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+sys.Setting("METRICS_ADDR")+"/metrics", nil)
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return strconv.ParseFloat(strings.TrimSpace(value), 64)
		}
	}
	return 0, fmt.Errorf("no metric %s", name)
}

// storm is how long 500 first requests to 500 tenants take, all at once, against
// as many bare connects.
var storm = measure{name: "storm", goal: 1.5, atMost: true, unit: "ms", prepare: func(ctx context.Context, sys *systest.System) (run, run, error) {
	const crowdSize = 500
	members, err := fleet.of(ctx, sys, 2*crowdSize)
	if err != nil {
		return nil, nil, err
	}
	client := wideClient(crowdSize)
	half := 0
	ours := func(ctx context.Context) (float64, error) {
		if _, err := fleet.of(ctx, sys, len(members)); err != nil {
			return 0, err
		}
		// Those of the other half have the connections.
		half = crowdSize - half
		return once(ctx, crowdSize, crowdSize, func(ctx context.Context, i int) error {
			m := members[half+i]
			return get(ctx, client, sys.TenantURL(m.slug, "/v1/me"), m.access)
		})
	}
	connect, err := bareConnect(ctx, sys, len(members))
	if err != nil {
		return nil, nil, err
	}
	bare := func(ctx context.Context) (float64, error) { return once(ctx, crowdSize, spreadWidth, connect) }
	return ours, bare, nil
}}

// once calls do n times, width at a time, and returns the milliseconds until
// the last has ended.
func once(ctx context.Context, n, width int, do func(context.Context, int) error) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	var next atomic.Int64
	errs := make(chan error, width)
	started := time.Now()
	for range width {
		go func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				if err := do(ctx, i); err != nil {
					errs <- err
					return
				}
			}
			errs <- nil
		}()
	}
	var first error
	for range width {
		if err := <-errs; err != nil && first == nil {
			first = err
		}
	}
	return float64(time.Since(started).Microseconds()) / 1000, first
}
