package test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	_ "tenantry/api" // every RPC that the server has
	"tenantry/internal/systest"
	"tenantry/internal/systest/knock"
)

var saneID = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// TestRandomRequests_AreAnsweredInJSONWithoutA5xx sends what a client could
// get wrong, at every RPC of the schema and around them, with real tenants and
// credentials. Every answer is JSON with a request id and no 5xx, and the
// process does not grow.
//
// TENANTRY_TEST_REQUESTS=100000 is the long form.
func TestRandomRequests_AreAnsweredInJSONWithoutA5xx(t *testing.T) {
	t.Parallel()
	n := numberFrom(t, "TENANTRY_TEST_REQUESTS", 3000)
	s := own(t, systest.Options{Env: map[string]string{"TENANTRY_FLOOD_PER_SECOND": "1000000", "TENANTRY_LOG_LEVEL": "warn"}})
	// Resident memory is what is held plus the garbage that was not collected
	// yet: collect early, so that a run of any length is about the former.
	require.NoError(t, s.StopAPI())
	require.NoError(t, s.StartAPI(within(t, time.Minute), "GOGC=20"))
	w := newRandomWorld(t, s)
	const parts = 10
	ctx, began := within(t, 30*time.Minute), time.Now()
	var peaks []int // MiB of memory in each part of the run
	for part := range parts {
		stop := watchRSS(t, s.API())
		w.run(ctx, t, part*n/parts, (part+1)*n/parts)
		peaks = append(peaks, stop())
	}
	t.Log(w.report(n, time.Since(began), peaks))
	// The first half fills caches and pools; what leaks grows on in the second.
	first, second := slices.Max(peaks[:parts/2]), slices.Max(peaks[parts/2:])
	require.LessOrEqual(t, second, first+first/8, "MiB of memory, part by part: %v", peaks)
	// Every RPC was met at both its paths, and most got as far as a handler.
	for _, m := range knock.Methods() {
		require.Positive(t, w.met[knock.Procedure(m)].Load(), "%s was never asked for", m.FullName())
	}
	require.Greater(t, w.status(2), int64(n/50), "some requests are good: %s", w.report(n, time.Since(began), peaks))
	require.True(t, s.API().Alive())
	clean(t, s)
}

// randomTenants is how many tenants the requests go to.
const randomTenants = 2

// randomWorld is the targets of random requests, and what came back.
type randomWorld struct {
	s          *systest.System
	client     *http.Client
	orders     []systest.Order
	bearers    []string // a session's and a key's of each order, then the operator's
	ids        []string
	procedures []string
	met        map[string]*atomic.Int64

	// tenants and renewed count what was made; both change between volleys only.
	tenants, renewed int

	mu       sync.Mutex
	statuses map[int]int64
	reasons  map[string]int64
	problems []string
}

func newRandomWorld(t *testing.T, s *systest.System) *randomWorld {
	t.Helper()
	w := &randomWorld{s: s, met: map[string]*atomic.Int64{}, statuses: map[int]int64{}, reasons: map[string]int64{}, client: steadyClient(s)}
	w.orders, w.bearers, w.ids = make([]systest.Order, randomTenants), make([]string, 2*randomTenants), make([]string, 2*randomTenants)
	for i := range w.orders {
		w.found(t, i)
	}
	// The operator's calls hit a tenant that nobody else asks: to be suspended in
	// the middle of a request is a 503.
	target, err := s.Provision(within(t, time.Minute), systest.NewOrder("random-target"))
	require.NoError(t, err)
	w.ids = append(w.ids, target.TenantID, target.ID)
	w.bearers = append(w.bearers, s.OperatorKey, s.Hook.OperatorKey)
	for _, m := range knock.Methods() {
		p := knock.Procedure(m)
		w.procedures = append(w.procedures, p)
		w.met[p] = &atomic.Int64{}
	}
	return w
}

// found provisions a tenant for place i.
func (w *randomWorld) found(t *testing.T, i int) {
	t.Helper()
	w.tenants++
	o := systest.NewOrder(fmt.Sprintf("random-%d", w.tenants)).Open()
	op, session := tenant(t, w.s, o)
	w.orders[i] = o
	w.bearers[2*i], w.bearers[2*i+1] = session, randomKey(t, w.s, o.Slug, session)
	w.ids[2*i], w.ids[2*i+1] = op.ID, whoAmI(t, w.s, o.Slug, session).User.ID
}

