package pools

import (
	"container/list"
	"context"
	"database/sql"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// state of an entry. It only moves forward; opening, open and closing hold a
// reservation.
type state int

const (
	queued  state = iota // waits for the budget
	opening              // reserved, open under way
	open                 // pool usable
	closing              // pool's Close under way, reservation not yet back
	gone
)

// entry is one pool from the first request for it to the end of its Close. Its
// fields belong to Manager.mu, except those that are written before ready is
// closed and read after it: err, pool, db.
type entry struct {
	key    Key
	dsn    DSN
	parent context.Context // the first caller's values, without its end

	state state
	// refs counts leases and the callers in Acquire that wait for this entry.
	refs int
	// retired, once set, is what new callers get; the entry is out of the map.
	retired error
	// claimed: a pool is already being closed to make room for this queued
	// entry. Kept per entry, not as a sum, so that a close that hangs costs the
	// one caller it was meant for and not the next.
	claimed bool
	// place in queue (queued) or idle (open without refs).
	place     *list.Element
	idleSince time.Time
	cancel    context.CancelFunc // ends an open under way

	ready chan struct{}
	err   error
	pool  *pgxpool.Pool
	db    *sql.DB
}

func newEntry(ctx context.Context, key Key, dsn DSN) *entry {
	return &entry{key: key, dsn: dsn, parent: context.WithoutCancel(ctx), ready: make(chan struct{})}
}

// settle answers everyone who waits, once; later outcomes are nobody's.
func (e *entry) settle(err error) {
	select {
	case <-e.ready:
	default:
		e.err = err
		close(e.ready)
	}
}

// The methods below are called with m.mu held.

func (m *Manager) enqueue(e *entry) {
	keys := m.tenants[e.key.Tenant]
	if keys == nil {
		keys = map[Key]*entry{}
		m.tenants[e.key.Tenant] = keys
	}
	keys[e.key] = e
	e.place = m.queue.PushBack(e)
}

func (m *Manager) unmap(e *entry) {
	keys := m.tenants[e.key.Tenant]
	if keys[e.key] != e {
		return // retired before, and perhaps opened again since
	}
	delete(keys, e.key)
	if len(keys) == 0 {
		delete(m.tenants, e.key.Tenant)
	}
}

// unref gives one reference back; the last one decides what becomes of the entry.
func (m *Manager) unref(e *entry) {
	e.refs--
	if e.refs > 0 {
		return
	}
	switch {
	case e.state == queued:
		// Nobody wants it any more: open nothing.
		m.unqueue(e)
		m.unmap(e)
	case e.state == open && e.retired != nil:
		m.shut(e)
	case e.state == open:
		m.park(e)
		m.dispatch()
	}
}

func (m *Manager) unqueue(e *entry) {
	m.queue.Remove(e.place)
	e.state = gone
}

func (m *Manager) park(e *entry) {
	e.idleSince = m.opt.Now()
	e.place = m.idle.PushBack(e)
}

// dispatch starts the queued entries that the budget has room for, strictly in
// order, and evicts one idle pool for each that still waits.
func (m *Manager) dispatch() {
	for m.queue.Len() > 0 && (len(m.holding)+1)*int(m.opt.Share) <= m.opt.Budget {
		m.start(m.queue.Front().Value.(*entry))
	}
	for el := m.queue.Front(); el != nil && m.idle.Len() > 0; el = el.Next() {
		if e := el.Value.(*entry); !e.claimed {
			e.claimed = true
			m.evict(m.idle.Front().Value.(*entry))
		}
	}
}

// start reserves before the first byte goes to the server.
func (m *Manager) start(e *entry) {
	m.queue.Remove(e.place)
	m.holding[e] = struct{}{}
	e.state = opening
	m.stats.Opens++
	ctx, cancel := context.WithTimeout(e.parent, m.opt.OpenTimeout)
	e.cancel = cancel
	go m.open(ctx, e)
}

// sweep closes the pools nobody has leased for IdleTimeout. The list is in the
// order of age, so a sweep without work looks at one entry.
func (m *Manager) sweep() {
	if m.opt.IdleTimeout <= 0 {
		return
	}
	for m.idle.Len() > 0 {
		e := m.idle.Front().Value.(*entry)
		if m.opt.Now().Sub(e.idleSince) < m.opt.IdleTimeout {
			return
		}
		m.evict(e)
	}
}

func (m *Manager) evict(e *entry) {
	m.stats.Evictions++
	m.idle.Remove(e.place)
	m.unmap(e)
	m.shut(e)
}

// retire takes e out of reach and reports whether that began to close its pool.
func (m *Manager) retire(e *entry, cause error) bool {
	e.retired = cause
	m.unmap(e)
	switch e.state {
	case queued:
		m.unqueue(e)
		e.settle(cause)
	case opening:
		e.cancel()
		e.settle(cause)
	case open:
		if e.refs == 0 {
			m.idle.Remove(e.place)
			m.shut(e)
			return true
		}
	case closing, gone:
	}
	return false
}

// shut closes the pool where nobody waits for it: pgxpool's Close blocks until
// every connection is back and closed. The entry is out of map and lists.
func (m *Manager) shut(e *entry) {
	e.state = closing
	go func() {
		// The sql.DB has a goroutine of its own and does not own the pool.
		_ = e.db.Close()
		e.pool.Close()
		m.giveBack(e)
	}()
}

func (m *Manager) giveBack(e *entry) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e.state = gone
	delete(m.holding, e)
	m.dispatch()
	m.noteDrained()
}

func (m *Manager) noteDrained() {
	if !m.closed || len(m.holding) > 0 {
		return
	}
	select {
	case <-m.drained:
	default:
		close(m.drained)
	}
}

func (m *Manager) shutdown() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	for _, keys := range m.tenants {
		for _, e := range keys {
			m.retire(e, ErrClosed)
		}
	}
	m.noteDrained()
}

// force closes what is still leased and reports how many leases that hits.
func (m *Manager) force() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	for e := range m.holding {
		if e.state == open {
			m.shut(e)
		}
	}
	return m.stats.Leases
}
