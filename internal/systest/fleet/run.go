package fleet

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"tenantry/internal/systest"
)

// processes is how many API processes serve the load.
const processes = 2

// Options chooses a run. Zero values stand for the defaults in brackets.
type Options struct {
	// Tenants is how many are made [100]; Requests how many are sent to them
	// [200 a tenant, at most 20,000].
	Tenants, Requests int
	// Budget, Share and Central are the limits of each process [60, 4, 8].
	Budget, Share, Central int
	// Workers is how many requests each process has at a time in the first load
	// [two thirds of the budget].
	Workers int
	// OpenRate is how many requests a second the second load sends, whether or
	// not those before are answered, OpenTime for how long [60/s for 60 s].
	OpenRate int
	OpenTime time.Duration
	Seed     uint64
	// Say reports progress.
	Say func(format string, args ...any)
}

func (o Options) withDefaults() Options {
	set := func(n *int, def int) {
		if *n == 0 {
			*n = def
		}
	}
	set(&o.Tenants, 100)
	set(&o.Requests, min(200*o.Tenants, 20_000))
	set(&o.Budget, 60)
	set(&o.Share, 4)
	set(&o.Central, 8)
	set(&o.Workers, max(1, o.Budget*2/3))
	set(&o.OpenRate, 60)
	if o.OpenTime == 0 {
		o.OpenTime = time.Minute
	}
	if o.Say == nil {
		o.Say = func(string, ...any) {}
	}
	return o
}

// tenant is one of the fleet, with a key that may ask it.
type tenant struct{ slug, key string }

type run struct {
	Options
	*systest.System
	second  int // port of the second API process
	tenants []tenant
}

// Run makes the fleet and asks it. An error means that the run could not be
// made; what did not hold is in the summary.
func Run(ctx context.Context, o Options) (Summary, error) {
	o = o.withDefaults()
	o.Say("starting Postgres, Redis, Temporal, the worker and %d API processes", processes)
	s, err := systest.Start(ctx, systest.Options{Env: map[string]string{
		"TENANTRY_POOL_BUDGET": strconv.Itoa(o.Budget), "TENANTRY_POOL_SHARE": strconv.Itoa(o.Share), "TENANTRY_CENTRAL_POOL": strconv.Itoa(o.Central),
		"TENANTRY_FLOOD_PER_SECOND": "1000000", "TENANTRY_LOG_LEVEL": "warn",
	}})
	if err != nil {
		return Summary{}, err
	}
	r := &run{Options: o, System: s}
	sum, err := r.all(ctx)
	if err != nil {
		err = fmt.Errorf("%w\n%s", err, s.Logs(20))
	}
	return sum, errors.Join(err, s.Close())
}

func (r *run) all(ctx context.Context) (Summary, error) {
	sum := Summary{Options: r.Options}
	var err error
	if r.second, err = r.StartAPIBeside(ctx); err != nil {
		return sum, err
	}
	watch, err := watchConnections(ctx, r.System)
	if err != nil {
		return sum, err
	}
	defer func() { _, _ = watch.stop() }() // asked for below; here only so that it ends
	began := time.Now()
	if err := r.provision(ctx); err != nil {
		return sum, err
	}
	sum.Provisioned = time.Since(began)
	r.Say("%d tenants stand after %s; %d requests follow, %d at a time at each process", r.Tenants, sum.Provisioned.Round(time.Second), r.Requests, r.Workers)
	sum.Load = r.load(ctx)
	r.Say("an open load of %d/s follows, spread evenly, for %s", r.OpenRate, r.OpenTime)
	sum.Open = r.openLoad(ctx)
	sum.Connections, err = watch.stop()
	if err != nil {
		return sum, err
	}
	sum.Evictions, sum.Refusals = r.counter(ctx, "tenantry_pool_evictions_total"), r.counter(ctx, "tenantry_pool_refusals_total")
	report, err := r.Verify(ctx)
	sum.Verify = report.Clean()
	return sum, err
}

// provision orders every tenant through the hook, a few at a time, and lets
// each owner accept the invitation and give out a key.
func (r *run) provision(ctx context.Context) error {
	r.tenants = make([]tenant, r.Tenants)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var mu sync.Mutex
	next, done := 0, 0
	take := func() (int, bool) {
		mu.Lock()
		defer mu.Unlock()
		next++
		return next - 1, next <= r.Tenants && ctx.Err() == nil
	}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for i, ok := take(); ok; i, ok = take() {
				if err := r.birth(ctx, i); err != nil {
					cancel(fmt.Errorf("tenant %d: %w", i, err))
					return
				}
				mu.Lock()
				if done++; done%max(1, r.Tenants/10) == 0 {
					r.Say("%d of %d tenants", done, r.Tenants)
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	return context.Cause(ctx)
}

const ownersPassword = "a quiet harbour at four in the morning"

func (r *run) birth(ctx context.Context, i int) error {
	o := systest.NewOrder(fmt.Sprintf("fleet-%03d", i))
	if _, err := r.Provision(ctx, o); err != nil {
		return err
	}
	token, err := r.Owner(ctx, o, ownersPassword)
	if err != nil {
		return err
	}
	a, err := r.Post(ctx, o.Slug, "/v1/api-keys", token, map[string]any{"name": "the load", "scopes": []string{"users.read", "apikeys.manage"}})
	if err != nil {
		return err
	}
	var made struct{ Secret string }
	if err := a.JSON(&made); err != nil || made.Secret == "" {
		return fmt.Errorf("no API key: %s", a)
	}
	r.tenants[i] = tenant{o.Slug, made.Secret}
	return nil
}

// counter reads a metric of the first API process; -1 when it is not there.
func (r *run) counter(ctx context.Context, name string) int {
	n, err := r.Metric(ctx, "METRICS_ADDR", name)
	if err != nil {
		return -1
	}
	return int(n)
}
