package fleet

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"tenantry/internal/devstack"
)

// Load is what the requests met.
type Load struct {
	Reads, Writes int
	Took          time.Duration
	// Latencies of all requests, sorted.
	Latencies []time.Duration
	// Errors counts what was no success; Examples shows the first few.
	Errors   int
	Examples []string
	// Touched is how many tenants were asked.
	Touched int
}

// Percentile answers the latency that p of a hundred requests stay under.
func (l Load) Percentile(p int) time.Duration {
	if len(l.Latencies) == 0 {
		return 0
	}
	return l.Latencies[min(len(l.Latencies)*p/100, len(l.Latencies)-1)]
}

func (l Load) perSecond() float64 { return float64(len(l.Latencies)) / max(l.Took.Seconds(), 1e-9) }

// loader is one worker: one request at a time, at one process.
type loader struct {
	*run
	client *http.Client
	rnd    *rand.Rand
	zipf   *rand.Zipf
	name   string

	out     Load
	touched map[string]bool
	writes  int
}

func (r *run) load(ctx context.Context) Load {
	addrs := []string{r.Setting("API_ADDR"), devstack.Loopback(r.second)}
	var begun atomic.Int64
	var all sync.WaitGroup
	started := time.Now()
	loaders := make([]*loader, 0, processes*r.Workers)
	for _, addr := range addrs {
		client := clientTo(addr, r.Workers)
		defer client.CloseIdleConnections()
		for range r.Workers {
			i := uint64(len(loaders))
			rnd := rand.New(rand.NewPCG(r.Seed, i)) //nolint:gosec // seeded, so a run can be repeated
			loaders = append(loaders, &loader{
				run: r, client: client, rnd: rnd,
				zipf: rand.NewZipf(rnd, 1.1, 1, uint64(r.Tenants-1)), name: fmt.Sprintf("w%d", i), touched: map[string]bool{},
			})
		}
	}
	for _, l := range loaders {
		all.Go(func() {
			for ctx.Err() == nil && begun.Add(1) <= int64(r.Requests) {
				l.visit(ctx)
			}
		})
	}
	all.Wait()
	return merge(loaders, time.Since(started))
}

// openLoad reads at a fixed pace, at the processes in turn and at every tenant
// as often as at any other, whether or not the calls before are answered.
func (r *run) openLoad(ctx context.Context) Load {
	addrs := []string{r.Setting("API_ADDR"), devstack.Loopback(r.second)}
	clients := make([]*http.Client, len(addrs))
	for i, addr := range addrs {
		clients[i] = clientTo(addr, r.Budget)
		defer clients[i].CloseIdleConnections()
	}
	n := int(float64(r.OpenRate) * r.OpenTime.Seconds())
	rnd := rand.New(rand.NewPCG(r.Seed, 1<<32)) //nolint:gosec // seeded, so a run can be repeated
	loaders := make([]*loader, 0, n)
	var all sync.WaitGroup
	started := time.Now()
	for i := range n {
		due := started.Add(time.Duration(i) * time.Second / time.Duration(r.OpenRate))
		<-time.After(time.Until(due))
		at := r.tenants[rnd.IntN(len(r.tenants))]
		l := &loader{run: r, client: clients[i%len(clients)], touched: map[string]bool{at.slug: true}}
		loaders = append(loaders, l)
		all.Go(func() { l.ask(ctx, at, http.MethodGet, "/v1/service-accounts?limit=1", "", "") })
	}
	all.Wait()
	return merge(loaders, time.Since(started))
}

// clientTo is a client that finds every host at addr.
func clientTo(addr string, idle int) *http.Client {
	return &http.Client{Timeout: 40 * time.Second, Transport: &http.Transport{
		MaxIdleConnsPerHost: idle, MaxIdleConns: 4 * idle,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, network, addr)
		},
	}}
}

func merge(loaders []*loader, took time.Duration) Load {
	sum, touched := Load{Took: took}, map[string]bool{}
	for _, l := range loaders {
		sum.Reads, sum.Writes, sum.Errors = sum.Reads+l.out.Reads, sum.Writes+l.out.Writes, sum.Errors+l.out.Errors
		sum.Latencies = append(sum.Latencies, l.out.Latencies...)
		sum.Examples = append(sum.Examples, l.out.Examples...)
		for slug := range l.touched {
			touched[slug] = true
		}
	}
	slices.Sort(sum.Latencies)
	sum.Touched = len(touched)
	return sum
}

// visit asks one tenant: three of four times for a list; else it makes a
// service account and deletes it again, which is two writes.
func (l *loader) visit(ctx context.Context) {
	at := l.tenants[l.zipf.Uint64()]
	l.touched[at.slug] = true
	switch l.rnd.IntN(8) {
	case 0, 1:
		l.writes++
		name := fmt.Sprintf("%s-%d", l.name, l.writes)
		made := l.ask(ctx, at, http.MethodPost, "/v1/service-accounts", name, fmt.Sprintf(`{"name":%q}`, name))
		var account struct{ ID, Version string }
		if json.Unmarshal(made, &account) == nil && account.ID != "" {
			l.ask(ctx, at, http.MethodDelete, "/v1/service-accounts/"+account.ID+"?version="+account.Version, "delete-"+name, "")
		}
	case 2, 3:
		l.ask(ctx, at, http.MethodGet, "/v1/service-accounts?limit=5", "", "")
	default:
		l.ask(ctx, at, http.MethodGet, "/v1/users?limit=5", "", "")
	}
}

// ask sends one request; nil stands for everything but a success.
func (l *loader) ask(ctx context.Context, at tenant, method, path, key, body string) []byte {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+at.slug+".localhost"+path, strings.NewReader(body))
	if err != nil {
		return l.failed("%v", err)
	}
	req.Header.Set("Authorization", "Bearer "+at.key)
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
		l.out.Writes++
	} else {
		l.out.Reads++
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	started := time.Now()
	resp, err := l.client.Do(req)
	if err != nil {
		return l.failed("%s %s: %v", method, path, err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	l.out.Latencies = append(l.out.Latencies, time.Since(started))
	if err != nil || resp.StatusCode != http.StatusOK {
		return l.failed("%s %s at %s: %s %v %.300s", method, path, at.slug, resp.Status, err, text)
	}
	return text
}

func (l *loader) failed(format string, args ...any) []byte {
	l.out.Errors++
	if len(l.out.Examples) < 2 {
		l.out.Examples = append(l.out.Examples, fmt.Sprintf(format, args...))
	}
	return nil
}
