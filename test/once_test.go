package test

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tenantry/internal/devstack"
	"tenantry/internal/systest"
)

// numberFrom reads the size of a long form; by default a test is small.
func numberFrom(t *testing.T, variable string, small int) int {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return small
	}
	n, err := strconv.Atoi(text)
	require.NoError(t, err, variable)
	return n
}

// cuts lose a good third of all answers and some questions: before the first
// byte, in the header, in the body, and by a silence.
var cuts = []toxic{
	{"no answer", "limit_data", "downstream", 0.12, map[string]int64{"bytes": 0}},
	{"a header", "limit_data", "downstream", 0.1, map[string]int64{"bytes": 60}},
	{"half an answer", "limit_data", "downstream", 0.12, map[string]int64{"bytes": 420}},
	{"silence", "timeout", "downstream", 0.04, map[string]int64{"timeout": 30}},
	{"half a question", "limit_data", "upstream", 0.08, map[string]int64{"bytes": 300}},
}

// TestExactlyOnce_TenThousandCutWrites: answers are cut at random, calls are
// repeated through alternating doors, some of them twice at once; Redis
// forgets everything midway and the API is killed now and then. Each write has
// one effect, and each repetition the first answer.
//
// TENANTRY_TEST_WRITES=10000 is the long form.
func TestExactlyOnce_TenThousandCutWrites(t *testing.T) {
	t.Parallel()
	n := numberFrom(t, "TENANTRY_TEST_WRITES", 400)
	s := own(t, systest.Options{Fsync: true, Env: map[string]string{"TENANTRY_FLOOD_PER_SECOND": "100000"}})
	proxy := proxied(t, s.Setting("API_ADDR"))
	c := newOnceChecker(t, s, proxy.Listen, onceOptions{writes: n, tenants: 4, workers: 8, slots: 3, seed: 7})
	poison(t, proxy, cuts...)
	ctx := within(t, 40*time.Minute)

	disturb := c.during(ctx, func(ctx context.Context) error {
		kills := max(2, n/1250)
		for k := range kills {
			if err := c.reached(ctx, (2*k+1)*n/(2*kills)); err != nil {
				return err
			}
			if k == kills/2 { // after a kill and before another: stranded locks go too
				if err := s.FlushRedis(ctx); err != nil {
					return err
				}
				c.flushes.Add(1)
			}
			if err := s.KillAPI(); err != nil {
				return err
			}
			c.kills.Add(1)
			if err := s.StartAPI(ctx); err != nil {
				return err
			}
		}
		return nil
	})
	c.run(ctx)
	require.NoError(t, <-disturb)
	t.Log(c.report())
	require.Positive(t, c.unknown.Load(), "answers were lost")
	require.Positive(t, c.replayed.Load(), "and repeated calls answered")
	c.check(ctx)
	clean(t, s)
}

// TestPostgresRestarted_LosesNothingAcknowledged: the server goes down hard
// under load, twice. What fails says so and when to come back, what was
// answered is there.
func TestPostgresRestarted_LosesNothingAcknowledged(t *testing.T) {
	t.Parallel()
	n := numberFrom(t, "TENANTRY_TEST_RESTART_WRITES", 300)
	s := own(t, systest.Options{Fsync: true, Env: map[string]string{"TENANTRY_FLOOD_PER_SECOND": "100000"}})
	c := newOnceChecker(t, s, s.Setting("API_ADDR"), onceOptions{writes: n, tenants: 3, workers: 6, slots: 1, seed: 11, databaseFails: true})
	ctx := within(t, 10*time.Minute)
	disturb := c.during(ctx, func(ctx context.Context) error {
		for i, mode := range []devstack.StopMode{devstack.Immediate, devstack.Fast} {
			if err := c.reached(ctx, (i+1)*n/3); err != nil {
				return err
			}
			if err := s.RestartPostgres(ctx, mode); err != nil {
				return fmt.Errorf("restart Postgres: %w", err)
			}
		}
		return nil
	})
	c.run(ctx)
	require.NoError(t, <-disturb)
	t.Log(c.report())
	require.Positive(t, c.unavailable.Load(), "the restarts were noticed")
	c.check(ctx)
	clean(t, s)
}
