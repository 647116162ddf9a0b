package connections_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"tenantry/internal/connections"
)

// peak watches the server until stop and returns the most connections it saw.
func (f *fixture) peak(t *testing.T) (stop func() int) {
	conn, quit, most := superuser(t), make(chan struct{}), make(chan int, 1)
	ctx := bounded(t)
	go func() {
		high := 0
		defer func() { most <- high }()
		for {
			n, err := connected(ctx, conn, f.app)
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

// both runs a statement and a transaction at once.
func both(ctx context.Context, d *connections.Database, i int) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return query(ctx, d, i) })
	g.Go(func() error { return transact(ctx, d, i) })
	return g.Wait()
}

func TestBudget_HoldsUnderFourTimesMoreTenants(t *testing.T) {
	t.Parallel()
	for name, workers := range map[string]int{"few": 3, "crowd": 12} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const budget, share = 6, 2
			f := setup(t, connections.Options{Budget: budget, Share: share})
			stop := f.peak(t)
			g, ctx := errgroup.WithContext(bounded(t))
			for w := range workers {
				rnd := rand.New(rand.NewPCG(uint64(w), 7))
				g.Go(func() error {
					for range 480 / workers {
						// The low ones more often.
						i := min(rnd.IntN(databaseCount), rnd.IntN(databaseCount))
						if err := both(ctx, f.db(i), i); err != nil {
							return err
						}
					}
					return nil
				})
			}
			require.NoError(t, g.Wait())
			most := stop()
			require.Positive(t, most)
			require.LessOrEqual(t, most, budget, "server connections")
			s := f.Stats()
			require.LessOrEqual(t, s.Held(), budget)
			require.Positive(t, s.Evictions)
			require.Zero(t, s.Refusals)
			require.Zero(t, s.Failures)
		})
	}
}

func TestBudget_HoldsWhileKeysAreRotatedForgottenAndCallersLeave(t *testing.T) {
	t.Parallel()
	const budget, share, workers, rounds = 6, 2, 8, 40
	f := setup(t, connections.Options{Budget: budget, Share: share})
	stop := f.peak(t)
	g, ctx := errgroup.WithContext(bounded(t))
	for w := range workers {
		rnd := rand.New(rand.NewPCG(uint64(w), 11))
		g.Go(func() error {
			for n := range rounds {
				i := rnd.IntN(databaseCount / 3)
				key := f.key(i)
				key.Revision = int64(n / 8)
				call, cancel := context.WithCancel(ctx)
				switch rnd.IntN(6) {
				case 0:
					f.Forget(f.ids[i])
				case 1:
					go cancel()
				}
				err := both(call, f.Database(key, dsn(i)), i)
				cancel()
				if err != nil && !errors.Is(err, context.Canceled) {
					return err
				}
			}
			return nil
		})
	}
	require.NoError(t, g.Wait())
	require.LessOrEqual(t, stop(), budget, "server connections")
}

func TestBudget_ServerHasHungUpWhenCloseReturns(t *testing.T) {
	t.Parallel()
	const share, rounds = 8, 10
	conn := superuser(t)
	for range rounds {
		f := setup(t, connections.Options{Budget: share, Share: share})
		var g errgroup.Group
		for range share {
			g.Go(func() error {
				_, err := f.db(0).Exec(bounded(t), "SELECT pg_sleep(0.02)")
				return err
			})
		}
		require.NoError(t, g.Wait())
		require.NoError(t, f.Close(bounded(t)))
		n, err := connected(t.Context(), conn, f.app)
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

func TestBudget_CancelledStatementsKeepTheirPlaceUntilTheBackendIsGone(t *testing.T) {
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
			f := setup(t, connections.Options{Budget: fit * share, Share: share})
			conn, stop := superuser(t), f.peak(t)
			for round := range 2 {
				ctx, cancel := context.WithCancel(bounded(t))
				var running errgroup.Group
				for i := range fit {
					for range share {
						running.Go(func() error {
							if _, err := f.db(round*fit+i).Exec(ctx, sleep); !errors.Is(err, context.Canceled) {
								return fmt.Errorf("not cancelled: %w", err)
							}
							return nil
						})
					}
				}
				f.sleepers(t, conn, fit*share)
				cancel()
				require.NoError(t, running.Wait())
			}
			// As many connections again, for one of the tenants just hit.
			require.NoError(t, both(bounded(t), f.db(fit), fit))
			require.LessOrEqual(t, stop(), fit*share, "server connections")
		})
	}
}

// A connection that hangs while it closes costs its place, not the callers that
// find another one to close.
func TestBudget_AHangingCloseDoesNotStarveTheNextCaller(t *testing.T) {
	t.Parallel()
	f := setup(t, connections.Options{Budget: 2, Share: 1})
	conn := superuser(t)
	ctx, cancel := context.WithCancel(bounded(t))
	deaf := make(chan error, 1)
	go func() {
		_, err := f.db(0).Exec(ctx, "DO $$ BEGIN LOOP BEGIN PERFORM pg_sleep(600); EXCEPTION WHEN query_canceled THEN NULL; END; END LOOP; END $$")
		deaf <- err
	}()
	f.sleepers(t, conn, 1)
	cancel()
	require.ErrorIs(t, <-deaf, context.Canceled)
	for i := 1; i < 5; i++ {
		require.NoError(t, query(bounded(t), f.db(i), i))
	}
	require.Equal(t, 1, f.Stats().Closing, "it still hangs")
}
