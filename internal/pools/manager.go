package pools

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	defaultWait        = 250 * time.Millisecond
	defaultOpenTimeout = 10 * time.Second
)

// DSN yields a connection string. It may run after the Acquire that passed it
// has returned, so it uses nothing its caller releases; its context carries the
// values of the first caller and ends with Options.OpenTimeout.
type DSN = func(context.Context) (string, error)

// Key names a pool. A higher Revision of the same tenant and endpoint retires
// the lower ones.
type Key struct {
	Tenant   uuid.UUID
	Endpoint string
	Revision int64
}

// Options of a [Manager]. Budget and Share are required.
type Options struct {
	// Budget is how many server connections the manager may hold in all.
	Budget int
	// Share is how many of them one pool may hold (its MaxConns).
	Share int32
	// OpenTimeout bounds an open whoever waits for it, and each later connect;
	// 0 means 10 s.
	OpenTimeout time.Duration
	// IdleTimeout is the age without a lease after which a pool is closed in
	// passing; 0 means only the budget evicts.
	IdleTimeout time.Duration
	// Wait is how long Acquire waits for the budget; 0 means 250 ms.
	Wait time.Duration
	// Configure adds tracer, runtime parameters and hooks. Sizes it sets are
	// overruled: the budget depends on them.
	Configure func(*pgxpool.Config)
	// Now is the clock that ages idle pools; nil means time.Now.
	Now func() time.Time
}

// Stats is a snapshot: gauges first, then counters since New.
type Stats struct {
	Pools    int // open, leased or not
	Idle     int // of these, without a lease
	Reserved int // connections of the budget taken: opening, open and closing pools
	Leases   int
	Waiting  int // callers inside Acquire without a pool yet

	Opens     uint64 // opens started
	Failures  uint64 // opens that failed
	Evictions uint64 // pools closed for the budget or for their age
	Refusals  uint64 // *BudgetError
}

// Manager leases pools. Its methods are safe for concurrent use.
type Manager struct {
	opt Options

	mu      sync.Mutex
	tenants map[uuid.UUID]map[Key]*entry // what Acquire may join
	queue   list.List                    // queued entries, first come first
	idle    list.List                    // open entries without a holder, least recently used first
	holding map[*entry]struct{}          // entries that hold a reservation
	closed  bool
	drained chan struct{} // closed once closed && holding is empty
	stats   Stats
}

// New panics unless 1 ≤ Share ≤ Budget: with anything else no tenant could ever
// be served, and the process should say so when it starts.
func New(opt Options) *Manager {
	if opt.Share < 1 || int(opt.Share) > opt.Budget {
		panic(fmt.Sprintf("pools: share %d must be between 1 and the budget %d", opt.Share, opt.Budget))
	}
	if opt.OpenTimeout <= 0 {
		opt.OpenTimeout = defaultOpenTimeout
	}
	if opt.Wait <= 0 {
		opt.Wait = defaultWait
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	return &Manager{
		opt:     opt,
		tenants: map[uuid.UUID]map[Key]*entry{},
		holding: map[*entry]struct{}{},
		drained: make(chan struct{}),
	}
}

// Acquire leases the pool of key, opening it if need be; dsn is called at most
// once per open. It answers [*BudgetError], [*OpenError], [ErrRetired],
// [ErrClosed], or ctx's error when ctx ends first: then the open goes on for the
// others.
func (m *Manager) Acquire(ctx context.Context, key Key, dsn DSN) (*Lease, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("pools: acquire: %w", err)
	}
	if key.Tenant == uuid.Nil {
		return nil, errors.New("pools: zero tenant")
	}
	e, err := m.join(ctx, key, dsn)
	if err != nil {
		return nil, err
	}
	if err := m.await(ctx, e); err != nil {
		return nil, err
	}
	return m.grant(e)
}

