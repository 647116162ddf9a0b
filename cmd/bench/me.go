package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"tenantry/internal/systest"
)

// meWidth is the concurrency of both programs.
const meWidth = 8

const benchPassword = "a sentence for the bench"

// me is GET /v1/me over HTTP, with token, session and role checks, against the
// rows it reads.
var me = measure{name: "me", goal: 0.2, unit: "/s", prepare: func(ctx context.Context, sys *systest.System) (run, run, error) {
	token, err := ownerOf(ctx, sys, "bench-me")
	if err != nil {
		return nil, nil, err
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: meWidth, DialContext: loopback}}
	url := sys.TenantURL("bench-me", "/v1/me")
	call := func(ctx context.Context) error { return get(ctx, client, url, token) }
	bare, err := bareMe(ctx, sys, "bench-me")
	if err != nil {
		return nil, nil, err
	}
	ours := func(ctx context.Context) (float64, error) { return rate(ctx, meWidth, 3*time.Second, call) }
	return ours, bare, nil
}}

// ownerOf provisions a tenant and answers its owner's access token.
func ownerOf(ctx context.Context, sys *systest.System, slug string) (string, error) {
	order := systest.NewOrder(slug)
	if _, err := sys.Provision(ctx, order); err != nil {
		return "", err
	}
	return sys.Owner(ctx, order, benchPassword)
}

func get(ctx context.Context, c *http.Client, url, token string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := c.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, resp.Status)
	}
	return nil
}
