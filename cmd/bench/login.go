package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"time"

	"tenantry/internal/systest"
)

// loginWidth is the semaphore's own: the API's default.
func loginWidth() int { return max(1, runtime.NumCPU()-1) }

// login is POST /v1/auth/login, with more callers than turns, each with an
// account of its own, against bare argon2id at the width of the semaphore.
var login = measure{name: "login", goal: 0.8, unit: "/s", prepare: func(ctx context.Context, sys *systest.System) (run, run, error) {
	emails, err := loginsOf(ctx, sys, "bench-login", loginWidth()+3)
	if err != nil {
		return nil, nil, err
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8, DialContext: loopback}}
	free := make(chan string, len(emails))
	for _, email := range emails {
		free <- email
	}
	call := func(ctx context.Context) error {
		email := <-free
		defer func() { free <- email }()
		// From a device that is new each time: that is the most work.
		_, err := logIn(ctx, client, sys.TenantURL("bench-login", loginPath), email, "")
		return err
	}
	ours := func(ctx context.Context) (float64, error) { return rate(ctx, loginWidth()+3, 3*time.Second, call) }
	return ours, bareLogin, nil
}}

const loginPath = "/v1/auth/login"

// logIn logs in from a known device, or a new one without its token, and
// answers the device's next token.
func logIn(ctx context.Context, client *http.Client, url, email, device string) (string, error) {
	body, err := json.Marshal(map[string]string{"email": email, "password": benchPassword})
	if err != nil {
		return "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/json")
	if device != "" {
		req.Header.Set("Tenantry-Device", device)
	}
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("login answers %s", resp.Status)
	}
	var out struct {
		DeviceToken string `json:"device_token"`
	}
	return out.DeviceToken, json.NewDecoder(resp.Body).Decode(&out)
}

// loopback dials this machine whatever the host is called: not every resolver
// knows names below localhost.
func loopback(ctx context.Context, network, addr string) (net.Conn, error) {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	return new(net.Dialer).DialContext(ctx, network, net.JoinHostPort("127.0.0.1", port))
}
