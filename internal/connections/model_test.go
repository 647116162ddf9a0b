package connections_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"tenantry/internal/connections"
)

// op is one thing that happens in a history; what its numbers mean depends on
// the kind.
type op struct {
	Kind   string
	Tenant int
	N      int
	Took   time.Duration
	Within time.Duration
}

// faults are the kinds that may make a request fail.
var faults = []string{"restart", "cut", "freeze", "crowd", "cancelled request", "shrink"}

func drawOps(t *rapid.T, tenants int, faulty bool) []op {
	kinds := []string{"request", "request", "request", "burst", "pause", "forget", "rotate", "late request"}
	if faulty {
		kinds = append(kinds, faults...)
	}
	one := rapid.Custom(func(t *rapid.T) op {
		return op{
			Kind:   rapid.SampledFrom(kinds).Draw(t, "kind"),
			Tenant: rapid.IntRange(0, tenants-1).Draw(t, "tenant"),
			N:      rapid.IntRange(1, 12).Draw(t, "n"),
			Took:   time.Duration(rapid.IntRange(0, 200).Draw(t, "took")) * time.Millisecond,
			Within: time.Duration(rapid.IntRange(0, 60).Draw(t, "within")) * time.Millisecond,
		}
	})
	return rapid.SliceOfN(one, 10, 60).Draw(t, "ops")
}

// history runs ops against a cache on a fake server.
type history struct {
	server  *fakeServer
	cache   *connections.Cache
	keys    []connections.Key
	clients sync.WaitGroup

	mu sync.Mutex
	// after is the least birth of a connection that a tenant's new callers may
	// get: older ones have been forgotten.
	after  []int
	inside []int // callers by tenant
	errs   []error
	served int
}

func newHistory(budget, share, tenants int) *history {
	h := &history{server: newFakeServer(budget, share), after: make([]int, tenants), inside: make([]int, tenants)}
	h.cache = connections.NewOn(connections.Options{Budget: budget, Share: share, Opens: 2}, h.server.connect)
	for range tenants {
		h.keys = append(h.keys, connections.Key{Tenant: uuid.New()})
	}
	return h
}

// request asks on behalf of a tenant; a late one resolved it before its
// credential was rotated.
func (h *history) request(tenant int, took, within time.Duration, late bool) {
	h.mu.Lock()
	key, after := h.keys[tenant], h.after[tenant]
	if late && key.Revision > 0 {
		key.Revision--
	}
	crowded := h.inside[tenant] >= 60 // the queue of one connection
	if !crowded {
		h.inside[tenant]++
	}
	h.mu.Unlock()
	if crowded {
		return
	}
	h.clients.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), within)
		defer cancel()
		err := h.ask(ctx, key, after, took)
		h.mu.Lock()
		defer h.mu.Unlock()
		h.inside[tenant]--
		if err != nil {
			h.errs = append(h.errs, err)
			return
		}
		h.served++
	})
}

func (h *history) ask(ctx context.Context, key connections.Key, after int, took time.Duration) error {
	conn, err := h.cache.Acquire(ctx, key)
	if err != nil {
		return err
	}
	defer conn.Release()
	l := conn.Link().(*fakeLink)
	if l.born <= after {
		h.server.mu.Lock()
		h.server.bad("a forgotten connection was lent")
		h.server.mu.Unlock()
	}
	return l.query(ctx, key, took)
}

const requestTime = 30 * time.Second

func (h *history) run(o op) {
	switch o.Kind {
	case "request":
		h.request(o.Tenant, o.Took, requestTime, false)
	case "burst":
		for range o.N {
			h.request(o.Tenant, o.Took, requestTime, false)
		}
	case "late request":
		h.request(o.Tenant, o.Took, requestTime, true)
	case "cancelled request":
		h.request(o.Tenant, o.Took, o.Within, false)
	case "pause":
		<-time.After(10 * o.Took)
	case "forget", "rotate":
		h.mu.Lock()
		h.server.mu.Lock()
		h.after[o.Tenant] = h.server.opened
		h.server.mu.Unlock()
		if o.Kind == "rotate" {
			h.keys[o.Tenant].Revision++
		}
		id := h.keys[o.Tenant].Tenant
		h.mu.Unlock()
		h.cache.Forget(id)
	case "restart":
		h.server.stop()
		<-time.After(o.Took)
		h.server.start()
	case "cut":
		h.server.stop()
		h.server.start()
	case "freeze":
		h.server.freeze()
		<-time.After(30 * o.Took)
		h.server.melt()
	case "crowd":
		h.server.crowd(o.N)
	case "shrink":
		h.server.allow(o.N)
		h.cache.SetBudget(o.N)
	}
	synctest.Wait()
}

// heal takes every fault away.
func (h *history) heal(budget int) {
	h.server.start()
	h.server.melt()
	h.server.crowd(0)
	h.server.allow(budget)
	h.cache.SetBudget(budget)
}

