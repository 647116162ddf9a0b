package connections

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"container/list"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

const (
	defaultOpenTimeout = 5 * time.Second
	defaultStall       = 3 * time.Second
	defaultIdleTimeout = 5 * time.Minute
	defaultLifetime    = time.Hour
	// queuePerConnection bounds how many callers of one tenant wait, by its share.
	queuePerConnection = 64
	// quiet is how long a connection has been idle when it may be taken from its
	// tenant for one that has connections of its own, and how long such a tenant's
	// callers wait for those before they take any idle connection. It is some
	// times the cost of a connect on a busy machine: below that, tenants in use
	// would take each other's connections and spend their time on connecting.
	quiet = time.Second
)

// DSN returns a connection string. It may run after the call that passed it has
// returned.
type DSN = func(context.Context) (string, error)

// Key names a database and the credential for it. A higher Revision of the same
// tenant and endpoint retires the connections of the lower ones.
type Key struct {
	Tenant   uuid.UUID
	Endpoint string
	Revision int64
}

// Options of a [Cache]. Budget and Share are required.
type Options struct {
	// Budget is how many server connections the cache may hold in all, those
	// that are opening or hanging up included.
	Budget int
	// Share is how many of them one tenant may hold; more than Budget means Budget.
	Share int
	// Opens is how many connections are opened at a time; 0 means twice the number
	// of cores: while one login waits for the server, another is computed.
	Opens int
	// OpenTimeout bounds one open; 0 means 5 s.
	OpenTimeout time.Duration
	// Stall is how long callers wait while the server sends nothing; 0 means 3 s.
	Stall time.Duration
	// IdleTimeout is the age without use after which a connection is closed in
	// passing; 0 means 5 min, less than 0 never.
	IdleTimeout time.Duration
	// Lifetime is the age after which a connection is closed when it comes back; 0
	// means an hour. A backend's caches only grow.
	Lifetime time.Duration
	// Configure adds a tracer and runtime parameters.
	Configure func(*pgx.ConnConfig)
	// Log is told when the server refuses connections within the budget and when
	// it takes them again; nil for nobody.
	Log *slog.Logger
}

