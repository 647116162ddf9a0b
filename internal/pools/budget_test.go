package pools_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"tenantry/internal/pools"
)

// peak watches the server until stop and returns the most connections it saw.
func (f *fixture) peak(t *testing.T) (stop func() int) {
	conn, quit, most := superuser(t), make(chan struct{}), make(chan int, 1)
	ctx := bounded(t)
	go func() {
		high := 0
		defer func() { most <- high }()
		for {
			n, err := connections(ctx, conn, f.app)
			if err != nil {
				high = -1
				return
			}
			high = max(high, n)
			select {
			case <-quit:
				return
			default:
			}
		}
	}()
	return func() int { close(quit); return <-most }
}

// both uses the pool and the sql.DB at once, so that a pool fills its share.
func both(ctx context.Context, l *pools.Lease, i int) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return query(ctx, l, i) })
	g.Go(func() error { _, err := l.SQL().ExecContext(ctx, "SELECT 1"); return err })
	return g.Wait()
}

func TestBudget_HoldsUnderEightTimesMoreTenantsAndNoQueryMeetsAnEvictedPool(t *testing.T) {
	t.Parallel()
	// Three pools fit; 24 tenants come. A crowd keeps the queue full, so that
	// pools go with their last lease; a few callers find idle pools to share.
	for name, workers := range map[string]int{"few": 3, "crowd": 12} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const budget, share = 6, 2
			f := setup(t, pools.Options{Budget: budget, Share: share})
			stop := f.peak(t)
			g, ctx := errgroup.WithContext(bounded(t))
			for w := range workers {
				rnd := rand.New(rand.NewPCG(uint64(w), 7))
				g.Go(func() error { return f.visit(ctx, rnd, 480/workers) })
			}
			require.NoError(t, g.Wait())
			most := stop()
			require.Positive(t, most)
			require.LessOrEqual(t, most, budget, "server connections")
			s := f.Stats()
			require.LessOrEqual(t, s.Reserved, budget)
			require.Positive(t, s.Evictions)
			require.Zero(t, s.Refusals)
			require.Zero(t, s.Failures)
		})
	}
}

// visit leases random tenants, the low ones more often, and queries each.
func (f *fixture) visit(ctx context.Context, rnd *rand.Rand, rounds int) error {
	for range rounds {
		i := min(rnd.IntN(tenants), rnd.IntN(tenants))
		l, err := f.Acquire(ctx, f.key(i), dsn(i))
		if err != nil {
			return err
		}
		err = both(ctx, l, i)
		l.Release()
		if err != nil {
			return err
		}
	}
	return nil
}

func TestBudget_HoldsWhileKeysAreRotatedForgottenAndCallersLeave(t *testing.T) {
	t.Parallel()
	const budget, share, workers, rounds = 6, 2, 8, 40
	f := setup(t, pools.Options{Budget: budget, Share: share})
	stop := f.peak(t)
	g, ctx := errgroup.WithContext(bounded(t))
	for w := range workers {
		rnd := rand.New(rand.NewPCG(uint64(w), 11))
		g.Go(func() error {
			for n := range rounds {
				i := rnd.IntN(tenants / 3)
				key := f.key(i)
				key.Revision = int64(n / 8)
				call, cancel := context.WithCancel(ctx)
				switch rnd.IntN(6) {
				case 0:
					f.Forget(f.ids[i])
				case 1:
					go cancel()
				}
				l, err := f.Acquire(call, key, dsn(i))
				cancel()
				if errors.Is(err, pools.ErrRetired) || errors.Is(err, context.Canceled) {
					continue
				}
				if err != nil {
					return err
				}
				err = both(ctx, l, i)
				l.Release()
				if err != nil {
					return err
				}
			}
			return nil
		})
	}
	require.NoError(t, g.Wait())
	require.LessOrEqual(t, stop(), budget, "server connections")
}

func TestBudget_ReservationComesBackAfterTheServerHungUp(t *testing.T) {
	t.Parallel()
	const share, rounds = 8, 10
	conn := superuser(t)
	for range rounds {
		f := setup(t, pools.Options{Budget: share, Share: share})
		l := f.lease(t, 0)
		taken := make([]*pgxpool.Conn, share)
		for i := range taken {
			var err error
			taken[i], err = l.Pool().Acquire(t.Context())
			require.NoError(t, err)
		}
		for _, c := range taken {
			c.Release()
		}
		l.Release()
		require.NoError(t, f.Close(bounded(t)))
		n, err := connections(t.Context(), conn, f.app)
		require.NoError(t, err)
		require.Zero(t, n)
	}
}

// sleepers waits until n of the fixture's connections are inside a query.
func (f *fixture) sleepers(t *testing.T, conn *pgx.Conn, n int) {
	t.Helper()
	require.Eventually(t, func() bool {
		var asleep int
		err := conn.QueryRow(bounded(t), "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1 AND wait_event = 'PgSleep'", f.app).Scan(&asleep)
		return err == nil && asleep == n
	}, forever, time.Millisecond)
}

