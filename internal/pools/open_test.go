package pools_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"tenantry/internal/pools"
)

const crowd = 32

// gated returns a DSN that counts its calls and waits for the gate.
func gated(d pools.DSN) (_ pools.DSN, gate chan struct{}, calls *atomic.Int32) {
	gate, calls = make(chan struct{}), new(atomic.Int32)
	return func(ctx context.Context) (string, error) {
		calls.Add(1)
		select {
		case <-gate:
		case <-ctx.Done():
			return "", ctx.Err()
		}
		return d(ctx)
	}, gate, calls
}

func TestAcquire_OpensOnceForACrowd(t *testing.T) {
	t.Parallel()
	f := setup(t, pools.Options{Budget: 4, Share: 2})
	d, gate, calls := gated(dsn(0))
	var waiting []<-chan outcome
	for range crowd {
		waiting = append(waiting, f.acquire(t.Context(), f.key(0), d))
	}
	f.await(t, "all joined", func(s pools.Stats) bool { return s.Waiting == crowd })
	close(gate)

	var pool *pgxpool.Pool
	for _, w := range waiting {
		o := <-w
		require.NoError(t, o.err)
		defer o.lease.Release()
		if pool == nil {
			pool = o.lease.Pool()
		}
		require.Same(t, pool, o.lease.Pool())
	}
	require.EqualValues(t, 1, calls.Load())
	require.Equal(t, crowd, f.Stats().Leases)
	require.EqualValues(t, 1, f.Stats().Opens)
	require.EqualValues(t, 2, pool.Config().MaxConns)
}

func TestAcquire_SharesOneFailureAndCachesNothing(t *testing.T) {
	t.Parallel()
	// Room for one pool: what a failed open kept would refuse the next one.
	f := setup(t, pools.Options{Budget: 2, Share: 2})
	boom := errors.New("no such credential")
	d, gate, calls := gated(func(context.Context) (string, error) { return "", boom })
	var waiting []<-chan outcome
	for range crowd {
		waiting = append(waiting, f.acquire(t.Context(), f.key(0), d))
	}
	f.await(t, "all joined", func(s pools.Stats) bool { return s.Waiting == crowd })
	close(gate)

	var first error
	for _, w := range waiting {
		o := <-w
		require.Nil(t, o.lease)
		require.ErrorIs(t, o.err, boom)
		if first == nil {
			first = o.err
		}
		require.Same(t, first, o.err)
	}
	require.EqualValues(t, 1, calls.Load())
	require.NoError(t, query(t.Context(), f.lease(t, 0), 0))
	require.EqualValues(t, 1, f.Stats().Failures)
}

func TestAcquire_ServerRefusalFailsTheOpenAndReturnsTheReservation(t *testing.T) {
	t.Parallel()
	f := setup(t, pools.Options{Budget: 2, Share: 2})
	missing := func(context.Context) (string, error) { return dsnOf("pools_missing_" + token()), nil }

	_, err := f.Acquire(t.Context(), f.key(0), missing)
	var open *pools.OpenError
	require.ErrorAs(t, err, &open)
	require.Equal(t, f.ids[0], open.Tenant)
	var refusal *pgconn.PgError
	require.ErrorAs(t, err, &refusal)
	require.Equal(t, "3D000", refusal.Code)

	// Another tenant needs the whole budget.
	require.NoError(t, query(t.Context(), f.lease(t, 1), 1))
}

func TestAcquire_KeepsTheConnectionStringOutOfErrors(t *testing.T) {
	t.Parallel()
	f := setup(t, pools.Options{Budget: 4, Share: 2})
	for name, dsn := range map[string]string{
		"unparsable URL":    "postgres://u:hunter2secret@[::1/db?sslmode=nonsense",
		"unparsable port":   "postgres://u:hunter2secret@h:port/db",
		"unparsable pairs":  "host=h password=hunter2secret sslmode=nonsense",
		"unknown pool size": "postgres://u:hunter2secret@h/db?pool_max_conns=hunter2secret",
		"refused":           "postgres://u:hunter2secret@127.0.0.1:1/db",
	} {
		_, err := f.Acquire(t.Context(), f.key(0), func(context.Context) (string, error) { return dsn, nil })
		require.Error(t, err, name)
		require.NotContains(t, err.Error(), "hunter2secret", name)
	}
	_, err := f.Acquire(t.Context(), f.key(0), func(context.Context) (string, error) { panic("hunter2secret") })
	require.Error(t, err)
	require.NotContains(t, err.Error(), "hunter2secret")
}

