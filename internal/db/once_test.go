package db_test

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tenantry/internal/apperr"
	"tenantry/internal/db"
	"tenantry/internal/testdb"
)

func markOf(key, request string, now time.Time) *db.Mark[int] {
	return &db.Mark[int]{
		Key: db.MarkKey{Scope: sha256.Sum256([]byte(key)), Fingerprint: sha256.Sum256([]byte(request))}, Now: now,
		Encode: func(n int) ([]byte, error) { return []byte(strconv.Itoa(n)), nil },
	}
}

func TestOnce_TheSecondCallIsAnsweredFromTheMark(t *testing.T) {
	t.Parallel()
	in := testdb.New(t)
	_, l := in.ActiveTenant(t, "acme")
	now, ran := time.Now(), 0
	effect := func(db.TenantTx) (int, error) { ran++; return 40 + ran, nil }
	m := markOf("k", "r", now)
	r, err := db.InTenantOnce(t.Context(), l, m, effect)
	require.NoError(t, err)
	require.Equal(t, 41, r)
	require.Equal(t, "41", string(m.Reply))

	var again *db.ReplayError
	_, err = db.InTenantOnce(t.Context(), l, markOf("k", "r", now), effect)
	require.ErrorAs(t, err, &again)
	require.Equal(t, "41", string(again.Reply))
	_, err = db.InTenantOnce(t.Context(), l, markOf("k", "other", now), effect)
	require.Equal(t, "IDEMPOTENCY_KEY_REUSED", apperr.ReasonOf(err))
	require.Equal(t, 1, ran)

	// After a day the key is new again, swept or not.
	later := now.Add(db.MarkTTL)
	r, err = db.InTenantOnce(t.Context(), l, markOf("k", "other", later), effect)
	require.NoError(t, err)
	require.Equal(t, 42, r)
	n, err := db.SweepTenantMarks(t.Context(), l, later, 100)
	require.NoError(t, err)
	require.Zero(t, n, "the mark is the later call's now")
	n, err = db.SweepTenantMarks(t.Context(), l, later.Add(db.MarkTTL), 100)
	require.NoError(t, err)
	require.Equal(t, 1, n)
}

// Repetitions that meet in the database say nothing about the first call.
func TestOnce_ARepetitionBesideAnotherIsAnsweredFromTheMark(t *testing.T) {
	t.Parallel()
	in := testdb.New(t)
	_, l := in.ActiveTenant(t, "acme")
	now := time.Now()
	effect := func(db.TenantTx) (int, error) { return 41, nil }
	_, err := db.InTenantOnce(t.Context(), l, markOf("k", "r", now), effect)
	require.NoError(t, err)
	scope := sha256.Sum256([]byte("k"))
	_, err = db.InTenant(t.Context(), l, func(other db.TenantTx) (int, error) {
		if _, err := other.SQL().ExecContext(t.Context(), `SELECT pg_advisory_xact_lock($1)`, int64(binary.BigEndian.Uint64(scope[:8]))); err != nil {
			return 0, err
		}
		var again *db.ReplayError
		_, err := db.InTenantOnce(t.Context(), l, markOf("k", "r", now), effect)
		require.ErrorAs(t, err, &again, "%v", err)
		require.Equal(t, "41", string(again.Reply))
		return 0, nil
	})
	require.NoError(t, err)
}

func TestOnce_AnEffectThatRollsBackLeavesNoMark(t *testing.T) {
	t.Parallel()
	in := testdb.New(t)
	now := time.Now()
	_, err := db.InCentralOnce(t.Context(), in.Central, markOf("k", "r", now), func(db.CentralTx) (int, error) { return 0, errors.New("no") })
	require.ErrorContains(t, err, "no")
	bad := markOf("k", "r", now)
	bad.Encode = func(int) ([]byte, error) { return make([]byte, 64<<10+1), nil }
	_, err = db.InCentralOnce(t.Context(), in.Central, bad, func(db.CentralTx) (int, error) { return 1, nil })
	require.ErrorContains(t, err, "65537 bytes")
	r, err := db.InCentralOnce(t.Context(), in.Central, markOf("k", "r", now), func(db.CentralTx) (int, error) { return 7, nil })
	require.NoError(t, err)
	require.Equal(t, 7, r)
}

func TestOnce_ParallelCallsRunOneEffect(t *testing.T) {
	t.Parallel()
	in := testdb.New(t)
	_, l := in.ActiveTenant(t, "acme")
	now := time.Now()
	var mu sync.Mutex
	var wg sync.WaitGroup
	outcomes := map[string]int{}
	for range 30 {
		wg.Go(func() {
			_, err := db.InTenantOnce(context.Background(), l, markOf("k", "r", now), func(tx db.TenantTx) (int, error) {
				_, err := tx.SQL().ExecContext(context.Background(), `SELECT pg_sleep(0.05)`)
				return 1, err
			})
			var again *db.ReplayError
			outcome := apperr.ReasonOf(err)
			if err == nil {
				outcome = "ran"
			} else if errors.As(err, &again) {
				outcome = "replayed"
			}
			mu.Lock()
			defer mu.Unlock()
			outcomes[outcome]++
		})
	}
	wg.Wait()
	require.Equal(t, 1, outcomes["ran"], "%v", outcomes)
	require.Equal(t, 30, outcomes["ran"]+outcomes["replayed"]+outcomes["IDEMPOTENCY_IN_FLIGHT"], "%v", outcomes)
}
