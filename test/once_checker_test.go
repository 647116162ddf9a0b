package test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	apikeysv1 "tenantry/api/gen/tenantry/apikeys/v1"
	"tenantry/internal/systest"
	"tenantry/internal/systest/knock"
)

type onceOptions struct {
	writes, tenants int
	// workers run beside each other; each has so many slots, one write each.
	workers, slots int
	seed           uint64
	// databaseFails allows "unavailable" with a time to come back.
	databaseFails bool
}

// onceChecker makes keyed writes until each has been acknowledged and
// confirmed by a repetition, and keeps book of the three outcomes: done,
// refused, unknown.
type onceChecker struct {
	onceOptions
	t      *testing.T
	s      *systest.System
	client *knock.Client
	update protoreflect.MethodDescriptor
	shops  []onceTenant

	begun, done atomic.Int64
	calls       [4]atomic.Int64
	unknown     atomic.Int64
	inFlight    atomic.Int64
	replayed    atomic.Int64
	unavailable atomic.Int64
	kills       atomic.Int64
	flushes     atomic.Int64
	took        time.Duration

	mu       sync.Mutex
	chain    []*onceSlot
	problems []string
}

type onceTenant struct{ id, slug, database, key string }

// onceSlot is a service account whose updates form a chain.
type onceSlot struct {
	tenant  onceTenant
	account string
	name    string
	version int64
	// keys names every write that was begun, in order.
	keys []string
	now  *onceWrite
}

// onceWrite is the write that a slot is at.
type onceWrite struct {
	key      string
	in       *apikeysv1.UpdateServiceAccountRequest
	attempts int
	first    *apikeysv1.ServiceAccount
	// acknowledged is when the first answer was read; repeats are the equal
	// answers after it.
	acknowledged time.Time
	repeats      int
}

func newOnceChecker(t *testing.T, s *systest.System, addr string, o onceOptions) *onceChecker {
	t.Helper()
	update, err := knock.Method("tenantry.apikeys.v1.ServiceAccountService.UpdateServiceAccount")
	require.NoError(t, err)
	c := &onceChecker{onceOptions: o, t: t, s: s, client: knock.New(addr), update: update}
	for i := range o.tenants {
		c.shops = append(c.shops, c.open(fmt.Sprintf("once-%d", i)))
	}
	for i := range o.workers * o.slots {
		at := c.shops[i%len(c.shops)]
		name := fmt.Sprintf("slot-%d", i)
		a, err := s.Post(within(t, time.Minute), at.slug, "/v1/service-accounts", at.key, map[string]any{"name": name})
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, a.Status, a.String())
		var made struct{ ID string }
		require.NoError(t, a.JSON(&made))
		c.chain = append(c.chain, &onceSlot{tenant: at, account: made.ID, name: name, version: 1})
	}
	return c
}

// open makes a tenant with an API key that its owner has given out.
func (c *onceChecker) open(slug string) onceTenant {
	c.t.Helper()
	op, token := tenant(c.t, c.s, systest.NewOrder(slug))
	out := onceTenant{id: op.TenantID, slug: slug, key: apiKey(c.t, c.s, slug, token, "users.read", "apikeys.manage")}
	var err error
	out.database, err = systest.Value[string](within(c.t, time.Minute), c.s, "", `SELECT database_name FROM tenants WHERE id = $1`, op.TenantID)
	require.NoError(c.t, err)
	return out
}

// apiKey makes an API key of the token's owner.
func apiKey(t *testing.T, s *systest.System, slug, token string, scopes ...string) string {
	t.Helper()
	a, err := s.Post(within(t, time.Minute), slug, "/v1/api-keys", token, map[string]any{"name": "a program", "scopes": scopes})
	require.NoError(t, err)
	var made struct{ Secret string }
	require.NoError(t, a.JSON(&made))
	require.NotEmpty(t, made.Secret, a.String())
	return made.Secret
}

