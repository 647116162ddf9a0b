package connections_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"tenantry/internal/connections"
)

// bubble runs a test in virtual time, on a fake server.
func bubble(t *testing.T, opt connections.Options, run func(t *testing.T, b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &bench{t: t, server: newFakeServer(opt.Budget, opt.Share), names: map[string]connections.Key{}}
		if opt.Opens == 0 {
			opt.Opens = 2
		}
		b.cache = connections.NewOn(opt, b.server.connect)
		run(t, b)
		require.NoError(t, b.cache.Close(context.Background()))
		require.Zero(t, b.cache.Stats().Held())
		require.Empty(t, b.server.wrong)
	})
}

// bench names tenants by a letter.
type bench struct {
	t      *testing.T
	server *fakeServer
	cache  *connections.Cache
	names  map[string]connections.Key
}

func (b *bench) key(name string) connections.Key {
	if _, known := b.names[name]; !known {
		b.names[name] = connections.Key{Tenant: uuid.New()}
	}
	return b.names[name]
}

// hold takes a connection.
func (b *bench) hold(name string) *connections.Conn {
	b.t.Helper()
	conn, err := b.cache.Acquire(b.t.Context(), b.key(name))
	require.NoError(b.t, err)
	require.Equal(b.t, b.key(name), conn.Link().(*fakeLink).key)
	return conn
}

// touch takes a connection and gives it back.
func (b *bench) touch(names ...string) {
	b.t.Helper()
	for _, name := range names {
		b.hold(name).Release()
		<-time.After(time.Millisecond)
	}
}

type result struct {
	conn *connections.Conn
	err  error
	took time.Duration
}

// wait asks for a connection on a goroutine of its own and returns when it has
// been served or waits.
func (b *bench) wait(name string) chan result {
	key, done := b.key(name), make(chan result, 1)
	go func() {
		started := time.Now()
		conn, err := b.cache.Acquire(context.Background(), key)
		done <- result{conn, err, time.Since(started)}
	}()
	synctest.Wait()
	return done
}

func (b *bench) opens() int { return int(b.cache.Stats().Opens) } //nolint:gosec // a handful

func TestRoom_ComesFromTheLeastRecentlyUsed(t *testing.T) {
	t.Parallel()
	bubble(t, connections.Options{Budget: 3, Share: 1}, func(t *testing.T, b *bench) {
		b.touch("a", "b", "c", "a") // b is the oldest
		b.touch("d")
		require.Equal(t, 4, b.opens())
		b.touch("a", "c", "d")
		require.Equal(t, 4, b.opens(), "a, c and d stayed")
		b.touch("b")
		require.Equal(t, 5, b.opens(), "b went")
	})
}

func TestRoom_IsTakenFromWhoHasMoreBeforeWhoHasOne(t *testing.T) {
	t.Parallel()
	bubble(t, connections.Options{Budget: 3, Share: 2}, func(t *testing.T, b *bench) {
		b.touch("a")
		one, two := b.hold("b"), b.hold("b")
		one.Release()
		two.Release()
		b.touch("c") // a's is older, but b has two
		require.Equal(t, 4, b.opens())
		b.touch("a", "b", "c")
		require.Equal(t, 4, b.opens())
	})
}

// As many tenants as connections, each in use: two requests of one at once must
// not cost another its connection.
func TestRoom_ATenantInUseWaitsForItsOwnConnection(t *testing.T) {
	t.Parallel()
	bubble(t, connections.Options{Budget: 3, Share: 2}, func(t *testing.T, b *bench) {
		b.touch("b", "c")
		held := b.hold("a")
		second := b.wait("a")
		require.Equal(t, 3, b.opens())
		<-time.After(2 * time.Millisecond)
		held.Release()
		r := <-second
		require.NoError(t, r.err)
		r.conn.Release()
		require.Equal(t, 3, b.opens(), "served by its own")
		require.Zero(t, b.cache.Stats().Evictions)
	})
}

func TestRoom_ATenantInUseTakesAQuietConnection(t *testing.T) {
	t.Parallel()
	bubble(t, connections.Options{Budget: 2, Share: 2}, func(t *testing.T, b *bench) {
		b.touch("quiet")
		<-time.After(1100 * time.Millisecond)
		held := b.hold("a")
		r := <-b.wait("a")
		require.NoError(t, r.err)
		require.Less(t, r.took, 100*time.Millisecond)
		r.conn.Release()
		held.Release()
	})
}

func TestRoom_ATenantThatWaitedLongForItsOwnTakesAnyIdleConnection(t *testing.T) {
	t.Parallel()
	bubble(t, connections.Options{Budget: 2, Share: 2}, func(t *testing.T, b *bench) {
		stuck := b.hold("a")
		second := b.wait("a") // opens its second; b takes its place while it is idle
		r := <-second
		r.conn.Release()
		b.touch("b")
		second = b.wait("a")
		served := make(chan result)
		go func() {
			r := <-second
			if r.err == nil {
				r.conn.Release()
			}
			served <- r
		}()
		for range 12 { // b is never quiet
			b.touch("b")
			<-time.After(100 * time.Millisecond)
		}
		r = <-served
		require.NoError(t, r.err)
		require.InDelta(t, time.Second.Seconds(), r.took.Seconds(), 0.2)
		stuck.Release()
	})
}

