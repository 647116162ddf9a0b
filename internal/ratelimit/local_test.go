package ratelimit

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestLocal_MemoryIsBoundedAndNobodyIsForgottenWhoIsStillLimited(t *testing.T) {
	t.Parallel()
	c := newTicking(nil)
	l := New(Options{Now: c.Now})
	l.local.max = 1000
	victim := key(Limit{Count: 1, Per: time.Hour, Burst: 1})
	require.True(t, l.Allow(t.Context(), victim).Allowed)
	admitted := 0
	for i := range 10_000 {
		walker := victim
		walker.Value = fmt.Sprint(i)
		if l.Allow(t.Context(), walker).Allowed {
			admitted++
		}
	}
	require.LessOrEqual(t, len(l.local.tats), 1001)
	require.LessOrEqual(t, admitted, 1000, "newcomers share one bucket once the table is full")
	require.False(t, l.Allow(t.Context(), victim).Allowed)
	c.move(5 * time.Hour)
	newcomer := victim
	newcomer.Value = "newcomer"
	require.True(t, l.Allow(t.Context(), newcomer).Allowed, "full buckets make room")
}

// The bucket of one caller is exact under parallel use, in this process too.
func TestLocal_HoldsForParallelCallers(t *testing.T) {
	t.Parallel()
	c := newTicking(nil)
	l := New(Options{Now: c.Now})
	k := key(Limit{Count: 4, Per: time.Hour, Burst: 40})
	var admitted atomic.Int64
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			for range 1000 {
				other := key(k.Limit)
				asked := []Key{k, other}
				rand.Shuffle(2, func(i, j int) { asked[i], asked[j] = asked[j], asked[i] })
				if l.Allow(context.Background(), asked...).Allowed {
					admitted.Add(1)
				}
				l.Allow(context.Background(), other) // somebody else, who is admitted
			}
		})
	}
	all.Wait()
	require.EqualValues(t, 10, admitted.Load())
}
