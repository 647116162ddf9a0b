package pools_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"tenantry/internal/clock/clocktest"
	"tenantry/internal/pools"
)

func TestLease_SurvivesForget(t *testing.T) {
	t.Parallel()
	f := setup(t, pools.Options{Budget: 4, Share: 2})
	conn := superuser(t)
	old := f.lease(t, 0)
	oldPool := old.Pool()
	f.Forget(f.ids[0])

	// The old lease works on; a new one is on a pool of its own.
	require.NoError(t, query(t.Context(), old, 0))
	fresh := f.lease(t, 0)
	require.NotSame(t, oldPool, fresh.Pool())
	require.Equal(t, 4, f.Stats().Reserved)

	old.Release()
	f.await(t, "closed with its last lease", func(s pools.Stats) bool { return s.Reserved == 2 })
	require.Error(t, oldPool.Ping(t.Context()))
	require.NoError(t, query(t.Context(), fresh, 0))
	n, err := connections(t.Context(), conn, f.app)
	require.NoError(t, err)
	require.LessOrEqual(t, n, 2, "the server has hung up before the reservation is back")
}

func TestForget_ClosesWhatIsIdleAndSparesOtherTenants(t *testing.T) {
	t.Parallel()
	f := setup(t, pools.Options{Budget: 4, Share: 1})
	second := f.key(0)
	second.Endpoint = "there"
	for _, k := range []pools.Key{f.key(0), second} {
		l, err := f.Acquire(t.Context(), k, dsn(0))
		require.NoError(t, err)
		l.Release()
	}
	f.lease(t, 1).Release()
	f.Forget(f.ids[0])
	f.await(t, "both endpoints closed", func(s pools.Stats) bool { return s.Reserved == 1 })
	f.lease(t, 1)
	require.EqualValues(t, 3, f.Stats().Opens)
}

func TestForget_EndsAnOpenUnderWay(t *testing.T) {
	t.Parallel()
	f := setup(t, pools.Options{Budget: 2, Share: 2})
	d, _, calls := gated(dsn(0)) // the gate stays shut: only the cancelled context ends it
	w := f.acquire(t.Context(), f.key(0), d)
	f.await(t, "open under way", func(s pools.Stats) bool { return s.Waiting == 1 && calls.Load() == 1 })
	f.Forget(f.ids[0])
	require.ErrorIs(t, (<-w).err, pools.ErrRetired)
	require.NoError(t, query(t.Context(), f.lease(t, 0), 0))
}

func TestForget_NoWaiterOfAFinishedOpenGetsALeaseAfterIt(t *testing.T) {
	t.Parallel()
	f := setup(t, pools.Options{Budget: 2, Share: 2})
	d, gate, _ := gated(dsn(0))
	leases := make(chan *pools.Lease, crowd)
	granted := make(chan int, crowd)
	var callers sync.WaitGroup
	for range crowd {
		callers.Go(func() {
			l, err := f.Acquire(t.Context(), f.key(0), d)
			if err != nil {
				return
			}
			f.Forget(f.ids[0])
			granted <- f.Stats().Leases // nobody releases: after Forget this is final
			leases <- l
		})
	}
	f.await(t, "all joined", func(s pools.Stats) bool { return s.Waiting == crowd })
	close(gate)
	callers.Wait()
	close(leases)
	require.Len(t, leases, <-granted)
	for l := range leases {
		l.Release()
	}
}

// onRelease is a tracer that runs when a connection goes back to its pool: for
// an open, between its ping and its end.
type onRelease func()

func (onRelease) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	return ctx
}
func (onRelease) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}
func (r onRelease) TraceRelease(*pgxpool.Pool, pgxpool.TraceReleaseData)          { r() }

func TestForget_ClosesAnOpenThatSucceedsAfterEveryoneLeft(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	f := &fixture{}
	f.ids[0] = uuid.New()
	f.Manager = pools.New(pools.Options{Budget: 2, Share: 2, Wait: forever, OpenTimeout: forever, Configure: func(c *pgxpool.Config) {
		c.ConnConfig.Tracer = onRelease(func() {
			cancel()
			f.await(t, "waiter left", func(s pools.Stats) bool { return s.Waiting == 0 })
			f.Forget(f.ids[0])
		})
	}})
	_, err := f.Acquire(ctx, f.key(0), dsn(0))
	require.ErrorIs(t, err, context.Canceled)
	f.await(t, "reservation back", func(s pools.Stats) bool { return s.Reserved == 0 && s.Idle == 0 })
	require.NoError(t, f.Close(bounded(t)))
}

func TestForget_AnswersQueuedCallersAndLetsTheNextOnePass(t *testing.T) {
	t.Parallel()
	f := setup(t, pools.Options{Budget: 2, Share: 2})
	held := f.lease(t, 0)
	gone := f.acquire(t.Context(), f.key(1), dsn(1))
	f.await(t, "first queued", func(s pools.Stats) bool { return s.Waiting == 1 })
	next := f.acquire(t.Context(), f.key(2), dsn(2))
	f.await(t, "second queued", func(s pools.Stats) bool { return s.Waiting == 2 })

	f.Forget(f.ids[1])
	require.ErrorIs(t, (<-gone).err, pools.ErrRetired)
	held.Release()
	o := <-next
	require.NoError(t, o.err)
	o.lease.Release()
}

