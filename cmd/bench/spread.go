package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
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
	return sys.Metric(ctx, "METRICS_ADDR", "tenantry_pool_opens_total")
}