func (o Options) withDefaults() Options {
	set := func(d *time.Duration, def time.Duration) {
		if *d == 0 {
			*d = def
		}
	}
	set(&o.OpenTimeout, defaultOpenTimeout)
	set(&o.Stall, defaultStall)
	set(&o.IdleTimeout, defaultIdleTimeout)
	set(&o.Lifetime, defaultLifetime)
	if o.Opens <= 0 {
		o.Opens = 2 * runtime.GOMAXPROCS(0)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// Stats is a snapshot: gauges first, then counters since New.
type Stats struct {
	Budget  int // what may be held
	Busy    int // connections in use
	Idle    int // connections that wait for use
	Opening int
	Closing int // connections whose server has not hung up yet
	Tenants int // tenants with a connection or a caller that waits
	Waiting int // callers without a connection yet
	// Allowed is what the server has been seen to allow while it refuses more;
	// Budget when it refuses nothing.
	Allowed int

	Opens     uint64 // opens started
	Failures  uint64 // opens that failed, ServerFull included
	Full      uint64 // opens that the server refused because it had no place (53300)
	Evictions uint64 // idle connections closed to make room or for their age
	Refusals  uint64 // *BudgetError
}

// Held is how many server connections count against the budget.
func (s Stats) Held() int { return s.Busy + s.Idle + s.Opening + s.Closing }

// Cache lends connections. Its methods are safe for concurrent use.
type Cache struct {
	opt Options
	// connect opens a connection; tests put another server in its place.
	connect func(context.Context, Key, DSN) (link, error)
	// heard is when a server last sent something, in nanoseconds since 1970.
	heard activity

	mu       sync.Mutex
	budget   int
	ceiling  ceiling
	tenants  map[uuid.UUID]*tenant
	waiting  list.List // *tenant with waiters, in the order they came
	idle     list.List // *Conn, least recently used first
	busy     map[*Conn]struct{}
	opening  map[*opening]struct{}
	closing  int
	evicting int // those of closing that make room for somebody
	callers  int
	closed   bool
	drained  chan struct{} // closed once closed and nothing is held
	stats    Stats         // the counters
}

// New panics unless Budget and Share are positive: nobody could be served.
func New(opt Options) *Cache {
	if opt.Share < 1 || opt.Budget < 1 {
		panic(fmt.Sprintf("connections: share %d and budget %d must be positive", opt.Share, opt.Budget))
	}
	c := &Cache{
		opt:     opt.withDefaults(),
		budget:  opt.Budget,
		tenants: map[uuid.UUID]*tenant{},
		busy:    map[*Conn]struct{}{},
		opening: map[*opening]struct{}{},
		drained: make(chan struct{}),
	}
	c.connect = c.connectServer
	c.heard.now()
	return c
}

// SetBudget changes the budget. With a smaller one, idle connections close at
// once and others when they come back.
func (c *Cache) SetBudget(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.budget = max(1, n)
	for c.live() > c.budget && c.idle.Len() > 0 {
		c.evict(c.idle.Front().Value.(*Conn))
	}
	c.schedule()
}

// Yield gives one connection up, an idle one now or the next that comes back: the
// server has no place for a connection that this process needs more, to its own
// database. The cache then holds fewer for a while, as after a refusal of its own.
func (c *Cache) Yield() {
	c.mu.Lock()
	defer c.mu.Unlock()
	live := c.live()
	if live == 0 {
		return
	}
	c.ceiling.refused(c, live-1)
	if c.idle.Len() > 0 {
		c.evict(c.idle.Front().Value.(*Conn))
	}
}

// Forget closes the connections of tenant: the idle ones at once, those in use
// when they come back. It does not block. A later call opens anew, so Forget is
// called after the change that makes it necessary (suspension, deletion, new
// credentials) is committed; the server's own refusal ends the tenant's access.
func (c *Cache) Forget(id uuid.UUID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t := c.tenants[id]; t != nil {
		for _, s := range t.sources {
			c.retire(t, s)
		}
	}
	c.schedule()
}

// Close refuses callers at once, those that wait included, waits until the
// connections in use are back and all are closed, and returns nil. If ctx ends
// first it cuts the connections under their holders, whose statements fail, and
// returns ctx's error.
func (c *Cache) Close(ctx context.Context) error {
	c.shutdown()
	select {
	case <-c.drained:
		return nil
	default:
	}
	select {
	case <-c.drained:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("connections: close: %d in use: %w", c.cut(), ctx.Err())
	}
}

func (c *Cache) shutdown() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	c.ceiling.stop()
	for _, t := range c.tenants {
		for t.waiters.Len() > 0 {
			c.settle(t.waiters.Front().Value.(*waiter), nil, ErrClosed)
		}
		c.drop(t)
	}
	for o := range c.opening {
		o.cancel()
	}
	for c.idle.Len() > 0 {
		c.discard(c.idle.Front().Value.(*Conn))
	}
	c.noteDrained()
}

// cut ends the connections in use under their holders and returns how many.
func (c *Cache) cut() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	for conn := range c.busy {
		conn.link.Cut()
	}
	return len(c.busy)
}

func (c *Cache) noteDrained() {
	if !c.closed || c.held() > 0 {
		return
	}
	select {
	case <-c.drained:
	default:
		close(c.drained)
	}
}

// live is what will still be held when everything that hangs up has done so.
func (c *Cache) live() int { return len(c.busy) + c.idle.Len() + len(c.opening) }

// held is what the server may count.
func (c *Cache) held() int { return c.live() + c.closing }

// share is how many connections one tenant may have.
func (c *Cache) share() int { return min(c.opt.Share, c.budget) }

// Stats returns a snapshot.
func (c *Cache) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.stats
	s.Budget, s.Allowed = c.budget, min(c.budget, c.ceiling.limit(c.budget))
	s.Busy, s.Idle, s.Opening, s.Closing = len(c.busy), c.idle.Len(), len(c.opening), c.closing
	s.Tenants, s.Waiting = len(c.tenants), c.callers
	return s
}