func randomKey(t *testing.T, s *systest.System, slug, session string) string {
	t.Helper()
	return apiKey(t, s, slug, session, "users.read", "apikeys.manage")
}

// renew replaces the credentials that random requests have ended, and a tenant
// whose owner's password they have changed: without them, every further request
// would be refused at the door.
func (w *randomWorld) renew(ctx context.Context, t *testing.T) {
	t.Helper()
	alive := func(slug, path, bearer string) bool {
		a, err := w.s.Get(ctx, slug, path, bearer)
		require.NoError(t, err)
		return a.Status == http.StatusOK
	}
	for i, o := range w.orders {
		session, key := &w.bearers[2*i], &w.bearers[2*i+1]
		if !alive(o.Slug, "/v1/me", *session) {
			w.renewed++
			var err error
			if *session, err = w.s.Login(ctx, o.Slug, o.OwnerEmail, password); err != nil {
				w.found(t, i)
				continue
			}
		}
		if !alive(o.Slug, "/v1/users", *key) {
			w.renewed++
			*key = randomKey(t, w.s, o.Slug, *session)
		}
	}
}

// run sends the requests from one number to another; each number names its
// request, whoever sends it.
func (w *randomWorld) run(ctx context.Context, t *testing.T, from, to int) {
	t.Helper()
	const workers, round = 4, 100
	for ; from < to; from += round {
		w.renew(ctx, t)
		w.volley(ctx, workers, from, min(from+round, to))
		require.NoError(t, ctx.Err())
		require.Empty(t, w.problems)
	}
}

func (w *randomWorld) volley(ctx context.Context, workers, from, to int) {
	var next atomic.Int64
	next.Store(int64(from))
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			for i := next.Add(1) - 1; i < int64(to) && ctx.Err() == nil; i = next.Add(1) - 1 {
				w.send(ctx, i)
			}
		})
	}
	all.Wait()
}

// hear judges an answer. What net/http refuses before any handler (a header it
// cannot read, an Expect that it does not know) is not sent here.
func (w *randomWorld) hear(i int64, r shot, status int, header http.Header, body []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.statuses[status]++
	bad := func(what string) {
		if len(w.problems) < 10 {
			w.problems = append(w.problems, fmt.Sprintf("request %d: %s: %s %.200s at %s as %.20s with %q %.120q\n%d %v %.300s",
				i, what, r.method, r.path, r.host, r.bearer, r.header, r.body, status, header, body))
		}
	}
	if status >= http.StatusInternalServerError {
		bad("a 5xx")
	}
	if !saneID.MatchString(header.Get("X-Request-Id")) {
		bad("no request id")
	}
	contentType := header.Get("Content-Type")
	if contentType != "application/json" && contentType != "application/problem+json" {
		if status == http.StatusNoContent && len(body) == 0 { // a preflight
			return
		}
		bad("not JSON")
	}
	if r.method == http.MethodHead || status == http.StatusNoContent {
		return
	}
	if !json.Valid(body) {
		bad("not JSON")
	}
	if status >= http.StatusBadRequest {
		a := systest.Answer{Status: status, Body: body}
		w.reasons[a.Reason()]++
		if contentType == "application/json" && (a.Reason() == "" || a.RequestID() != header.Get("X-Request-Id")) {
			bad("an error without reason or request id")
		}
	}
}

// status answers how many answers were of a class.
func (w *randomWorld) status(class int) (n int64) {
	for status, times := range w.statuses {
		if status/100 == class {
			n += times
		}
	}
	return n
}

func (w *randomWorld) report(n int, took time.Duration, peaks []int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d requests in %s, %d RPCs; memory at most %v MiB in each tenth; %d tenants, %d credentials renewed; ", n, took.Round(time.Second), len(w.procedures), peaks, w.tenants, w.renewed)
	statuses := make([]int, 0, len(w.statuses))
	for status := range w.statuses {
		statuses = append(statuses, status)
	}
	slices.Sort(statuses)
	for _, status := range statuses {
		fmt.Fprintf(&b, "%d×%d ", w.statuses[status], status)
	}
	fmt.Fprintf(&b, "for %d reasons", len(w.reasons))
	return b.String()
}
