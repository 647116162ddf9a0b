package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tenantry/internal/clock"
	"tenantry/internal/db"
	"tenantry/internal/ids"
	"tenantry/internal/tenants"
)

const (
	acmeOrigin = "https://app.acme.example"
	betaHost   = "beta.tenantry.test"
	betaOrigin = "https://app.beta.example:8443"
)

// crossing is an API with two tenants, each with an origin of its own.
func crossing(f *fake) {
	beta := acme()
	beta.Slug = "beta"
	resolve := f.wiring.resolve
	f.wiring.resolve = func(ctx context.Context, slug string) (tenants.Entry, error) {
		if slug == "beta" {
			return beta, nil
		}
		return resolve(ctx, slug)
	}
	f.wiring.originsOf = func(_ context.Context, e tenants.Entry) ([]string, error) {
		return map[string][]string{"acme": {acmeOrigin, "http://localhost:5173"}, "beta": {betaOrigin}}[e.Slug], nil
	}
}

func from(origin string, c call) call {
	c.header = map[string]string{"Origin": origin}
	return c
}

func preflight(host, origin string) call {
	return call{method: "OPTIONS", host: host, path: "/v1/me", header: map[string]string{
		"Origin": origin, "Access-Control-Request-Method": "PATCH", "Access-Control-Request-Headers": "authorization,if-match",
	}}
}

