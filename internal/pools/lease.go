package pools

import (
	"database/sql"
	"sync/atomic"

	"github.com/jackc/pgx/v5/pgxpool"
)

// Lease is the right to use a tenant's pool until Release. It is safe for
// concurrent use.
type Lease struct {
	m        *Manager
	e        *entry
	released atomic.Bool
}

// Pool is the leased pool. Its holder does not close it, and returns what it
// took from it before Release. It panics after Release: the pool may be closed.
func (l *Lease) Pool() *pgxpool.Pool {
	l.mustHold()
	return l.e.pool
}

// SQL is the same pool as a database/sql handle, one per pool, without idle
// connections of its own. Its holder does not close it. It panics after Release.
func (l *Lease) SQL() *sql.DB {
	l.mustHold()
	return l.e.db
}

func (l *Lease) mustHold() {
	if l.released.Load() {
		panic("pools: lease used after Release")
	}
}

// Release gives the lease back. Calling it again does nothing.
func (l *Lease) Release() {
	if l.released.CompareAndSwap(false, true) {
		l.m.release(l.e)
	}
}