// during runs fn beside the load; the load ends when fn fails.
func (c *onceChecker) during(ctx context.Context, fn func(context.Context) error) <-chan error {
	out := make(chan error, 1)
	go func() {
		err := fn(ctx)
		if err != nil {
			c.problem("the disturbance: %v", err)
		}
		out <- err
	}()
	return out
}

// reached waits until so many writes are done, or something has gone wrong.
func (c *onceChecker) reached(ctx context.Context, n int) error {
	return systest.Until(ctx, fmt.Sprintf("%d writes are done", n), func(context.Context) (bool, error) {
		if c.failed() {
			return false, fmt.Errorf("the load has stopped")
		}
		return c.done.Load() >= int64(n), nil
	})
}

func (c *onceChecker) problem(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.problems = append(c.problems, fmt.Sprintf(format, args...))
}

func (c *onceChecker) failed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.problems) > 0
}

// run makes all writes.
func (c *onceChecker) run(ctx context.Context) {
	c.t.Helper()
	started := time.Now()
	var all sync.WaitGroup
	for w := range c.workers {
		all.Go(func() {
			rnd := rand.New(rand.NewPCG(c.seed, uint64(w))) //nolint:gosec // seeded, so a failure can be repeated
			c.work(ctx, rnd, c.chain[w*c.slots:(w+1)*c.slots])
		})
	}
	all.Wait()
	c.took = time.Since(started)
	require.NoError(c.t, ctx.Err())
	require.Empty(c.t, c.problems, c.report())
}

// work gives each of its slots an attempt in turn, and waits only when none of
// them got on.
func (c *onceChecker) work(ctx context.Context, rnd *rand.Rand, mine []*onceSlot) {
	pause := time.NewTicker(50 * time.Millisecond)
	defer pause.Stop()
	for ctx.Err() == nil && !c.failed() {
		busy, moved := false, false
		for _, slot := range mine {
			if slot.now == nil && !c.begin(slot) {
				continue
			}
			busy = true
			moved = c.turn(ctx, rnd, slot) || moved
		}
		if !busy {
			return
		}
		if !moved {
			select {
			case <-ctx.Done():
			case <-pause.C:
			}
		}
	}
}

// begin takes the next write of the run.
func (c *onceChecker) begin(slot *onceSlot) bool {
	n := c.begun.Add(1)
	if n > int64(c.writes) {
		return false
	}
	key := fmt.Sprintf("write-%d", n)
	slot.keys = append(slot.keys, key)
	slot.now = &onceWrite{key: key, in: &apikeysv1.UpdateServiceAccountRequest{
		Id: slot.account, Version: slot.version, Description: proto.String("as of " + key),
	}}
	return true
}

// turn makes an attempt, sometimes two at once, and reports whether the write
// has got on.
func (c *onceChecker) turn(ctx context.Context, rnd *rand.Rand, slot *onceSlot) bool {
	w := slot.now
	attempts := 1
	if rnd.IntN(6) == 0 {
		attempts = 2
	}
	answers, errs := make([]knock.Answer, attempts), make([]error, attempts)
	var both sync.WaitGroup
	asked := time.Now()
	for i := range attempts {
		door := knock.Doors[(rnd.IntN(2)+w.attempts)%len(knock.Doors)]
		call := knock.Call{
			Method: c.update, In: w.in, Host: slot.tenant.slug + ".localhost", Bearer: slot.tenant.key,
			Key: w.key, RequestID: fmt.Sprintf("%s.%d", w.key, w.attempts),
		}
		w.attempts++
		c.calls[door].Add(1)
		both.Go(func() { answers[i], errs[i] = c.client.Knock(ctx, door, call) })
	}
	both.Wait()
	moved := false
	for i := range attempts {
		moved = c.hear(slot, asked, answers[i], errs[i]) || moved
	}
	if w.first != nil && w.repeats > 0 {
		slot.version, slot.now = w.first.GetVersion(), nil
		c.done.Add(1)
	}
	return moved
}