func corsHeaders(h http.Header) (names []string) {
	for name := range h {
		if strings.HasPrefix(name, "Access-Control-") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func TestCORS_AnAllowedOriginsPageMayCallAndReadTheHeaders(t *testing.T) {
	t.Parallel()
	f := setup(t, crossing)
	get := call{method: "GET", host: acmeHost, path: "/v1/me", bearer: userToken}
	for _, c := range []call{get, {method: "POST", host: acmeHost, path: getMe, bearer: userToken, body: "{}"}, {method: "GET", host: acmeHost, path: "/nope"}, {method: "GET", host: acmeHost, path: "/v1/me"}} {
		a := f.do(t, from(acmeOrigin, c))
		require.Equal(t, acmeOrigin, a.header.Get("Access-Control-Allow-Origin"), "errors too: the page must read why")
		require.Equal(t, []string{"Access-Control-Allow-Origin", "Access-Control-Expose-Headers"}, corsHeaders(a.header), "no credentials mode")
		for _, name := range []string{"ETag", "RateLimit", "Retry-After", "X-Request-Id", "Idempotency-Replayed", "Location", "Content-Language", "Grpc-Status"} {
			require.Contains(t, strings.Split(a.header.Get("Access-Control-Expose-Headers"), ", "), name)
		}
		require.Contains(t, a.header.Values("Vary"), "Origin")
	}
	require.Equal(t, "http://localhost:5173", f.do(t, from("http://localhost:5173", get)).header.Get("Access-Control-Allow-Origin"))
}

func TestCORS_APreflightIsAnsweredWithoutABodyAndWithoutTheDoors(t *testing.T) {
	t.Parallel()
	f := setup(t, crossing)
	for _, path := range []string{"/v1/me", getMe, "/v1/auth/login"} {
		c := preflight(acmeHost, acmeOrigin)
		c.path = path
		a := f.do(t, c)
		require.Contains(t, notJSON.Empty, a.status)
		require.Equal(t, http.StatusNoContent, a.status)
		require.Empty(t, a.body)
		require.Empty(t, a.header.Get("Content-Type"))
		require.Regexp(t, saneRequestID, a.header.Get("X-Request-Id"))
		require.Equal(t, acmeOrigin, a.header.Get("Access-Control-Allow-Origin"))
		require.Equal(t, []string{"Access-Control-Allow-Headers", "Access-Control-Allow-Methods", "Access-Control-Allow-Origin", "Access-Control-Max-Age"}, corsHeaders(a.header))
		for _, name := range []string{"Authorization", "Content-Type", "Idempotency-Key", "If-Match", "Connect-Protocol-Version", "Connect-Timeout-Ms"} {
			require.Contains(t, strings.Split(a.header.Get("Access-Control-Allow-Headers"), ", "), name)
		}
		for _, verb := range f.server.rest.verbs {
			require.Contains(t, strings.Split(a.header.Get("Access-Control-Allow-Methods"), ", "), verb)
		}
		require.NotContains(t, a.header.Get("Access-Control-Allow-Headers")+a.header.Get("Access-Control-Allow-Methods"), "*")
		require.Contains(t, a.header.Values("Vary"), "Origin")
	}
}

func TestCORS_NobodyElseGetsAHeader(t *testing.T) {
	t.Parallel()
	f := setup(t, crossing)
	for _, foreign := range []string{
		"https://evil.example", betaOrigin, "null", "*", "", "https://APP.acme.example", "HTTPS://app.acme.example", "http://app.acme.example",
		"https://app.acme.example:443", "https://app.acme.example:8443", "https://app.acme.example.", "https://x.app.acme.example", "https://acme.example",
		"https://app.acme.example/", "https://app.acme.example.evil.example", "https://evilapp.acme.example", "https://app.acme.example@evil.example",
		"https://app.acme.example, https://app.acme.example", "https://app.acme.example https://evil.example", "http://localhost", "http://localhost:5174",
		"https://acme.tenantry.test", "file://", "https://" + strings.Repeat("a", 4000) + ".example",
	} {
		a := f.do(t, from(foreign, call{method: "GET", host: acmeHost, path: "/v1/me", bearer: userToken}))
		require.Equal(t, http.StatusOK, a.status)
		require.Empty(t, corsHeaders(a.header), foreign)
		require.Contains(t, a.header.Values("Vary"), "Origin", "a cache must not hand it to another origin")

		a = f.do(t, preflight(acmeHost, foreign))
		require.Equal(t, http.StatusMethodNotAllowed, a.status, foreign)
		require.Equal(t, "METHOD_NOT_ALLOWED", a.problem(t).Reason)
		require.Empty(t, corsHeaders(a.header), foreign)
	}
}

func TestCORS_IsTheTenantsOwn(t *testing.T) {
	t.Parallel()
	f := setup(t, crossing)
	require.Equal(t, http.StatusNoContent, f.do(t, preflight(betaHost, betaOrigin)).status)
	require.Empty(t, corsHeaders(f.do(t, preflight(betaHost, acmeOrigin)).header))
	require.Equal(t, http.StatusNoContent, f.do(t, preflight(acmeHost, acmeOrigin)).status)
	require.Empty(t, corsHeaders(f.do(t, preflight(acmeHost, betaOrigin)).header))
	require.Empty(t, corsHeaders(f.do(t, preflight(betaHost, acmeOrigin)).header), "whoever was asked for last")
	require.Empty(t, corsHeaders(f.do(t, preflight(centralHost, acmeOrigin)).header), "the central host has no pages")
	require.Empty(t, corsHeaders(f.do(t, preflight("nobody.tenantry.test", acmeOrigin)).header))
	require.Empty(t, corsHeaders(f.do(t, preflight("sleepy.tenantry.test", acmeOrigin)).header))
	page := f.do(t, from(acmeOrigin, call{method: "GET", host: acmeHost, path: invitationPage + "?token=" + goodLink}))
	require.Equal(t, http.StatusOK, page.status)
	require.Empty(t, corsHeaders(page.header), "a mail's page is nobody's to read")
}

// Options without a preflight's headers is a method like another.
func TestCORS_OtherOptionsAreRefusedAsJSON(t *testing.T) {
	t.Parallel()
	f := setup(t, crossing)
	a := f.do(t, from(acmeOrigin, call{method: "OPTIONS", host: acmeHost, path: "/v1/me"}))
	require.Equal(t, http.StatusMethodNotAllowed, a.status)
	require.Equal(t, "METHOD_NOT_ALLOWED", a.problem(t).Reason)
}

func cacheOf(load func(context.Context, tenants.Entry) ([]string, error), now clock.Clock) *originCache {
	return newOriginCache(load, now, slog.New(slog.DiscardHandler))
}

func TestOriginCache_AsksOncePerTenantInFiveSecondsNoneIncluded(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var asked int
	var list []string
	c := cacheOf(func(context.Context, tenants.Entry) ([]string, error) { asked++; return list, nil }, func() time.Time { return at })
	e := acme()
	for range 100 {
		require.False(t, c.allowed(t.Context(), e, acmeOrigin))
	}
	require.Equal(t, 1, asked, "no origins is remembered too")
	list = []string{acmeOrigin}
	at = at.Add(originsTTL)
	require.True(t, c.allowed(t.Context(), e, acmeOrigin))
	list = nil
	at = at.Add(originsTTL - time.Millisecond)
	require.True(t, c.allowed(t.Context(), e, acmeOrigin))
	at = at.Add(time.Millisecond)
	require.False(t, c.allowed(t.Context(), e, acmeOrigin), "taken away after 5 s at the latest")
	require.Equal(t, 3, asked)
	at = at.Add(-time.Hour)
	require.False(t, c.allowed(t.Context(), e, acmeOrigin))
	require.Equal(t, 4, asked, "a clock that went back keeps nothing alive")
	for _, garbage := range []string{"null", "", "*", "file://", "https://" + strings.Repeat("a", 300)} {
		at = at.Add(time.Minute)
		require.False(t, c.allowed(t.Context(), e, garbage))
	}
	require.Equal(t, 4, asked, "what no origin can be asks nobody")
}

func TestOriginCache_ADatabaseThatFailsAllowsNobodyAndIsAskedOnceASecond(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var asked int
	fails := errors.New("no database")
	c := cacheOf(func(context.Context, tenants.Entry) ([]string, error) { asked++; return []string{acmeOrigin}, fails }, func() time.Time { return at })
	e := acme()
	for range 10 {
		require.False(t, c.allowed(t.Context(), e, acmeOrigin))
	}
	require.Equal(t, 1, asked)
	fails = nil
	at = at.Add(originsRetry)
	require.True(t, c.allowed(t.Context(), e, acmeOrigin))
}

func TestOriginCache_OneCallerAsksForACrowdAndMayLeave(t *testing.T) {
	t.Parallel()
	var asked, looked atomic.Int64
	entered, open := make(chan struct{}), make(chan struct{})
	c := cacheOf(func(ctx context.Context, _ tenants.Entry) ([]string, error) {
		if asked.Add(1) == 1 {
			close(entered)
		}
		<-open
		return []string{acmeOrigin}, ctx.Err()
	}, func() time.Time { looked.Add(1); return clock.System() })
	e := acme()
	first, leave := context.WithCancel(t.Context())
	left := make(chan bool)
	go func() { left <- c.allowed(first, e, acmeOrigin) }()
	<-entered
	var crowd sync.WaitGroup
	var allowed atomic.Int64
	for range 50 {
		crowd.Go(func() {
			if c.allowed(context.Background(), e, acmeOrigin) {
				allowed.Add(1)
			}
		})
	}
	require.Eventually(t, func() bool { return looked.Load() > 50 }, 10*time.Second, time.Millisecond, "the crowd has come")
	leave()
	require.False(t, <-left, "who leaves is not kept waiting")
	close(open)
	crowd.Wait()
	require.EqualValues(t, 50, allowed.Load())
	require.EqualValues(t, 1, asked.Load())
}

func TestOriginCache_MemoryIsBounded(t *testing.T) {
	t.Parallel()
	c := cacheOf(func(context.Context, tenants.Entry) ([]string, error) { return nil, nil }, clock.System)
	for i := range maxOriginTenants + 100 {
		c.allowed(t.Context(), tenants.Entry{ID: ids.NewTenant(), Slug: fmt.Sprint(i)}, acmeOrigin)
	}
	require.LessOrEqual(t, len(c.kept), maxOriginTenants)
}

// The real chain: what stands in the tenant's database is what a page may do.
func TestCORS_ReadsTheTenantsSettings(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id, host := w.settle(t, "acme")
	_, other := w.settle(t, "globex")
	require.Equal(t, http.StatusMethodNotAllowed, w.do(t, preflight(host, acmeOrigin)).status, "none at first")
	e, err := w.directory.Fresh(t.Context(), id)
	require.NoError(t, err)
	lease, err := w.router.LeaseEntry(e)
	require.NoError(t, err)
	_, err = db.InTenant(t.Context(), lease, func(tx db.TenantTx) (struct{}, error) {
		_, err := tx.SQL().ExecContext(t.Context(), `UPDATE settings SET document = jsonb_set(document::jsonb, '{allowed_origins}', jsonb_build_array($1::text))`, acmeOrigin)
		return struct{}{}, err
	})
	require.NoError(t, err)
	require.Eventually(t, func() bool { return w.do(t, preflight(host, acmeOrigin)).status == http.StatusNoContent }, 2*originsTTL, 50*time.Millisecond)
	token := w.logIn(t, host, "owner@acme.example")
	a := w.do(t, from(acmeOrigin, call{method: "GET", host: host, path: "/v1/me", bearer: token}))
	require.Equal(t, http.StatusOK, a.status)
	require.Equal(t, acmeOrigin, a.header.Get("Access-Control-Allow-Origin"))
	require.Equal(t, http.StatusMethodNotAllowed, w.do(t, preflight(other, acmeOrigin)).status)
}