func TestBudget_CancelledQueriesDoNotOutliveTheirReservation(t *testing.T) {
	t.Parallel()
	for name, sleep := range map[string]string{
		"obedient": "SELECT pg_sleep(600)",
		// Stands for every cancel request that has no effect, such as one that
		// reaches the backend before its query does.
		"deaf to cancel": "DO $$ BEGIN LOOP BEGIN PERFORM pg_sleep(600); EXCEPTION WHEN query_canceled THEN NULL; END; END LOOP; END $$",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const fit, share = 2, 2
			f := setup(t, pools.Options{Budget: fit * share, Share: share})
			conn, stop := superuser(t), f.peak(t)
			for round := range 2 {
				ctx, cancel := context.WithCancel(bounded(t))
				var running errgroup.Group
				for i := range fit {
					l := f.lease(t, round*fit+i)
					var queries sync.WaitGroup
					for range share {
						queries.Add(1)
						running.Go(func() error {
							defer queries.Done()
							if _, err := l.Pool().Exec(ctx, sleep); !errors.Is(err, context.Canceled) {
								return fmt.Errorf("not cancelled: %w", err)
							}
							return nil
						})
					}
					running.Go(func() error { queries.Wait(); l.Release(); return nil })
				}
				f.sleepers(t, conn, fit*share)
				cancel()
				require.NoError(t, running.Wait())
			}
			// As many connections again, in one of the pools just hit.
			l := f.lease(t, fit)
			require.NoError(t, both(bounded(t), l, fit))
			require.LessOrEqual(t, stop(), fit*share, "server connections")
		})
	}
}

func TestBudget_FourTimesTheHeldLeasesAnswersOnlyBudgetErrors(t *testing.T) {
	t.Parallel()
	const fit = 4
	f := setup(t, pools.Options{Budget: 2 * fit, Share: 2, Wait: time.Millisecond})
	var results []<-chan outcome
	for i := range 4 * fit {
		results = append(results, f.acquire(t.Context(), f.key(i), dsn(i)))
	}
	var held []*pools.Lease
	for _, r := range results {
		o := <-r
		if o.err == nil {
			held = append(held, o.lease)
			continue
		}
		var budget *pools.BudgetError
		require.ErrorAs(t, o.err, &budget)
		require.ErrorIs(t, o.err, pools.ErrBudget)
		require.Positive(t, budget.RetryAfter)
	}
	require.Len(t, held, fit)
	require.EqualValues(t, 3*fit, f.Stats().Refusals)
	require.Zero(t, f.Stats().Evictions, "a leased pool is never evicted")
	for _, l := range held {
		require.NoError(t, l.Pool().Ping(t.Context()))
		l.Release()
	}
}

func TestBudget_LeaseTakenFromAnIdlePoolKeepsItFromEviction(t *testing.T) {
	t.Parallel()
	f := setup(t, pools.Options{Budget: 1, Share: 1, Wait: time.Millisecond})
	f.lease(t, 0).Release()
	again := f.lease(t, 0)
	_, err := f.Acquire(t.Context(), f.key(1), dsn(1))
	require.ErrorIs(t, err, pools.ErrBudget)
	require.NoError(t, query(t.Context(), again, 0))
	require.Zero(t, f.Stats().Evictions)
}

func TestBudget_WaitersAreServedInTheOrderTheyCame(t *testing.T) {
	t.Parallel()
	const waiters = 12
	f := setup(t, pools.Options{Budget: 1, Share: 1})
	held := f.lease(t, 0)
	var (
		mu    sync.Mutex
		order []int
		done  []<-chan outcome
	)
	for i := 1; i <= waiters; i++ {
		done = append(done, f.acquire(t.Context(), f.key(i), func(ctx context.Context) (string, error) {
			mu.Lock()
			order = append(order, i)
			mu.Unlock()
			return dsn(i)(ctx)
		}))
		f.await(t, "queued", func(s pools.Stats) bool { return s.Waiting == i })
	}
	held.Release()
	for i, d := range done {
		o := <-d
		require.NoError(t, o.err)
		require.Equal(t, waiters-i-1, f.Stats().Waiting, "nobody else has a pool meanwhile")
		o.lease.Release()
	}
	for i, tenant := range order {
		require.Equal(t, i+1, tenant)
	}
	require.Len(t, order, waiters)
}

func TestBudget_EvictsTheLeastRecentlyUsed(t *testing.T) {
	t.Parallel()
	f := setup(t, pools.Options{Budget: 3, Share: 1})
	for _, i := range []int{0, 1, 2, 0} { // 1 is now the oldest
		f.lease(t, i).Release()
	}
	f.lease(t, 3).Release()
	require.EqualValues(t, 4, f.Stats().Opens)
	for _, i := range []int{0, 2, 3} {
		f.lease(t, i).Release()
	}
	require.EqualValues(t, 4, f.Stats().Opens, "0, 2 and 3 stayed")
	f.lease(t, 1).Release()
	require.EqualValues(t, 5, f.Stats().Opens, "1 went")
}

// A pool whose close hangs must cost the caller it was closed for, not the ones
// after: they evict another.
func TestBudget_HangingCloseDoesNotStarveTheNextCaller(t *testing.T) {
	t.Parallel()
	f := setup(t, pools.Options{Budget: 2, Share: 1, Wait: time.Second})
	l := f.lease(t, 0)
	stray, err := l.Pool().Acquire(t.Context()) // kept past Release: its pool cannot close
	require.NoError(t, err)
	defer stray.Release()
	l.Release()
	f.lease(t, 1).Release()

	_, err = f.Acquire(t.Context(), f.key(2), dsn(2))
	require.ErrorIs(t, err, pools.ErrBudget)
	require.Eventually(t, func() bool {
		l, err := f.Acquire(t.Context(), f.key(3), dsn(3))
		if err != nil {
			return false
		}
		l.Release()
		return true
	}, forever, time.Millisecond)
}
