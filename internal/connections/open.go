package connections

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// opening is one open under way. It belongs to all who wait for its source.
type opening struct {
	tenant *tenant
	source *source
	cancel context.CancelFunc
}

// start opens a connection for the tenant's first caller without one. The place
// is taken before the first byte goes to the server. Called with Cache.mu held.
func (c *Cache) start(t *tenant) bool {
	w := t.uncovered()
	if w == nil {
		return false
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(w.ctx), c.opt.OpenTimeout)
	o := &opening{tenant: t, source: w.source, cancel: cancel}
	c.opening[o] = struct{}{}
	t.heard.now() // its callers have not waited for its own connections before
	t.held++
	t.opening++
	o.source.opening++
	c.stats.Opens++
	go c.open(ctx, o, w.dsn)
	return true
}

func (c *Cache) open(ctx context.Context, o *opening, dsn DSN) {
	defer o.cancel()
	var l link
	err := errors.New("dsn or a hook ended the goroutine")
	// Deferred, so that a panic in the caller's dsn, Configure or tracer neither
	// ends the process nor leaves the callers and the place hanging.
	defer func() {
		if v := recover(); v != nil {
			// The value may hold what dsn was working on; its type and place do not.
			err = fmt.Errorf("panic (%T)\n%s", v, debug.Stack())
		}
		c.opened(o, l, err)
	}()
	l, err = c.connect(ctx, o.source.key, dsn)
}

func (c *Cache) opened(o *opening, l link, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.opening, o)
	o.tenant.opening--
	o.source.opening--
	if err != nil {
		o.tenant.held--
		c.failed(o, err)
		c.drop(o.tenant)
		c.schedule()
		c.noteDrained()
		return
	}
	c.heard.now()
	o.tenant.heard.now()
	conn := &Conn{link: l, cache: c, tenant: o.tenant, source: o.source, born: time.Now()}
	l.Watch(&c.heard, &o.tenant.heard)
	c.busy[conn] = struct{}{}
	c.ceiling.opened(c)
	if c.closed || o.source.retired && o.tenant.first(o.source) == nil {
		c.discard(conn)
		return
	}
	c.hand(conn)
	c.schedule() // one more may be opened
}

// failed decides who hears of an open that failed. A server without a place for
// us is waited for. Anything else is the answer for everybody who waits for the
// source, unless the tenant has other connections, which may still serve them.
func (c *Cache) failed(o *opening, err error) {
	c.stats.Failures++
	var refusal *pgconn.PgError
	if errors.As(err, &refusal) && refusal.Code == TooManyConnections {
		c.stats.Full++
		c.ceiling.refused(c, c.held())
		return
	}
	if o.tenant.held > 0 {
		o.tenant.retryAt = time.Now().Add(quiet)
		return
	}
	shared := &OpenError{Tenant: o.tenant.id, Err: err}
	for w := o.tenant.first(o.source); w != nil; w = o.tenant.first(o.source) {
		c.settle(w, nil, shared)
	}
}