func TestAcquire_PanicInDSNFailsTheOpenAlone(t *testing.T) {
	t.Parallel()
	f := setup(t, pools.Options{Budget: 2, Share: 2})
	_, err := f.Acquire(t.Context(), f.key(0), func(context.Context) (string, error) { panic("bug") })
	var open *pools.OpenError
	require.ErrorAs(t, err, &open)
	require.NoError(t, query(t.Context(), f.lease(t, 0), 0))
}

func TestAcquire_CancelledWaiterLeavesTheOpenToTheOthers(t *testing.T) {
	t.Parallel()
	f := setup(t, pools.Options{Budget: 2, Share: 2})
	d, gate, calls := gated(dsn(0))

	// The opener is the one who leaves: the open must not be bound to it.
	ctx, cancel := context.WithCancel(t.Context())
	opener := f.acquire(ctx, f.key(0), d)
	f.await(t, "opener in", func(s pools.Stats) bool { return s.Opens == 1 })
	other := f.acquire(t.Context(), f.key(0), d)
	f.await(t, "both in", func(s pools.Stats) bool { return s.Waiting == 2 })

	cancel()
	o := <-opener
	require.ErrorIs(t, o.err, context.Canceled)
	require.Nil(t, o.lease)
	close(gate)
	o = <-other
	require.NoError(t, o.err)
	require.NoError(t, query(t.Context(), o.lease, 0))
	require.EqualValues(t, 1, calls.Load())
	require.Equal(t, 1, f.Stats().Leases)
	o.lease.Release()
}

func TestAcquire_OpenEveryoneLeftStaysForTheNext(t *testing.T) {
	t.Parallel()
	f := setup(t, pools.Options{Budget: 2, Share: 2})
	d, gate, calls := gated(dsn(0))
	ctx, cancel := context.WithCancel(t.Context())
	opener := f.acquire(ctx, f.key(0), d)
	f.await(t, "opener in", func(s pools.Stats) bool { return s.Opens == 1 })
	cancel()
	require.ErrorIs(t, (<-opener).err, context.Canceled)
	close(gate)
	f.await(t, "parked", func(s pools.Stats) bool { return s.Idle == 1 })

	l, err := f.Acquire(t.Context(), f.key(0), d)
	require.NoError(t, err)
	l.Release()
	require.EqualValues(t, 1, calls.Load())
}

func TestAcquire_CancelledWhileQueuedOpensNothing(t *testing.T) {
	t.Parallel()
	f := setup(t, pools.Options{Budget: 2, Share: 2})
	held := f.lease(t, 0)
	d, gate, calls := gated(dsn(1))
	close(gate)
	ctx, cancel := context.WithCancel(t.Context())
	w := f.acquire(ctx, f.key(1), d)
	f.await(t, "queued", func(s pools.Stats) bool { return s.Waiting == 1 })
	cancel()
	require.ErrorIs(t, (<-w).err, context.Canceled)

	held.Release()
	require.NoError(t, query(t.Context(), f.lease(t, 2), 2))
	require.Zero(t, calls.Load())
}

func TestAcquire_OverrulesSizesAndKeepsHooksOfConfigure(t *testing.T) {
	t.Parallel()
	var closed atomic.Int32
	defer func() { require.EqualValues(t, 1, closed.Load()) }()
	m := pools.New(pools.Options{Budget: 3, Share: 3, Wait: forever, OpenTimeout: forever, Configure: func(c *pgxpool.Config) {
		c.MaxConns, c.MinConns, c.MinIdleConns = 50, 20, 20
		c.BeforeClose = func(*pgx.Conn) { closed.Add(1) }
	}})
	defer func() { require.NoError(t, m.Close(bounded(t))) }()
	l, err := m.Acquire(t.Context(), pools.Key{Tenant: uuid.New()}, func(context.Context) (string, error) {
		return dsnOf(databases[0]) + "&pool_max_conns=60&pool_min_conns=30", nil
	})
	require.NoError(t, err)
	defer l.Release()
	require.EqualValues(t, 3, l.Pool().Config().MaxConns)
	require.Zero(t, l.Pool().Config().MinConns)
	require.Zero(t, l.Pool().Config().MinIdleConns)
}

func TestAcquire_RefusesTheZeroTenant(t *testing.T) {
	t.Parallel()
	f := setup(t, pools.Options{Budget: 2, Share: 2})
	_, err := f.Acquire(t.Context(), pools.Key{Endpoint: "here"}, dsn(0))
	require.Error(t, err)
	require.Zero(t, f.Stats().Opens)
}

func TestNew_RefusesABudgetThatServesNobody(t *testing.T) {
	t.Parallel()
	for _, o := range []pools.Options{{}, {Budget: 4}, {Share: 4}, {Budget: 3, Share: 4}, {Budget: 3, Share: -1}} {
		require.Panics(t, func() { pools.New(o) })
	}
}
