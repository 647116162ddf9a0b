package main

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"time"

	"tenantry/internal/systest"
)

const (
	// parallelLogins is how many log in at once.
	parallelLogins = 100
	// besideTime is how long, and besideTick how often somebody else asks.
	besideTime = 5 * time.Second
	besideTick = 10 * time.Millisecond
)

// parallel is what a hundred parallel logins leave to everybody else: the 99th
// percentile of GET /v1/me beside them, against the same on the idle system.
// Calls come at a fixed pace, so that a slow one does not hide those it delays.
var parallel = measure{name: "load", goal: 3, atMost: true, unit: "ms p99", prepare: func(ctx context.Context, sys *systest.System) (run, run, error) {
	token, err := ownerOf(ctx, sys, "bench-load-me")
	if err != nil {
		return nil, nil, err
	}
	emails, err := loginsOf(ctx, sys, "bench-load", parallelLogins)
	if err != nil {
		return nil, nil, err
	}
	asking := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: meWidth, DialContext: loopback}}
	logging := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: parallelLogins, DialContext: loopback}}
	devices := make([]string, len(emails))
	idle := func(ctx context.Context) (float64, error) {
		return p99(ctx, asking, sys.TenantURL("bench-load-me", "/v1/me"), token)
	}
	busy := func(ctx context.Context) (float64, error) {
		ctx, stop := context.WithCancel(ctx)
		defer stop()
		errs := make([]error, len(emails))
		var logins sync.WaitGroup
		for i, email := range emails {
			logins.Go(func() {
				// Each has one device, like people who come back: a new one would
				// be told by mail each time.
				for errs[i] == nil {
					devices[i], errs[i] = logIn(ctx, logging, sys.TenantURL("bench-load", loginPath), email, devices[i])
				}
				if ctx.Err() != nil {
					errs[i] = nil // the measure is over
				}
			})
		}
		ms, err := idle(ctx)
		stop()
		logins.Wait()
		return ms, errors.Join(append(errs, err)...)
	}
	return busy, idle, nil
}}

// p99 asks at a fixed pace and answers the 99th percentile in milliseconds.
func p99(ctx context.Context, client *http.Client, url, token string) (float64, error) {
	tick := time.NewTicker(besideTick)
	defer tick.Stop()
	n := int(besideTime / besideTick)
	took, errs := make([]float64, n), make([]error, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			start := time.Now()
			errs[i] = get(ctx, client, url, token)
			took[i] = float64(time.Since(start).Microseconds()) / 1000
		})
		<-tick.C
	}
	all.Wait()
	slices.Sort(took)
	return took[n*99/100], errors.Join(errs...)
}
