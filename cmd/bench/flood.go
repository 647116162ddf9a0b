package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"tenantry/internal/systest"
)

const (
	// floodPace is what each of the quiet tenants asks a second, and floodTimes
	// how many times more the flooding one does.
	floodPace    = 5
	floodTimes   = 50
	floodTenants = 20
)

// flood is what one tenant that asks fifty times as much as each of twenty
// others leaves to those: their 99th percentile beside it, against without it.
// Every statement of the flooding tenant waits for a lock, as behind a careless
// migration, so that it uses up whatever a tenant can use up; what does not fit
// into its queue must be refused with the typed error.
var flood = measure{name: "flood", goal: 2, atMost: true, unit: "ms p99", prepare: func(ctx context.Context, sys *systest.System) (run, run, error) {
	members, err := fleet.of(ctx, sys, floodTenants+1)
	if err != nil {
		return nil, nil, err
	}
	victims, flooding := members[1:], members[0]
	client, flooder := wideClient(64), wideClient(1024)
	quiet := func(ctx context.Context) (float64, error) {
		if _, err := fleet.of(ctx, sys, len(members)); err != nil {
			return 0, err
		}
		took, err := atPace(ctx, floodPace*floodTenants, openTime, askMe(sys, client, victims, uniform(floodTenants)))
		if err != nil {
			return 0, err
		}
		return percentile(took, 99), nil
	}
	busy := func(ctx context.Context) (float64, error) {
		release, err := lockSessions(ctx, sys, flooding.slug)
		if err != nil {
			return 0, err
		}
		ctx, stop := context.WithCancel(ctx)
		counts := make(chan map[string]int, 1)
		go func() { counts <- floodWith(ctx, sys, flooder, flooding) }()
		ms, err := quiet(ctx)
		stop()
		got := <-counts
		release()
		fmt.Fprintf(progress(), "  the flood got %v\n", got)
		if err == nil && got["503"] == 0 {
			err = errors.New("the flood was never refused")
		}
		return ms, err
	}
	return busy, quiet, nil
}}

// floodWith asks without end and counts the answers by status.
func floodWith(ctx context.Context, sys *systest.System, client *http.Client, m *member) map[string]int {
	var mu sync.Mutex
	counts := map[string]int{}
	tick := time.NewTicker(time.Second / (floodPace * floodTimes))
	defer tick.Stop()
	var all sync.WaitGroup
	for ctx.Err() == nil {
		all.Go(func() {
			status := statusOf(ctx, client, sys.TenantURL(m.slug, "/v1/me"), m.access)
			mu.Lock()
			defer mu.Unlock()
			counts[status]++
		})
		<-tick.C
	}
	all.Wait()
	return counts
}

// statusOf is an answer's status; "left" for a call that was still waiting when
// the load ended.
func statusOf(ctx context.Context, client *http.Client, url, token string) string {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err.Error()
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := client.Do(req)
	if err != nil {
		return "left"
	}
	_ = resp.Body.Close()
	return fmt.Sprint(resp.StatusCode)
}

// lockSessions makes every statement of a tenant that reads its sessions wait
// until release.
func lockSessions(ctx context.Context, sys *systest.System, slug string) (release func(), err error) {
	database, err := sys.Database(ctx, slug)
	if err != nil {
		return nil, err
	}
	conn, err := sys.Connect(ctx, database)
	if err != nil {
		return nil, err
	}
	_, err = conn.Exec(ctx, `BEGIN; LOCK TABLE sessions`)
	return func() { _ = conn.Close(context.WithoutCancel(ctx)) }, err
}