// end waits for everybody, asks every tenant once more and closes the cache.
func (h *history) end(budget int) error {
	h.heal(budget)
	h.clients.Wait()
	<-time.After(time.Minute) // whatever was noted of the faults is over
	for i, key := range h.keys {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		err := h.ask(ctx, key, h.after[i], time.Millisecond)
		cancel()
		if err != nil {
			return fmt.Errorf("tenant %d after the faults: %w", i, err)
		}
	}
	synctest.Wait()
	s := h.cache.Stats()
	if s.Busy != 0 || s.Opening != 0 || s.Waiting != 0 {
		return fmt.Errorf("nobody asks, but: %+v", s)
	}
	<-time.After(time.Minute)
	s = h.cache.Stats()
	h.server.mu.Lock()
	held := h.server.held
	h.server.mu.Unlock()
	if s.Held() != held || s.Idle != held {
		return fmt.Errorf("the server has %d connections, the cache knows of %+v", held, s)
	}
	for l := range h.server.links {
		for i, key := range h.keys {
			if l.key.Tenant == key.Tenant && (l.key != key || l.born <= h.after[i]) {
				return fmt.Errorf("a forgotten connection of tenant %d was kept", i)
			}
		}
	}
	if err := h.cache.Close(context.Background()); err != nil {
		return err
	}
	if s := h.cache.Stats(); s.Held() != 0 || s.Tenants != 0 || h.server.held != 0 {
		return fmt.Errorf("closed, but: %+v, %d at the server", s, h.server.held)
	}
	return nil
}

// verdict is what was wrong with a history.
func (h *history) verdict(faulty bool) error {
	if len(h.server.wrong) > 0 {
		return fmt.Errorf("%q", h.server.wrong)
	}
	for _, err := range h.errs {
		var open *connections.OpenError
		known := errors.As(err, &open) || errors.Is(err, connections.ErrBudget) || errors.Is(err, errDown) || errors.Is(err, context.DeadlineExceeded)
		if !known || !faulty {
			return fmt.Errorf("a request failed: %w", err)
		}
	}
	return nil
}

// total is what all histories met, so that a run which tests nothing is seen.
type total struct {
	served, failed, budget, open, left int
	connections.Stats
}

func (s *total) add(h *history) {
	s.served += h.served
	s.failed += len(h.errs)
	for _, err := range h.errs {
		var open *connections.OpenError
		switch {
		case errors.As(err, &open):
			s.open++
		case errors.Is(err, connections.ErrBudget):
			s.budget++
		case errors.Is(err, context.DeadlineExceeded):
			s.left++
		}
	}
	one := h.cache.Stats()
	s.Opens, s.Failures, s.Full, s.Evictions = s.Opens+one.Opens, s.Failures+one.Failures, s.Full+one.Full, s.Evictions+one.Evictions
}

func histories(t *testing.T, faulty bool) {
	var all total
	defer func() {
		t.Logf("%d requests served, %d failed (%d without a connection, %d opens, %d left); %d opens, %d failed, %d of them for want of a place; %d evictions",
			all.served, all.failed, all.budget, all.open, all.left, all.Opens, all.Failures, all.Full, all.Evictions)
	}()
	rapid.Check(t, func(r *rapid.T) {
		budget := rapid.IntRange(1, 8).Draw(r, "budget")
		share := rapid.IntRange(1, 5).Draw(r, "share")
		tenants := rapid.IntRange(1, 12).Draw(r, "tenants")
		ops := drawOps(r, tenants, faulty)
		var wrong error
		// The bubble ends only when all its goroutines have ended, and its time is
		// virtual: a second of waiting costs nothing.
		synctest.Test(t, func(*testing.T) {
			h := newHistory(budget, share, tenants)
			for _, o := range ops {
				h.run(o)
			}
			wrong = errors.Join(h.end(budget), h.verdict(faulty))
			all.add(h)
		})
		if wrong != nil {
			r.Fatalf("%v", wrong)
		}
	})
}

// Random histories in which nothing is wrong with the server: everybody is
// served, on their own database, within the budget.
func TestModel_ServesEverybodyWithinTheBudget(t *testing.T) {
	t.Parallel()
	histories(t, false)
}

// Random histories with restarts, cuts, freezes, strangers that take places,
// budgets that shrink, and callers that leave: the counts are right at the end,
// no connection is lost or lent twice, and no goroutine is left.
func TestModel_SurvivesFaults(t *testing.T) {
	t.Parallel()
	histories(t, true)
}

func TestNew_RefusesABudgetThatServesNobody(t *testing.T) {
	t.Parallel()
	for _, o := range []connections.Options{{}, {Budget: 4}, {Share: 4}, {Budget: 3, Share: -1}} {
		require.Panics(t, func() { connections.New(o) })
	}
}
