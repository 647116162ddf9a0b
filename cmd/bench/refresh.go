package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"tenantry/internal/systest"
)

// refreshWidth is the concurrency of both programs: one session each.
const refreshWidth = 8

// refresh is POST /v1/auth/refresh, each loop going from token to successor,
// against the statements of its transaction.
var refresh = measure{name: "refresh", goal: 0.25, unit: "/s", prepare: func(ctx context.Context, sys *systest.System) (run, run, error) {
	if _, err := ownerOf(ctx, sys, "bench-refresh"); err != nil {
		return nil, nil, err
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: refreshWidth, DialContext: loopback}}
	exchange := func(ctx context.Context, path string, in any) (string, error) {
		return refreshToken(ctx, client, sys.TenantURL("bench-refresh", path), in)
	}
	tokens := &held{}
	for range refreshWidth {
		token, err := exchange(ctx, "/v1/auth/login", map[string]string{"email": "owner@bench-refresh.example", "password": benchPassword})
		if err != nil {
			return nil, nil, err
		}
		tokens.put(token)
	}
	bare, err := bareRefresh(ctx, sys, "bench-refresh")
	if err != nil {
		return nil, nil, err
	}
	call := func(ctx context.Context) error {
		next, err := exchange(ctx, "/v1/auth/refresh", map[string]string{"refresh_token": tokens.take()})
		if err == nil {
			tokens.put(next)
		}
		return err
	}
	ours := func(ctx context.Context) (float64, error) { return rate(ctx, refreshWidth, 3*time.Second, call) }
	return ours, bare, nil
}}

// held are the newest tokens of the sessions; a loop takes one and brings its
// successor.
type held struct {
	mu   sync.Mutex
	free []string
}

func (h *held) take() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	token := h.free[0]
	h.free = h.free[1:]
	return token
}

func (h *held) put(token string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.free = append(h.free, token)
}

func refreshToken(ctx context.Context, c *http.Client, url string, in any) (string, error) {
	body, err := json.Marshal(in)
	if err != nil {
		return "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	var out struct {
		Token string `json:"refresh_token"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil || out.Token == "" {
		return "", fmt.Errorf("%s answers %s without a token: %w", url, resp.Status, err)
	}
	return out.Token, nil
}
