package ratelimit

import (
	"context"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"tenantry/internal/clock"
	"tenantry/internal/clock/clocktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// ticking is a clock that a test moves; a Redis may follow it.
type ticking struct {
	*clocktest.Clock
	and *miniredis.Miniredis
}

func newTicking(m *miniredis.Miniredis) *ticking {
	c := &ticking{Clock: clocktest.At(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)), and: m}
	c.move(0)
	return c
}

func (c *ticking) move(d time.Duration) {
	at := c.Move(d)
	if c.and != nil {
		c.and.SetTime(at)
		if d > 0 {
			c.and.FastForward(d)
		}
	}
}

// patient is for tests that are not about a slow Redis: the machine may be busy.
const patient = 20 * time.Second

func dial(t testing.TB, addr string) *redis.Client {
	t.Helper()
	c, err := Connect("redis://"+addr, patient)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// simulated is a limiter over a Redis whose clock the test moves.
func simulated(t *testing.T) (*Limiter, *ticking) {
	t.Helper()
	m := miniredis.RunT(t)
	c := newTicking(m)
	return New(Options{Redis: dial(t, m.Addr()), Timeout: patient, Now: c.Now}), c
}

// real is the server of the tests; every test has keys of its own.
func real(t *testing.T) *redis.Client {
	t.Helper()
	u := os.Getenv("TENANTRY_TEST_REDIS_URL")
	if u == "" {
		t.Fatal("TENANTRY_TEST_REDIS_URL is not set: tests need a Redis (make test sets it)")
	}
	c, err := Connect(u, patient)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func key(l Limit) Key { return Key{Name: IP, Class: "test", Value: uuid.NewString(), Limit: l} }

// Whatever the times and the keys of the calls, no window of any key ever
// holds more than its limit says: Burst + window × Count / Per.
func TestAllow_AdmitsAtMostBurstPlusRateTimesWindow(t *testing.T) {
	t.Parallel()
	for name, make := range map[string]func(*testing.T) (*Limiter, *ticking){
		"Redis": simulated,
		"process": func(*testing.T) (*Limiter, *ticking) {
			c := newTicking(nil)
			return New(Options{Now: c.Now}), c
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, c := make(t)
			rapid.Check(t, func(rt *rapid.T) {
				limit := Limit{Count: rapid.IntRange(1, 1000).Draw(rt, "count"), Per: time.Minute, Burst: rapid.IntRange(1, 20).Draw(rt, "burst")}
				keys := []Key{key(limit), key(limit), key(limit)}
				admitted := map[string][]time.Time{}
				for range rapid.IntRange(1, 150).Draw(rt, "calls") {
					c.move(time.Duration(rapid.Int64Range(0, 2*limit.interval()).Draw(rt, "pause")) * time.Microsecond)
					n := rapid.IntRange(1, 3).Draw(rt, "keys")
					asked := keys[:n]
					if d := l.Allow(context.Background(), asked...); d.Allowed {
						for _, k := range asked {
							admitted[k.Value] = append(admitted[k.Value], c.Now())
						}
					}
				}
				if name == "process" {
					limit = limit.strict()
				}
				for _, times := range admitted {
					for i := range times {
						for j := i; j < len(times); j++ {
							most := int64(limit.Burst) + times[j].Sub(times[i]).Microseconds()*int64(limit.Count)/limit.Per.Microseconds()
							if int64(j-i+1) > most {
								rt.Fatalf("%d admitted in %s, at most %d", j-i+1, times[j].Sub(times[i]), most)
							}
						}
					}
				}
			})
		})
	}
}

// Several processes share one bucket, whichever asks when.
func TestAllow_HoldsForParallelCallersOfSeveralProcesses(t *testing.T) {
	t.Parallel()
	limit := Limit{Count: 50, Per: time.Second, Burst: 20}
	k := key(limit)
	var admitted, local atomic.Int64
	started := time.Now()
	var all sync.WaitGroup
	for range 4 {
		l := New(Options{Redis: real(t), Timeout: patient, Now: clock.System})
		for range 8 {
			all.Go(func() {
				for time.Since(started) < time.Second {
					if d := l.Allow(context.Background(), k); d.Local {
						local.Add(1)
					} else if d.Allowed {
						admitted.Add(1)
					}
				}
			})
		}
	}
	all.Wait()
	most := int64(limit.Burst) + time.Since(started).Microseconds()*int64(limit.Count)/limit.Per.Microseconds()
	require.LessOrEqual(t, admitted.Load(), most)
	require.Zero(t, local.Load())
	require.Greater(t, admitted.Load(), int64(limit.Burst), "and what the limit grants is granted")
}

func TestAllow_SaysWhichKeyBoundWhatIsLeftAndWhenToComeBack(t *testing.T) {
	t.Parallel()
	l, c := simulated(t)
	ip, tenant := key(Limit{Count: 1, Per: time.Second, Burst: 3}), key(Limit{Count: 1, Per: time.Second, Burst: 2})
	tenant.Name = Tenant
	d := l.Allow(t.Context(), ip, tenant)
	require.True(t, d.Allowed)
	require.False(t, d.Local)
	require.Equal(t, Tenant, d.Bound.Name)
	require.Equal(t, []int{2, 1}, []int{d.Keys[0].Remaining, d.Keys[1].Remaining})
	require.Equal(t, time.Second, d.Bound.Reset)
	require.Zero(t, d.Bound.RetryAfter)

	require.True(t, l.Allow(t.Context(), ip, tenant).Allowed)
	d = l.Allow(t.Context(), ip, tenant)
	require.False(t, d.Allowed)
	require.Equal(t, Tenant, d.Bound.Name)
	require.Zero(t, d.Bound.Remaining)
	require.Equal(t, time.Second, d.Bound.RetryAfter)
	require.Zero(t, d.Keys[0].RetryAfter)
	require.Equal(t, 1, d.Keys[0].Remaining, "a refused request is charged to nobody")

	c.move(time.Second - time.Microsecond)
	d = l.Allow(t.Context(), ip, tenant)
	require.False(t, d.Allowed)
	require.Equal(t, time.Microsecond, d.Bound.RetryAfter)
	c.move(time.Microsecond)
	require.True(t, l.Allow(t.Context(), ip, tenant).Allowed)
}

func TestAllow_KeysOfOtherNamesClassesAndValuesAreApart(t *testing.T) {
	t.Parallel()
	l, _ := simulated(t)
	k := key(Limit{Count: 1, Per: time.Hour, Burst: 1})
	require.True(t, l.Allow(t.Context(), k).Allowed)
	require.False(t, l.Allow(t.Context(), k).Allowed)
	for _, change := range []func(*Key){func(k *Key) { k.Name = Tenant }, func(k *Key) { k.Class = "other" }, func(k *Key) { k.Value = "x" }} {
		other := k
		change(&other)
		require.True(t, l.Allow(t.Context(), other).Allowed)
	}
}

func TestAllow_IsOneRoundTripAndKeysExpire(t *testing.T) {
	t.Parallel()
	c := real(t)
	var trips counting
	c.AddHook(&trips)
	l := New(Options{Redis: c, Timeout: patient, Now: clock.System})
	keys := []Key{key(Limit{Count: 10, Per: time.Second, Burst: 10}), key(Limit{Count: 10, Per: time.Second, Burst: 10})}
	require.True(t, l.Allow(t.Context(), keys...).Allowed, "the script is known from here on")
	trips.n.Store(0)
	require.False(t, l.Allow(t.Context(), keys...).Local)
	require.EqualValues(t, 1, trips.n.Load())
	ttl, err := c.PTTL(t.Context(), keys[0].redis()).Result()
	require.NoError(t, err)
	require.LessOrEqual(t, ttl, 200*time.Millisecond, "a key lives until its bucket is full")
}

type counting struct{ n atomic.Int64 }

func (*counting) DialHook(next redis.DialHook) redis.DialHook { return next }
func (h *counting) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if strings.HasPrefix(cmd.Name(), "eval") { // not what a new connection says first
			h.n.Add(1)
		}
		return next(ctx, cmd)
	}
}
func (*counting) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// A server that was restarted or flushed has forgotten the script.
func TestAllow_SurvivesAForgottenScript(t *testing.T) {
	t.Parallel()
	m := miniredis.RunT(t)
	c := dial(t, m.Addr())
	l := New(Options{Redis: c, Timeout: patient, Now: clock.System})
	k := key(Limit{Count: 1, Per: time.Hour, Burst: 2})
	require.False(t, l.Allow(t.Context(), k).Local)
	require.NoError(t, c.ScriptFlush(t.Context()).Err())
	d := l.Allow(t.Context(), k)
	require.False(t, d.Local)
	require.True(t, d.Allowed)
	require.False(t, l.Allow(t.Context(), k).Allowed, "the keys are not forgotten")
}