func TestQueue_GoesToTheTenantWithFewest(t *testing.T) {
	t.Parallel()
	bubble(t, connections.Options{Budget: 3, Share: 3}, func(t *testing.T, b *bench) {
		held := []*connections.Conn{b.hold("a"), b.hold("a"), b.hold("a")}
		own := []chan result{b.wait("a"), b.wait("a")}
		other := b.wait("b") // came last, has none
		held[0].Release()
		r := <-other
		require.NoError(t, r.err)
		require.Empty(t, own[0], "a has two and waits")
		r.conn.Release()
		for i, w := range own {
			held[i+1].Release()
			r := <-w
			require.NoError(t, r.err)
			r.conn.Release()
		}
	})
}

func TestQueue_ServesTenantsInTheOrderTheyCame(t *testing.T) {
	t.Parallel()
	bubble(t, connections.Options{Budget: 1, Share: 1}, func(t *testing.T, b *bench) {
		held := b.hold("a")
		var waiting []chan result
		for _, name := range []string{"b", "a", "c", "d"} {
			waiting = append(waiting, b.wait(name))
			<-time.After(time.Millisecond)
		}
		held.Release()
		for i, w := range waiting {
			r := <-w
			require.NoError(t, r.err)
			for _, later := range waiting[i+1:] {
				require.Empty(t, later)
			}
			r.conn.Release()
		}
	})
}

func TestQueue_AFloodOfOneTenantIsRefusedAndDelaysNoOther(t *testing.T) {
	t.Parallel()
	bubble(t, connections.Options{Budget: 4, Share: 2}, func(t *testing.T, b *bench) {
		one, two := b.hold("flood"), b.hold("flood")
		var flood []chan result
		for range 200 {
			flood = append(flood, b.wait("flood"))
		}
		refused := 0
		for _, w := range flood {
			if len(w) > 0 {
				require.ErrorIs(t, (<-w).err, connections.ErrBudget)
				refused++
			}
		}
		require.Equal(t, 200-2*64, refused, "64 wait for each connection of the share")
		started := time.Now()
		b.touch("b")
		require.Less(t, time.Since(started), 50*time.Millisecond)
		one.Release()
		two.Release()
		for range 128 {
			synctest.Wait()
			for _, w := range flood {
				if len(w) > 0 {
					r := <-w
					require.NoError(t, r.err)
					r.conn.Release()
					synctest.Wait()
				}
			}
		}
	})
}

func TestQueue_ThatDoesNotMoveIsRefusedAfterTheStall(t *testing.T) {
	t.Parallel()
	for name, share := range map[string]int{"budget": 2, "share": 1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, connections.Options{Budget: 2, Share: share}, func(t *testing.T, b *bench) {
				var stuck []*connections.Conn
				for range share {
					stuck = append(stuck, b.hold("a"))
				}
				started := time.Now()
				r := <-b.wait("a")
				require.ErrorIs(t, r.err, connections.ErrBudget)
				var budget *connections.BudgetError
				require.ErrorAs(t, r.err, &budget)
				require.Positive(t, budget.RetryAfter)
				require.InDelta(t, 3, time.Since(started).Seconds(), 0.1)
				for _, conn := range stuck {
					conn.Release()
				}
			})
		})
	}
}

func TestQueue_ThatMovesWaitsOn(t *testing.T) {
	t.Parallel()
	bubble(t, connections.Options{Budget: 1, Share: 1}, func(t *testing.T, b *bench) {
		held := b.hold("a")
		waiting := b.wait("a")
		other := b.wait("b")
		for range 10 { // a statement each two seconds
			require.NoError(t, held.Link().(*fakeLink).query(t.Context(), b.key("a"), 2*time.Second))
		}
		held.Release()
		for _, w := range []chan result{waiting, other} {
			r := <-w
			require.NoError(t, r.err)
			require.Greater(t, r.took, 19*time.Second)
			r.conn.Release()
		}
	})
}

func TestQueue_AFrozenServerRefusesWhoeverWaitsForAnOpen(t *testing.T) {
	t.Parallel()
	bubble(t, connections.Options{Budget: 4, Share: 2}, func(t *testing.T, b *bench) {
		b.server.freeze()
		r := <-b.wait("a")
		require.ErrorIs(t, r.err, connections.ErrBudget)
		require.InDelta(t, 3, r.took.Seconds(), 0.1)
		b.server.melt()
		<-time.After(6 * time.Second)
		b.touch("a")
	})
}
