package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"tenantry/internal/systest"
)

// member is a tenant of the fleet, with its owner's session.
type member struct {
	slug           string
	access, newest string // access and refresh token
}

// tenantFleet is many tenants that several measures share; it grows as they ask.
type tenantFleet struct {
	mu      sync.Mutex
	members []*member
	fresh   time.Time // when the access tokens were made
}

var fleet tenantFleet

// tokenAge is when access tokens are renewed; they live ten minutes.
const tokenAge = 4 * time.Minute

// of returns n tenants, whose tokens hold for some minutes.
func (c *tenantFleet) of(ctx context.Context, sys *systest.System, n int) ([]*member, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	have := len(c.members)
	for len(c.members) < n {
		c.members = append(c.members, &member{slug: fmt.Sprintf("crowd-%04d", len(c.members))})
	}
	if have < n {
		fmt.Fprintf(progress(), "making tenants %d to %d\n", have+1, n)
		var done int
		err := inParallel(ctx, c.members[have:], 4, func(m *member) error {
			if done++; done%100 == 0 { // a report may count one too few
				fmt.Fprintf(progress(), "%d of %d\n", have+done, n)
			}
			return m.join(ctx, sys)
		})
		if err != nil {
			return nil, err
		}
	}
	return c.members[:n], c.renew(ctx, sys, n)
}

// renew is called before each load.
func (c *tenantFleet) renew(ctx context.Context, sys *systest.System, n int) error {
	if time.Since(c.fresh) < tokenAge {
		return nil
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8, DialContext: loopback}}
	defer client.CloseIdleConnections()
	err := inParallel(ctx, c.members[:n], 8, func(m *member) error {
		return m.exchange(ctx, client, sys, "/v1/auth/refresh", map[string]string{"refresh_token": m.newest})
	})
	c.fresh = time.Now()
	return err
}

func (m *member) join(ctx context.Context, sys *systest.System) error {
	o := systest.NewOrder(m.slug)
	if _, err := sys.Provision(ctx, o); err != nil {
		return err
	}
	link, err := sys.Link(ctx, o.OwnerEmail, "/m/invitation")
	if err != nil {
		return err
	}
	if _, err := sys.Accept(ctx, link, "Owner of "+o.Slug, benchPassword); err != nil {
		return err
	}
	client := &http.Client{Transport: &http.Transport{DialContext: loopback}}
	defer client.CloseIdleConnections()
	return m.exchange(ctx, client, sys, "/v1/auth/login", map[string]string{"email": o.OwnerEmail, "password": benchPassword})
}

func (m *member) exchange(ctx context.Context, client *http.Client, sys *systest.System, path string, in any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, sys.TenantURL(m.slug, path), bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	var out struct {
		Access  string `json:"access_token"`
		Refresh string `json:"refresh_token"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil || out.Refresh == "" {
		return fmt.Errorf("%s at %s: %s (%w)", path, m.slug, resp.Status, err)
	}
	m.access, m.newest = out.Access, out.Refresh
	return nil
}

// inParallel runs do for each member, width at a time.
func inParallel(ctx context.Context, members []*member, width int, do func(*member) error) error {
	next := make(chan *member)
	errs := make([]error, width)
	var all sync.WaitGroup
	for i := range width {
		all.Go(func() {
			for m := range next {
				if errs[i] == nil {
					errs[i] = do(m)
				}
			}
		})
	}
	for _, m := range members {
		if ctx.Err() != nil {
			break
		}
		next <- m
	}
	close(next)
	all.Wait()
	return errors.Join(append(errs, ctx.Err())...)
}