func TestRevision_NewerRetiresOlderAndOlderIsRefused(t *testing.T) {
	t.Parallel()
	f := setup(t, pools.Options{Budget: 4, Share: 2})
	first := f.lease(t, 0)
	firstPool := first.Pool()
	newer := f.key(0)
	newer.Revision = 1
	l, err := f.Acquire(t.Context(), newer, dsn(0))
	require.NoError(t, err)
	defer l.Release()

	_, err = f.Acquire(t.Context(), f.key(0), dsn(0))
	require.ErrorIs(t, err, pools.ErrRetired)
	require.NoError(t, query(t.Context(), first, 0), "a lease of the old revision works on")
	first.Release()
	f.await(t, "old revision closed", func(s pools.Stats) bool { return s.Reserved == 2 })
	require.Error(t, firstPool.Ping(t.Context()))
	require.NoError(t, query(t.Context(), l, 0))
}

func TestRevision_TakesTheRoomOfTheOneItRetires(t *testing.T) {
	t.Parallel()
	f := setup(t, pools.Options{Budget: 4, Share: 2})
	f.lease(t, 0).Release()
	f.lease(t, 1).Release()
	newer := f.key(0)
	newer.Revision = 1
	l, err := f.Acquire(t.Context(), newer, dsn(0))
	require.NoError(t, err)
	defer l.Release()
	require.Zero(t, f.Stats().Evictions, "tenant 1 kept its pool")
}

func TestIdle_OldPoolsAreClosedInPassingAndTheWantedOneIsKept(t *testing.T) {
	t.Parallel()
	clock := clocktest.At(time.Unix(0, 0))
	f := setup(t, pools.Options{Budget: 3, Share: 1, IdleTimeout: time.Hour, Now: clock.Now})
	f.lease(t, 0).Release()
	f.lease(t, 1).Release()
	clock.Move(30 * time.Minute)
	f.lease(t, 2).Release()
	clock.Move(30 * time.Minute)
	require.Equal(t, 3, f.Stats().Idle, "time alone closes nothing")

	f.lease(t, 0)
	require.EqualValues(t, 1, f.Stats().Evictions, "tenant 1 alone was too old")
	require.EqualValues(t, 3, f.Stats().Opens, "tenant 0 was old and wanted")
	f.await(t, "closed", func(s pools.Stats) bool { return s.Reserved == 2 && s.Idle == 1 })
}

func TestClose_WaitsForLeasesAndRefusesNewOnes(t *testing.T) {
	t.Parallel()
	f := setup(t, pools.Options{Budget: 4, Share: 2})
	held := f.lease(t, 0)
	closed := make(chan error, 1)
	go func() { closed <- f.Close(bounded(t)) }()
	require.Eventually(t, func() bool {
		_, err := f.Acquire(t.Context(), f.key(1), func(context.Context) (string, error) { return "", context.Canceled })
		return errors.Is(err, pools.ErrClosed)
	}, forever, time.Millisecond)

	// The answer above may be that of an open which Close has ended.
	_, err := f.Acquire(t.Context(), f.key(2), dsn(2))
	require.ErrorIs(t, err, pools.ErrClosed)
	require.NoError(t, query(t.Context(), held, 0), "a lease works while Close waits")
	require.Empty(t, closed)
	held.Release()
	require.NoError(t, <-closed)
	require.Zero(t, f.Stats().Reserved)
}

func TestClose_AnswersQueuedAndOpeningCallers(t *testing.T) {
	t.Parallel()
	f := setup(t, pools.Options{Budget: 2, Share: 2})
	d, _, _ := gated(dsn(0))
	opening := f.acquire(t.Context(), f.key(0), d)
	f.await(t, "opening", func(s pools.Stats) bool { return s.Opens == 1 })
	waiting := f.acquire(t.Context(), f.key(1), dsn(1))
	f.await(t, "queued", func(s pools.Stats) bool { return s.Waiting == 2 })
	require.NoError(t, f.Close(bounded(t)))
	require.ErrorIs(t, (<-opening).err, pools.ErrClosed)
	require.ErrorIs(t, (<-waiting).err, pools.ErrClosed)
}

func TestClose_OutOfTimeClosesPoolsUnderTheirLeases(t *testing.T) {
	t.Parallel()
	f := setup(t, pools.Options{Budget: 2, Share: 2})
	held := f.lease(t, 0)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, f.Close(ended), context.Canceled)
	require.NoError(t, f.Close(bounded(t)), "the pool closes though its lease is out")
	require.Error(t, query(t.Context(), held, 0))
	require.Error(t, held.SQL().PingContext(t.Context()))
}

func TestLease_ReleaseIsIdempotentAndUseAfterItPanics(t *testing.T) {
	t.Parallel()
	f := setup(t, pools.Options{Budget: 2, Share: 2})
	a, b := f.lease(t, 0), f.lease(t, 0)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(a.Release)
	}
	wg.Wait()
	require.Equal(t, 1, f.Stats().Leases, "b is still out")
	require.Zero(t, f.Stats().Idle)
	require.NoError(t, query(t.Context(), b, 0))
	require.Panics(t, func() { a.Pool() })
	require.Panics(t, func() { a.SQL() })
}

func TestLease_SQLIsOneHandleWithoutIdleConnections(t *testing.T) {
	t.Parallel()
	f := setup(t, pools.Options{Budget: 1, Share: 1})
	a, b := f.lease(t, 0), f.lease(t, 0)
	require.Same(t, a.SQL(), b.SQL())
	// With a share of one, a connection kept by sql.DB would starve the pool.
	for range 3 {
		require.NoError(t, a.SQL().PingContext(bounded(t)))
		require.NoError(t, query(bounded(t), b, 0))
	}
	require.Zero(t, a.SQL().Stats().Idle)
}