// join takes a reference on the entry of key, which it creates if there is none.
func (m *Manager) join(ctx context.Context, key Key, dsn DSN) (*entry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, ErrClosed
	}
	e := m.tenants[key.Tenant][key]
	if e == nil {
		freed, err := m.supersede(key)
		if err != nil {
			return nil, err
		}
		e = newEntry(ctx, key, dsn)
		// A pool that supersede is closing is this entry's room: evict no other.
		e.claimed = freed
		m.enqueue(e)
	}
	if e.state == open && e.refs == 0 {
		m.idle.Remove(e.place)
	}
	e.refs++
	m.stats.Waiting++
	m.sweep()
	m.dispatch()
	return e, nil
}

// supersede retires the older revisions of key and refuses key where a newer
// one is known. It reports whether a pool is being closed.
func (m *Manager) supersede(key Key) (freed bool, err error) {
	for other, e := range m.tenants[key.Tenant] {
		if other.Endpoint == key.Endpoint && other.Revision > key.Revision {
			return false, ErrRetired
		}
		if other.Endpoint == key.Endpoint && other.Revision < key.Revision {
			freed = m.retire(e, ErrRetired) || freed
		}
	}
	return freed, nil
}

// await returns nil with the caller's reference kept, or an error with it given
// back.
func (m *Manager) await(ctx context.Context, e *entry) error {
	timer := time.NewTimer(m.opt.Wait)
	defer timer.Stop()
	for {
		select {
		case <-e.ready:
			if e.err != nil {
				m.leave(e)
			}
			return e.err
		case <-ctx.Done():
			m.leave(e)
			return fmt.Errorf("pools: acquire: %w", ctx.Err())
		case <-timer.C:
			// Only the wait for the budget ends here: an open under way has its
			// own bound.
			if m.refuse(e) {
				return &BudgetError{RetryAfter: m.opt.Wait}
			}
		}
	}
}

func (m *Manager) leave(e *entry) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stats.Waiting--
	m.unref(e)
}

func (m *Manager) refuse(e *entry) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e.state != queued {
		return false
	}
	m.stats.Waiting--
	m.stats.Refusals++
	m.unref(e)
	return true
}

// grant turns a waiter's reference into a lease. The key may have been retired
// between the open and this waiter's turn; a lease handed out now would be one
// that Forget promised not to give.
func (m *Manager) grant(e *entry) (*Lease, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stats.Waiting--
	if e.retired != nil {
		m.unref(e)
		return nil, e.retired
	}
	m.stats.Leases++
	return &Lease{m: m, e: e}, nil
}

func (m *Manager) release(e *entry) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stats.Leases--
	m.unref(e)
}

// Forget retires every key of tenant: callers waiting for one get [ErrRetired],
// no new lease is given on it, and its pool closes with its last lease. It does
// not block. A later Acquire opens anew, so it is called after the change that
// makes it necessary (suspension, deletion, new credentials) is committed.
func (m *Manager) Forget(tenant uuid.UUID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range m.tenants[tenant] {
		m.retire(e, ErrRetired)
	}
	// A queued entry that went may have been the one others waited behind.
	m.dispatch()
}

// Close refuses new leases at once, waits until the leases are back and every
// pool is closed, and returns nil. If ctx ends first it closes the leased pools
// under their holders, whose next query fails, and returns ctx's error; those
// pools finish in the background when their connections are back.
func (m *Manager) Close(ctx context.Context) error {
	m.shutdown()
	select {
	case <-m.drained:
		return nil
	default:
	}
	select {
	case <-m.drained:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("pools: close: %d leases held: %w", m.force(), ctx.Err())
	}
}

// Stats returns a snapshot.
func (m *Manager) Stats() Stats {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.stats
	s.Idle = m.idle.Len()
	s.Reserved = len(m.holding) * int(m.opt.Share)
	for e := range m.holding {
		if e.state == open {
			s.Pools++
		}
	}
	return s
}
