package connections

import (
	"container/list"
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
)

// tenant is an organization with connections or callers. Its fields belong to
// Cache.mu, except heard.
type tenant struct {
	id      uuid.UUID
	sources map[Key]*source
	waiters list.List // *waiter, first come first
	// held is the tenant's connections: busy, idle and opening, not closing.
	held, opening int
	idle          int
	// claims is how many connections are being closed to make room for it.
	claims int
	place  *list.Element // in Cache.waiting
	// retryAt is when another connection may be tried after one has failed while
	// the tenant has others.
	retryAt time.Time
	heard   activity
}

// source is where a tenant's connections come from: one key of it.
type source struct {
	key Key
	// retired connections are not kept for the next caller.
	retired bool
	idle    []*Conn // the most recently used last
	opening int
}

// waiter is a caller without a connection yet.
type waiter struct {
	tenant *tenant
	source *source
	dsn    DSN
	ctx    context.Context // the caller's, for its values
	since  time.Time
	place  *list.Element // in tenant.waiters

	ready chan struct{} // closed once conn or err is set
	conn  *Conn
	err   error
}

// activity is a time that any goroutine may move forward.
type activity struct{ nanos atomic.Int64 }

func (a *activity) now() { a.nanos.Store(time.Now().UnixNano()) }

func (a *activity) at() time.Time { return time.Unix(0, a.nanos.Load()) }

// The methods below are called with Cache.mu held.

// source returns where connections of key come from. It retires what an older
// credential has opened; connections of a credential older than a known one are
// never kept.
func (c *Cache) source(key Key) (*tenant, *source) {
	t := c.tenants[key.Tenant]
	if t == nil {
		t = &tenant{id: key.Tenant, sources: map[Key]*source{}}
		t.heard.now()
		c.tenants[key.Tenant] = t
	}
	if s := t.sources[key]; s != nil {
		return t, s
	}
	s := &source{key: key}
	for other, o := range t.sources {
		switch {
		case other.Endpoint != key.Endpoint:
		case other.Revision > key.Revision:
			s.retired = true
		default:
			c.retire(t, o)
		}
	}
	if !s.retired {
		t.sources[key] = s
	}
	c.tenants[key.Tenant] = t // it may have lost its last connection above
	return t, s
}

// retire takes s out of reach of new callers. Callers that wait for it go on
// waiting: the server decides whether it still lets them in.
func (c *Cache) retire(t *tenant, s *source) {
	s.retired = true
	delete(t.sources, s.key)
	for len(s.idle) > 0 {
		c.discard(s.idle[len(s.idle)-1])
	}
}

// drop forgets a tenant that has nothing left.
func (c *Cache) drop(t *tenant) {
	if t.held == 0 && t.waiters.Len() == 0 && c.tenants[t.id] == t {
		delete(c.tenants, t.id)
	}
}

// enqueue lets a caller wait behind the others of its tenant.
func (c *Cache) enqueue(w *waiter) {
	w.place = w.tenant.waiters.PushBack(w)
	c.callers++
	if w.tenant.place == nil {
		w.tenant.place = c.waiting.PushBack(w.tenant)
	}
}

// settle ends the waiting of w with a connection or an error.
func (c *Cache) settle(w *waiter, conn *Conn, err error) {
	t := w.tenant
	t.waiters.Remove(w.place)
	c.callers--
	if t.waiters.Len() == 0 {
		c.waiting.Remove(t.place)
		t.place = nil
	}
	if conn != nil {
		c.busy[conn] = struct{}{}
	}
	w.conn, w.err = conn, err
	close(w.ready)
}

// first is the caller that has waited longest for a connection of s.
func (t *tenant) first(s *source) *waiter {
	for el := t.waiters.Front(); el != nil; el = el.Next() {
		if w := el.Value.(*waiter); w.source == s {
			return w
		}
	}
	return nil
}

// uncovered is the first caller for whom no connection is being opened.
func (t *tenant) uncovered() *waiter {
	covered := map[*source]int{}
	for el := t.waiters.Front(); el != nil; el = el.Next() {
		w := el.Value.(*waiter)
		if covered[w.source]++; covered[w.source] > w.source.opening {
			return w
		}
	}
	return nil
}

// has is the connections that the tenant holds or will have room for.
func (t *tenant) has() int { return t.held + t.claims }

// since is when the longest wait of the tenant began.
func (t *tenant) since() time.Time { return t.waiters.Front().Value.(*waiter).since }

// park keeps a connection for the next caller.
func (c *Cache) park(conn *Conn) {
	conn.idleSince = time.Now()
	conn.place = c.idle.PushBack(conn)
	conn.source.idle = append(conn.source.idle, conn)
	conn.tenant.idle++
}

// unpark takes an idle connection out of the lists.
func (c *Cache) unpark(conn *Conn) {
	c.idle.Remove(conn.place)
	s := conn.source
	i := slices.Index(s.idle, conn)
	s.idle = slices.Delete(s.idle, i, i+1)
	conn.tenant.idle--
	conn.place = nil
}
