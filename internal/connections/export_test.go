package connections

import "context"

// Link is what a fake server gives out.
type Link = link

// Activity is what a fake server moves.
type Activity = activity

// Now tells that the server has sent something.
func (a *activity) Now() { a.now() }

// NewOn is New with another server.
func NewOn(opt Options, connect func(context.Context, Key) (Link, error)) *Cache {
	c := New(opt)
	c.connect = func(ctx context.Context, key Key, _ DSN) (link, error) { return connect(ctx, key) }
	return c
}

// Acquire is acquire.
func (c *Cache) Acquire(ctx context.Context, key Key) (*Conn, error) { return c.acquire(ctx, key, nil) }

// Release is release.
func (conn *Conn) Release() { conn.release() }

// Link is the connection below.
func (conn *Conn) Link() Link { return conn.link }
