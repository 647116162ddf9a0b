package connections

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// Conn is a connection of the cache, in use by one holder at a time.
type Conn struct {
	link   link
	cache  *Cache
	tenant *tenant
	source *source
	born   time.Time

	// While idle.
	place     *list.Element
	idleSince time.Time
	// claimant is the tenant for which it was closed.
	claimant *tenant
}

// acquire returns a connection for key: an idle one, else the first that comes
// back or is opened. It returns [*BudgetError], [*OpenError], [ErrClosed], or
// ctx's error when ctx ends first.
func (c *Cache) acquire(ctx context.Context, key Key, dsn DSN) (*Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("connections: acquire: %w", err)
	}
	if key.Tenant == uuid.Nil {
		return nil, errors.New("connections: zero tenant")
	}
	for {
		conn, w, err := c.take(ctx, key, dsn)
		if err != nil {
			return nil, err
		}
		if conn == nil {
			return c.wait(ctx, w)
		}
		// The server may have hung up meanwhile: an idle connection is looked at
		// without asking the server.
		if conn.link.Alive(ctx) {
			return conn, nil
		}
		c.bury(conn)
	}
}

// take returns an idle connection or, when there is none, a waiter.
func (c *Cache) take(ctx context.Context, key Key, dsn DSN) (*Conn, *waiter, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, nil, ErrClosed
	}
	c.sweep()
	t, s := c.source(key)
	if n := len(s.idle); n > 0 {
		conn := s.idle[n-1]
		c.unpark(conn)
		c.busy[conn] = struct{}{}
		return conn, nil, nil
	}
	if t.waiters.Len() >= queuePerConnection*c.share() {
		c.stats.Refusals++
		return nil, nil, &BudgetError{RetryAfter: retryAfter}
	}
	w := &waiter{tenant: t, source: s, dsn: dsn, ctx: ctx, since: time.Now(), ready: make(chan struct{})}
	c.enqueue(w)
	c.schedule()
	return nil, w, nil
}

// wait returns what the waiter gets, or gives up for it.
func (c *Cache) wait(ctx context.Context, w *waiter) (*Conn, error) {
	timer := time.NewTimer(quiet)
	defer timer.Stop()
	for {
		select {
		case <-w.ready:
			return w.conn, w.err
		case <-ctx.Done():
			c.leave(w, fmt.Errorf("connections: acquire: %w", ctx.Err()))
			if w.conn != nil { // it came at the same moment
				w.conn.release()
			}
			return nil, fmt.Errorf("connections: acquire: %w", ctx.Err())
		case <-timer.C:
			timer.Reset(c.review(w))
		}
	}
}

// leave ends a wait that nothing has ended yet.
func (c *Cache) leave(w *waiter, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-w.ready:
		return
	default:
	}
	c.settle(w, nil, err)
	c.drop(w.tenant)
}

// review looks after a caller that has waited for a while: it refuses it when
// nothing moves any more and returns when to look again.
func (c *Cache) review(w *waiter) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-w.ready:
		return c.opt.Stall
	default:
	}
	moved := c.heard.at()
	if w.tenant.held >= c.share() {
		moved = w.tenant.heard.at() // only its own connections can serve it
	}
	if w.since.After(moved) {
		moved = w.since
	}
	left := c.opt.Stall - time.Since(moved)
	if left <= 0 {
		c.stats.Refusals++
		c.settle(w, nil, &BudgetError{RetryAfter: retryAfter})
		c.drop(w.tenant)
		return c.opt.Stall
	}
	if time.Since(w.since) < 2*quiet || !w.tenant.retryAt.IsZero() {
		c.schedule() // it may take more now than when it came
	}
	return min(left, quiet)
}

// release gives a connection back.
func (conn *Conn) release() {
	c, usable := conn.cache, conn.link.Usable()
	c.mu.Lock()
	defer c.mu.Unlock()
	old := time.Since(conn.born) > c.opt.Lifetime
	if !usable || old || c.closed || conn.source.retired && conn.tenant.first(conn.source) == nil || c.live() > c.ceiling.limit(c.budget) {
		c.discard(conn)
		c.schedule()
		return
	}
	c.hand(conn)
}

// bury closes a connection in use that has turned out to be dead.
func (c *Cache) bury(conn *Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.discard(conn)
	c.schedule()
}

// hand gives a busy connection to the caller that has waited longest for it, unless
// another tenant needs its place more, or keeps it.
func (c *Cache) hand(conn *Conn) {
	w := conn.tenant.first(conn.source)
	switch {
	case w == nil:
		delete(c.busy, conn)
		c.park(conn)
		c.schedule()
	case c.yields(conn):
		c.schedule()
	default:
		c.settle(w, conn, nil)
	}
}
