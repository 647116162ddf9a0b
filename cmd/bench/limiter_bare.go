package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"tenantry/internal/systest"
)

// bareLimiter is the same request at a process whose reads have no limit.
func bareLimiter(ctx context.Context, sys *systest.System, slug, token string) (run, error) {
	port, err := sys.StartAPIBeside(ctx, "TENANTRY_RATE_READ=off")
	if err != nil {
		return nil, err
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: meWidth, DialContext: loopback}}
	url := fmt.Sprintf("http://%s.localhost:%d/v1/me", slug, port)
	call := func(ctx context.Context) error { return get(ctx, client, url, token) }
	return func(ctx context.Context) (float64, error) { return rate(ctx, meWidth, 3*time.Second, call) }, nil
}
