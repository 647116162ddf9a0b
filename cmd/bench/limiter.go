package main

import (
	"context"
	"net/http"
	"time"

	"tenantry/internal/systest"
)

// limiter is what the rate limits cost a request: GET /v1/me of a process that
// asks Redis about address, tenant and principal, against one without limits
// on the same servers.
var limiter = measure{name: "limiter", goal: 0.7, unit: "/s", prepare: func(ctx context.Context, sys *systest.System) (run, run, error) {
	token, err := ownerOf(ctx, sys, "bench-limiter")
	if err != nil {
		return nil, nil, err
	}
	bare, err := bareLimiter(ctx, sys, "bench-limiter", token)
	if err != nil {
		return nil, nil, err
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: meWidth, DialContext: loopback}}
	url := sys.TenantURL("bench-limiter", "/v1/me")
	call := func(ctx context.Context) error { return get(ctx, client, url, token) }
	ours := func(ctx context.Context) (float64, error) { return rate(ctx, meWidth, 3*time.Second, call) }
	return ours, bare, nil
}}