// The clock of Redis decides; one that goes back blocks nobody for longer than
// a full bucket takes.
func TestAllow_AClockThatGoesBackBlocksNobodyForLong(t *testing.T) {
	t.Parallel()
	l, c := simulated(t)
	k := key(Limit{Count: 1, Per: time.Second, Burst: 3})
	for range 3 {
		require.True(t, l.Allow(t.Context(), k).Allowed)
	}
	c.move(-time.Hour)
	d := l.Allow(t.Context(), k)
	require.False(t, d.Allowed)
	require.LessOrEqual(t, d.Bound.RetryAfter, time.Second)
}

func TestAllow_WithoutRedisTheProcessDecidesMoreStrictlyAndSaysSo(t *testing.T) {
	t.Parallel()
	m := miniredis.RunT(t)
	c := newTicking(m)
	var locals, all atomic.Int64
	l := New(Options{Redis: dial(t, m.Addr()), Timeout: patient, Now: c.Now, Observe: func(local bool) {
		all.Add(1)
		if local {
			locals.Add(1)
		}
	}})
	k := key(Limit{Count: 8, Per: time.Second, Burst: 8})
	require.False(t, l.Allow(t.Context(), k).Local)
	m.Close()
	admitted := 0
	for range 100 {
		d := l.Allow(t.Context(), k)
		require.True(t, d.Local)
		require.Equal(t, 2, d.Bound.Limit.Burst, "a quarter")
		if d.Allowed {
			admitted++
		}
	}
	require.Equal(t, 2, admitted)
	c.move(500 * time.Millisecond)
	require.True(t, l.Allow(t.Context(), k).Allowed, "a quarter of the rate: 2/s")
	require.False(t, l.Allow(t.Context(), k).Allowed)

	require.NoError(t, m.Restart())
	c.move(rest)
	require.False(t, l.Allow(t.Context(), k).Local, "Redis decides again")
	require.EqualValues(t, 102, locals.Load())
	require.EqualValues(t, 104, all.Load())
}

// A Redis that takes connections and never answers costs a few requests their
// deadline, then one a second.
func TestAllow_ADeadRedisIsNotWaitedForByEveryRequest(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = silent.Close() })
	c := newTicking(nil)
	r, err := Connect("redis://"+silent.Addr().String(), 0)
	require.NoError(t, err)
	t.Cleanup(func() { _ = r.Close() })
	var asked counting
	r.AddHook(&asked)
	l := New(Options{Redis: r, Now: c.Now})
	k := key(Limit{Count: 1000, Per: time.Second, Burst: 1000})
	started := time.Now()
	for range 1000 {
		require.True(t, l.Allow(context.Background(), k).Local)
		c.move(time.Millisecond)
	}
	require.LessOrEqual(t, asked.n.Load(), int64(trips+1))
	require.Less(t, time.Since(started), 2*time.Second, "not 1000 deadlines (50 s)")
}

// A client that hangs up must not push the others onto the strict limits.
func TestAllow_ACancelledRequestSaysNothingAboutRedis(t *testing.T) {
	t.Parallel()
	l, _ := simulated(t)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for range 2 * trips {
		require.False(t, l.Allow(gone, key(Limit{Count: 1, Per: time.Second, Burst: 1})).Local)
	}
}
