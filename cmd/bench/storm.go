package main

import (
	"context"
	"sync/atomic"
	"time"

	"tenantry/internal/systest"
)

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
