package api

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	connectcors "connectrpc.com/cors"
	"golang.org/x/sync/singleflight"

	"tenantry/api/edge"
	"tenantry/api/pages"
	"tenantry/internal/clock"
	"tenantry/internal/db"
	"tenantry/internal/ids"
	"tenantry/internal/settings"
	"tenantry/internal/tenants"
)

// CORS (Fetch standard) is per tenant and strict: the origins of the tenant's
// settings, compared byte by byte, and nobody else. There are no credentials in
// the sense of the standard: the API reads bearer tokens and no cookies, so
// Access-Control-Allow-Credentials is never sent and a page of another site can
// do nothing in a visitor's name. The central host and the pages of mails allow
// no origin.

const (
	// originsTTL bounds how long an origin counts that was taken away, and how
	// often a tenant's database is asked.
	originsTTL = 5 * time.Second
	// originsRetry is how soon a database is asked again that did not answer.
	originsRetry = time.Second
	// maxOriginTenants bounds the memory.
	maxOriginTenants = 4096
	// maxOrigin bounds what is compared.
	maxOrigin = 255
	// preflightAge is how long a browser may remember a preflight, in seconds.
	// The answer of the request itself is always decided anew.
	preflightAge = "300"
)

// What a page may send and read, beyond what every page may.
var (
	corsRequest = append(connectcors.AllowedHeaders(), "Authorization", "Idempotency-Key", "If-Match", "X-Request-Id", "Accept-Language", headerDevice)
	corsExposed = append(connectcors.ExposedHeaders(),
		"ETag", "RateLimit", "RateLimit-Policy", "Retry-After", "X-Request-Id", "Idempotency-Replayed", "Location", "Content-Language")
	corsMethods = append(connectcors.AllowedMethods(), http.MethodHead, http.MethodPut, http.MethodPatch, http.MethodDelete)
)

// cors adds what an allowed origin's page needs, and answers its preflights.
// Any other OPTIONS goes on to the doors, which refuse it as JSON.
func (s *Server) cors(next http.Handler) http.Handler {
	request, exposed, methods := strings.Join(corsRequest, ", "), strings.Join(corsExposed, ", "), strings.Join(corsMethods, ", ")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		call := edge.From(r.Context())
		if call.Central || pages.Serves(r.URL.Path) {
			next.ServeHTTP(w, r)
			return
		}
		h := w.Header()
		h.Add("Vary", "Origin")
		origin := r.Header.Values("Origin")
		if len(origin) != 1 || !s.origins.allowed(r.Context(), call.Tenant, origin[0]) {
			next.ServeHTTP(w, r)
			return
		}
		h.Set("Access-Control-Allow-Origin", origin[0])
		if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
			h.Set("Access-Control-Expose-Headers", exposed)
			next.ServeHTTP(w, r)
			return
		}
		call.Door, call.Procedure = "cors", "preflight"
		h.Add("Vary", "Access-Control-Request-Method, Access-Control-Request-Headers")
		h.Set("Access-Control-Allow-Methods", methods)
		h.Set("Access-Control-Allow-Headers", request)
		h.Set("Access-Control-Max-Age", preflightAge)
		w.WriteHeader(http.StatusNoContent)
	})
}

// originCache remembers each tenant's origins, none included, for originsTTL.
// One caller asks, however many wait.
type originCache struct {
	load func(context.Context, tenants.Entry) ([]string, error)
	now  clock.Clock
	log  *slog.Logger

	flights singleflight.Group
	mu      sync.Mutex
	kept    map[ids.Tenant]origins
}

type origins struct {
	list  []string
	until time.Time
}

func newOriginCache(load func(context.Context, tenants.Entry) ([]string, error), now clock.Clock, log *slog.Logger) *originCache {
	return &originCache{load: load, now: now, log: log, kept: map[ids.Tenant]origins{}}
}

// allowed reports whether a page of the origin may call the tenant's API. What
// cannot be an allowed origin costs nothing.
func (c *originCache) allowed(ctx context.Context, t tenants.Entry, origin string) bool {
	web := strings.HasPrefix(origin, "https://") || strings.HasPrefix(origin, "http://")
	return c.load != nil && web && len(origin) <= maxOrigin && slices.Contains(c.of(ctx, t), origin)
}

func (c *originCache) of(ctx context.Context, t tenants.Entry) []string {
	if o, ok := c.fresh(t.ID); ok {
		return o.list
	}
	flight := c.flights.DoChan(t.ID.String(), func() (any, error) {
		// Detached: whoever asked first may leave, the others wait on.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		return c.refresh(ctx, t), nil
	})
	select {
	case done := <-flight:
		return done.Val.([]string)
	case <-ctx.Done():
		return nil
	}
}

func (c *originCache) fresh(t ids.Tenant) (origins, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	o, ok := c.kept[t]
	left := o.until.Sub(c.now())
	return o, ok && left > 0 && left <= originsTTL
}

// refresh asks the tenant's database. One that does not answer allows nobody
// for a moment: the request itself would not get far either.
func (c *originCache) refresh(ctx context.Context, t tenants.Entry) []string {
	if o, ok := c.fresh(t.ID); ok {
		return o.list // the flight before this one
	}
	asked := c.now()
	list, err := c.load(ctx, t)
	o := origins{list: list, until: asked.Add(originsTTL)}
	if err != nil {
		c.log.WarnContext(ctx, "origins unknown", slog.String("tenant_id", t.ID.String()), slog.String("error", err.Error()))
		o = origins{until: c.now().Add(originsRetry)}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, known := c.kept[t.ID]; !known && len(c.kept) >= maxOriginTenants {
		for other := range c.kept { // any: it is asked again
			delete(c.kept, other)
			break
		}
	}
	c.kept[t.ID] = o
	return o.list
}

// tenantOrigins reads the tenant's settings.
func tenantOrigins(lease func(tenants.Entry) (*db.Lease, error)) func(context.Context, tenants.Entry) ([]string, error) {
	return func(ctx context.Context, t tenants.Entry) ([]string, error) {
		l, err := lease(t)
		if err != nil {
			return nil, err
		}
		return db.InTenantRead(ctx, l, func(tx db.TenantTx) ([]string, error) {
			doc, err := settings.Load(ctx, tx)
			return doc.AllowedOrigins, err
		})
	}
}
