package connections_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"tenantry/internal/connections"
)

// Five hundred tenants at once, a tenth of them at a time in the budget.
func TestStorm_ServesEverybodyWithABoundedNumberOfOpens(t *testing.T) {
	t.Parallel()
	bubble(t, connections.Options{Budget: 50, Share: 4, Opens: 3}, func(t *testing.T, b *bench) {
		var done sync.WaitGroup
		errs := make([]error, 500)
		for i := range errs {
			key := connections.Key{Tenant: uuid.New()}
			done.Go(func() {
				ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
				defer cancel()
				conn, err := b.cache.Acquire(ctx, key)
				if errs[i] = err; err == nil {
					<-time.After(time.Millisecond)
					conn.Release()
				}
			})
		}
		started := time.Now()
		done.Wait()
		require.NoError(t, errors.Join(errs...))
		require.Equal(t, 500, b.opens())
		require.Equal(t, 3, b.server.most)
		// 20 ms a connect, three at a time: closing the one before overlaps.
		require.Less(t, time.Since(started), 500*20*time.Millisecond/3*5/4)
	})
}

func TestServerFull_HoldsWhatThereIsAndRecovers(t *testing.T) {
	t.Parallel()
	bubble(t, connections.Options{Budget: 6, Share: 6}, func(t *testing.T, b *bench) {
		b.server.crowd(4) // of six
		var waiting []chan result
		for range 6 {
			waiting = append(waiting, b.wait("a"))
		}
		served := 0
		for served < 6 {
			for _, w := range waiting {
				if len(w) > 0 {
					r := <-w
					require.NoError(t, r.err, "two connections serve all six")
					<-time.After(10 * time.Millisecond)
					r.conn.Release()
					served++
				}
			}
			<-time.After(time.Millisecond)
		}
		s := b.cache.Stats()
		require.Equal(t, 2, s.Held())
		require.Equal(t, 2, s.Allowed)
		require.Positive(t, s.Full)
		require.Less(t, b.server.refusals(), 8, "the server is not stormed")

		b.server.crowd(0)
		<-time.After(6 * time.Second)
		var held []*connections.Conn
		for range 6 {
			held = append(held, b.hold("a"))
		}
		for _, conn := range held {
			conn.Release()
		}
		require.Equal(t, 6, b.cache.Stats().Allowed)
	})
}

func TestServerFull_WithoutAnyConnectionRefusesAfterTheStall(t *testing.T) {
	t.Parallel()
	bubble(t, connections.Options{Budget: 2, Share: 2}, func(t *testing.T, b *bench) {
		b.server.crowd(2)
		r := <-b.wait("a")
		require.ErrorIs(t, r.err, connections.ErrBudget)
		require.InDelta(t, 3, r.took.Seconds(), 0.1)
		b.server.crowd(0)
		<-time.After(6 * time.Second)
		b.touch("a")
	})
}

func TestYield_GivesUpAnIdleConnectionOrTheNextThatComesBack(t *testing.T) {
	t.Parallel()
	bubble(t, connections.Options{Budget: 3, Share: 3}, func(t *testing.T, b *bench) {
		b.touch("a", "b")
		b.cache.Yield()
		<-time.After(100 * time.Millisecond)
		require.Equal(t, 1, b.cache.Stats().Held())
		held := b.hold("b")
		b.cache.Yield()
		held.Release()
		<-time.After(100 * time.Millisecond)
		require.Zero(t, b.cache.Stats().Held())
		<-time.After(time.Second)
		b.touch("a") // after the pause it opens again
	})
}

func TestSetBudget_ShrinksAndGrows(t *testing.T) {
	t.Parallel()
	bubble(t, connections.Options{Budget: 4, Share: 4}, func(t *testing.T, b *bench) {
		b.touch("a", "b")
		held := b.hold("c")
		b.server.allow(1)
		b.cache.SetBudget(1)
		<-time.After(time.Second)
		require.Equal(t, 1, b.cache.Stats().Held())
		waiting := b.wait("d")
		held.Release()
		r := <-waiting
		require.NoError(t, r.err)
		b.server.allow(2)
		b.cache.SetBudget(2)
		b.touch("a")
		r.conn.Release()
	})
}

func TestIdle_OldConnectionsAreClosedInPassing(t *testing.T) {
	t.Parallel()
	bubble(t, connections.Options{Budget: 3, Share: 1, IdleTimeout: time.Hour}, func(t *testing.T, b *bench) {
		b.touch("a", "b")
		<-time.After(59 * time.Minute)
		b.touch("c")
		<-time.After(30 * time.Minute)
		require.Equal(t, 3, b.cache.Stats().Idle, "time alone closes nothing")
		b.touch("c")
		<-time.After(time.Second)
		require.Equal(t, 1, b.cache.Stats().Held())
	})
}

func TestLifetime_EndsWithAReturn(t *testing.T) {
	t.Parallel()
	bubble(t, connections.Options{Budget: 2, Share: 1, IdleTimeout: -1, Lifetime: time.Hour}, func(t *testing.T, b *bench) {
		b.touch("a")
		<-time.After(61 * time.Minute)
		b.touch("a") // still good, closed afterwards
		require.Equal(t, 1, b.opens())
		b.touch("a")
		require.Equal(t, 2, b.opens())
	})
}
