package main

import (
	"context"
	"fmt"
	"time"

	"tenantry/internal/systest"
)

// batch is how many tenants one run makes, one after the other; its figure is
// their median.
const batch = 5

// provisioning is the time from sending the signed hook until the tenant is
// active, against the bare SQL steps and an empty workflow with as many
// activities.
var provisioning = measure{name: "provisioning", goal: 1.5, atMost: true, unit: "ms", prepare: func(ctx context.Context, sys *systest.System) (run, run, error) {
	made := 0
	ours := func(ctx context.Context) (float64, error) {
		return medianOf(batch, func() (time.Duration, error) {
			made++
			return provisionOne(ctx, sys, fmt.Sprintf("bench-p%d", made))
		})
	}
	bare, err := bareProvisioning(ctx, sys)
	return ours, bare, err
}}

// provisionOne answers the time from the hook's first byte to the commit that
// activated the tenant: both clocks are this machine's.
func provisionOne(ctx context.Context, sys *systest.System, slug string) (time.Duration, error) {
	started := time.Now()
	op, err := sys.Order(ctx, systest.NewOrder(slug))
	if err != nil {
		return 0, err
	}
	if op, err = sys.WaitOperation(ctx, op.ID); err != nil {
		return 0, err
	}
	if !op.Is("succeeded") {
		return 0, fmt.Errorf("operation %s ended as %s", op.ID, op.State)
	}
	ended, err := systest.Value[time.Time](ctx, sys, "", `SELECT ended_at FROM operations WHERE id = $1::text::uuid`, op.ID)
	return ended.Sub(started), err
}

func medianOf(n int, once func() (time.Duration, error)) (float64, error) {
	var all []float64
	for range n {
		d, err := once()
		if err != nil {
			return 0, err
		}
		all = append(all, float64(d.Microseconds())/1000)
	}
	return median(all), nil
}
