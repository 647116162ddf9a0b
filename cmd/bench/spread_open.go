package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"tenantry/internal/systest"
)

// openTime is how long one open load lasts; five runs make a minute.
const openTime = 12 * time.Second

// openLoad is an open load, GET /v1/me at half the rate that a closed load
// reaches, over 20 to 1,000 tenants, uniform and Zipf 1.0, against the same rate
// at one tenant beside as many bare connects a second.
//
// From outside a hit is not told from a miss. The API says how many connections
// it opened meanwhile; that many of the slowest requests count as misses, the
// rest as hits.
type openLoad struct {
	tenants int
	zipf    bool
}

func (o openLoad) name() string {
	if o.zipf {
		return fmt.Sprintf("spread-open-%d-zipf", o.tenants)
	}
	return fmt.Sprintf("spread-open-%d", o.tenants)
}

func (o openLoad) picker() picker {
	if !o.zipf {
		return uniform(o.tenants)
	}
	// rand.Zipf needs an exponent above 1: the inverse of the cumulative weights.
	sums := make([]float64, o.tenants)
	sum := 0.0
	for i := range sums {
		sum += 1 / float64(i+1)
		sums[i] = sum
	}
	return func() int {
		i, _ := slices.BinarySearch(sums, rand.Float64()*sum) //nolint:gosec // a load
		return min(i, o.tenants-1)
	}
}

var openLoads = []openLoad{{20, false}, {60, false}, {60, true}, {200, false}, {200, true}, {1000, false}, {1000, true}}

func openMeasures() []measure {
	out := make([]measure, len(openLoads))
	for i, o := range openLoads {
		out[i] = measure{name: o.name(), several: o.print}
	}
	return out
}

// print runs one load and prints a line for its hits and, if there are any, one
// for its misses.
func (o openLoad) print(ctx context.Context, sys *systest.System, runs int) error {
	members, err := fleet.of(ctx, sys, o.tenants)
	if err != nil {
		return err
	}
	connect, err := bareConnect(ctx, sys, o.tenants)
	if err != nil {
		return err
	}
	client := wideClient(256)
	pick := o.picker()
	sustained, err := rate(ctx, spreadWidth, spreadTime, askMe(sys, client, members, pick))
	if err != nil {
		return err
	}
	perSecond := sustained / 2
	hits, misses := series{goal: 5}, series{goal: 3}
	for i := range runs {
		fmt.Fprintf(progress(), "%s: run %d of %d at %.0f/s\n", o.name(), i+1, runs, perSecond)
		if _, err := fleet.of(ctx, sys, o.tenants); err != nil {
			return err
		}
		before, err := opens(ctx, sys)
		if err != nil {
			return err
		}
		took, err := atPace(ctx, perSecond, openTime, askMe(sys, client, members, pick))
		if err != nil {
			return err
		}
		after, err := opens(ctx, sys)
		if err != nil {
			return err
		}
		missed := min(int(after-before), len(took)-1)
		one, connects, err := oneBesideConnects(ctx, perSecond, float64(missed)/openTime.Seconds(),
			askMe(sys, client, members, func() int { return 0 }),
			func(ctx context.Context) error { return connect(ctx, rand.IntN(o.tenants)) }) //nolint:gosec // a load
		if err != nil {
			return err
		}
		hits.add(percentile(took[:len(took)-missed], 99), percentile(one, 99))
		if missed > 100 && len(connects) > 0 {
			misses.add(percentile(took[len(took)-missed:], 99), percentile(connects, 99))
		}
	}
	hits.print(o.name() + "-hits")
	if len(misses.ours) == runs {
		misses.print(o.name() + "-misses")
	}
	return nil
}

// series is the figures of interleaved runs, less is better.
type series struct {
	goal        float64
	ours, bares []float64
}

func (s *series) add(ours, bare float64) {
	s.ours, s.bares = append(s.ours, ours), append(s.bares, bare)
}

func (s *series) print(name string) {
	m := measure{name: name, goal: s.goal, atMost: true, unit: "ms p99"}
	m.line(s.ours, s.bares)
}

// atPace calls at a fixed pace, whether or not the calls before have ended, and
// returns their times in milliseconds, sorted.
func atPace(ctx context.Context, perSecond float64, long time.Duration, call func(context.Context) error) ([]float64, error) {
	ctx, cancel := context.WithTimeout(ctx, long+time.Minute)
	defer cancel()
	n := int(perSecond * long.Seconds())
	took, errs := make([]float64, n), make([]error, n)
	var all sync.WaitGroup
	started := time.Now()
	for i := range n {
		due := started.Add(time.Duration(float64(i) / perSecond * float64(time.Second)))
		<-time.After(time.Until(due))
		all.Go(func() {
			errs[i] = call(ctx)
			// From when it was due: a generator that is late hides nothing.
			took[i] = float64(time.Since(due).Microseconds()) / 1000
		})
	}
	all.Wait()
	slices.Sort(took)
	return took, errors.Join(errs...)
}

// oneBesideConnects runs two open loads at once and returns the times of both.
func oneBesideConnects(ctx context.Context, asks, connects float64, ask, connect func(context.Context) error) (one, bare []float64, err error) {
	var besideErr error
	var beside sync.WaitGroup
	if connects*openTime.Seconds() >= 1 {
		beside.Go(func() { bare, besideErr = atPace(ctx, connects, openTime, connect) })
	}
	one, err = atPace(ctx, asks, openTime, ask)
	beside.Wait()
	return one, bare, errors.Join(err, besideErr)
}

// percentile is of sorted values.
func percentile(sorted []float64, p int) float64 {
	return sorted[min(len(sorted)*p/100, len(sorted)-1)]
}