// hear books one outcome.
func (c *onceChecker) hear(slot *onceSlot, asked time.Time, a knock.Answer, err error) bool {
	w := slot.now
	switch {
	case err != nil:
		c.unknown.Add(1)
		return false
	case a.Message != nil:
		return c.acknowledge(slot, a)
	case a.Reason == "IDEMPOTENCY_IN_FLIGHT":
		c.inFlight.Add(1)
		if w.first != nil && asked.After(w.acknowledged) {
			c.problem("%s is still in flight %s after its answer", w.key, asked.Sub(w.acknowledged))
		}
	case c.databaseFails && a.Code == "unavailable" && a.RetryAfter != "":
		c.unavailable.Add(1)
	default:
		c.problem("%s, attempt %d: refused as %s %s (status %d, Retry-After %q)", w.key, w.attempts, a.Code, a.Reason, a.Status, a.RetryAfter)
	}
	return false
}

func (c *onceChecker) acknowledge(slot *onceSlot, a knock.Answer) bool {
	w, got := slot.now, a.Message.(*apikeysv1.ServiceAccount)
	if a.Replayed {
		c.replayed.Add(1)
	}
	if w.first == nil {
		w.first, w.acknowledged = got, time.Now()
		if got.GetId() != slot.account || got.GetName() != slot.name || got.GetVersion() != slot.version+1 || got.GetDescription() != w.in.GetDescription() {
			c.problem("%s: answered %v after version %d", w.key, got, slot.version)
		}
		return true
	}
	w.repeats++
	if !proto.Equal(w.first, got) {
		c.problem("%s: first answered %v, then %v", w.key, w.first, got)
	}
	return true
}

// check compares the book with the databases: one audit row, one mark and one
// step of the version for each write, and nothing else.
func (c *onceChecker) check(ctx context.Context) {
	c.t.Helper()
	require.EqualValues(c.t, c.writes, c.done.Load())
	effects := 0
	for _, shop := range c.shops {
		found, err := systest.Query[string](ctx, c.s, shop.database,
			`SELECT target_id::text || ' ' || split_part(request_id, '.', 1) FROM audit_log WHERE action = 'service_account.updated'`)
		require.NoError(c.t, err)
		effects += len(found)
		var want []string
		for _, slot := range c.chain {
			if slot.tenant.id != shop.id {
				continue
			}
			for _, key := range slot.keys {
				want = append(want, slot.account+" "+key)
			}
			version, err := systest.Value[int64](ctx, c.s, shop.database, `SELECT version FROM service_accounts WHERE id = $1`, slot.account)
			require.NoError(c.t, err)
			require.EqualValues(c.t, 1+len(slot.keys), version, "effects on %s", slot.name)
		}
		slices.Sort(want)
		slices.Sort(found)
		require.Equal(c.t, want, found, "one audit row for each write at %s", shop.slug)
		marks, err := systest.Value[int64](ctx, c.s, shop.database, `SELECT count(*) FROM idempotency_marks`)
		require.NoError(c.t, err)
		require.EqualValues(c.t, len(want), marks, "one mark for each write at %s", shop.slug)
	}
	require.Equal(c.t, c.writes, effects)
	c.t.Logf("%d writes, %d effects", c.writes, effects)
}

func (c *onceChecker) report() string {
	var b strings.Builder
	total := int64(0)
	for d := range c.calls {
		n := c.calls[d].Load()
		total += n
		fmt.Fprintf(&b, "%s %d, ", knock.Doors[d], n)
	}
	return fmt.Sprintf("%d of %d writes in %s: %d calls (%s), %d of unknown outcome, %d replayed, %d in flight, %d unavailable; API killed %d times, Redis flushed %d times",
		c.done.Load(), c.writes, c.took.Round(time.Second), total, strings.TrimSuffix(b.String(), ", "), c.unknown.Load(), c.replayed.Load(),
		c.inFlight.Load(), c.unavailable.Load(), c.kills.Load(), c.flushes.Load())
}
