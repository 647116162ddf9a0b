package attempts_test

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"tenantry/internal/attempts"
	"tenantry/internal/clock"
	"tenantry/internal/db"
	"tenantry/internal/ids"
	"tenantry/internal/testdb"
)

func setup(t *testing.T) (*db.Lease, []byte) {
	t.Helper()
	_, l := testdb.New(t).ActiveTenant(t, "acme")
	return l, l.Key.AddressHash("jo@acme.example")
}

func reserve(t *testing.T, l *db.Lease, now time.Time, kind string, subject []byte, user *uuid.UUID) attempts.Verdict {
	t.Helper()
	v, err := attempts.Reserve(t.Context(), l, now, kind, subject, user)
	require.NoError(t, err)
	return v
}

func clear(t *testing.T, l *db.Lease, kind string, subject []byte) {
	t.Helper()
	_, err := db.InTenant(t.Context(), l, func(tx db.TenantTx) (struct{}, error) {
		return struct{}{}, attempts.Clear(t.Context(), tx, kind, subject, clock.System())
	})
	require.NoError(t, err)
}

func lockouts(t *testing.T, l *db.Lease) (n int) {
	t.Helper()
	require.NoError(t, l.Database().QueryRow(t.Context(), `SELECT count(*) FROM audit_log WHERE action = 'account.locked'`).Scan(&n))
	return n
}

// account makes a row of users.
func account(t *testing.T, l *db.Lease) uuid.UUID {
	t.Helper()
	id, key := ids.New(), ids.New()
	_, err := l.Database().Exec(t.Context(), `INSERT INTO subject_keys (id, sealed_key) VALUES ($1, '\x00')`, key)
	require.NoError(t, err)
	_, err = l.Database().Exec(t.Context(), `
		INSERT INTO users (id, subject_key_id, name, email, email_normalized, password_hash) VALUES ($1, $2, 'Mia', 'mia@acme.example', 'mia@acme.example', '')`, id, key)
	require.NoError(t, err)
	return id
}

// Planted, each by itself: no wait; no end at the hundred, where the table's
// own bound refuses with an error that is no verdict.
func TestReserve_FiveAreFreeThenTheWaitDoubles(t *testing.T) {
	t.Parallel()
	l, subject := setup(t)
	now := clock.System()
	for n := 1; n <= attempts.Free; n++ {
		require.Equal(t, attempts.Verdict{Allowed: true, Failures: n}, reserve(t, l, now, attempts.Stranger, subject, nil))
	}
	n, wait := attempts.Free, time.Second
	for ; n < attempts.Max; n++ {
		require.Equal(t, attempts.Verdict{Failures: n}, reserve(t, l, now.Add(wait-time.Microsecond), attempts.Stranger, subject, nil), "one instant early")
		now = now.Add(wait)
		require.Equal(t, attempts.Verdict{Allowed: true, Failures: n + 1}, reserve(t, l, now, attempts.Stranger, subject, nil), "after the wait")
		wait = min(2*wait, 15*time.Minute)
	}
	require.Equal(t, attempts.Verdict{Failures: attempts.Max}, reserve(t, l, now.AddDate(10, 0, 0), attempts.Stranger, subject, nil), "no wait opens a hundred")
	require.Equal(t, attempts.Max-attempts.Free+1, lockouts(t, l), "each lock-out has its row")
}

// Planted: a counter that is read without its row's lock.
func TestReserve_AStormOfParallelGuessesIsAtMostAHundred(t *testing.T) {
	t.Parallel()
	l, subject := setup(t)
	start := clock.System()
	var allowed, step atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			// Each call comes a quarter of an hour after the one before, in no
			// order: the waits refuse little, the hundred has to.
			for range 50 {
				now := start.Add(time.Duration(step.Add(1)) * 15 * time.Minute)
				v, err := attempts.Reserve(t.Context(), l, now, attempts.Stranger, subject, nil)
				if err == nil && v.Allowed {
					allowed.Add(1)
				}
			}
		})
	}
	wg.Wait()
	require.EqualValues(t, attempts.Max, allowed.Load())
}

func TestReserve_ParallelGuessesAtOneInstantAreTheFreeOnes(t *testing.T) {
	t.Parallel()
	l, subject := setup(t)
	now := clock.System()
	var allowed atomic.Int64
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if v, err := attempts.Reserve(t.Context(), l, now, attempts.Stranger, subject, nil); err == nil && v.Allowed {
				allowed.Add(1)
			}
		})
	}
	wg.Wait()
	require.EqualValues(t, attempts.Free, allowed.Load())
}

// Planted: a count whose transaction is rolled back. One that would share the
// transaction of what follows cannot be written: Reserve takes a lease.
func TestReserve_CountsSurviveARollbackOfWhatFollows(t *testing.T) {
	t.Parallel()
	l, subject := setup(t)
	now, broken := clock.System(), errors.New("the check breaks")
	for n := 1; n <= 3; n++ {
		_, err := db.InTenant(t.Context(), l, func(tx db.TenantTx) (struct{}, error) {
			require.Equal(t, n, reserve(t, l, now, attempts.Known, subject, nil).Failures)
			require.NoError(t, attempts.Clear(t.Context(), tx, attempts.Stranger, subject, now))
			return struct{}{}, broken
		})
		require.ErrorIs(t, err, broken)
	}
	require.Equal(t, 4, reserve(t, l, now, attempts.Known, subject, nil).Failures)
}

// Planted: Clear that does not look at the kind.
func TestClear_ForgetsItsOwnKindAndSubjectAlone(t *testing.T) {
	t.Parallel()
	l, subject := setup(t)
	now, other := clock.System(), l.Key.AddressHash("mia@acme.example")
	for range 7 {
		reserve(t, l, now, attempts.Stranger, subject, nil)
		reserve(t, l, now, attempts.Known, subject, nil)
		reserve(t, l, now, attempts.Stranger, other, nil)
	}
	clear(t, l, attempts.Known, subject)
	require.Equal(t, attempts.Verdict{Allowed: true, Failures: 1}, reserve(t, l, now, attempts.Known, subject, nil))
	require.Equal(t, attempts.Verdict{Failures: 5}, reserve(t, l, now, attempts.Stranger, subject, nil))
	require.Equal(t, attempts.Verdict{Failures: 5}, reserve(t, l, now, attempts.Stranger, other, nil))
}

// Planted: a wait that is believed however long it is.
func TestReserve_AClockThatWasAheadLocksNobodyForAnHour(t *testing.T) {
	t.Parallel()
	l, subject := setup(t)
	now := clock.System()
	for range 5 {
		reserve(t, l, now.Add(time.Hour), attempts.Stranger, subject, nil)
	}
	require.Equal(t, attempts.Verdict{Allowed: true, Failures: 6}, reserve(t, l, now, attempts.Stranger, subject, nil), "the hour was no wait of ours")
	require.False(t, reserve(t, l, now, attempts.Stranger, subject, nil).Allowed, "its own wait holds")
}

func TestReserve_TheLockOutNamesItsAccount(t *testing.T) {
	t.Parallel()
	l, _ := setup(t)
	user := ids.New()
	for range attempts.Free {
		reserve(t, l, clock.System(), attempts.MFA, attempts.OfUser(l.Key, user), &user)
	}
	var target uuid.UUID
	require.NoError(t, l.Database().QueryRow(t.Context(), `SELECT target_id FROM audit_log WHERE action = 'account.locked'`).Scan(&target))
	require.Equal(t, user, target)
	require.NotEqual(t, attempts.OfUser(l.Key, user), attempts.OfUser(l.Key, ids.New()))
}

// Planted: a sweep that takes the counts of accounts; one that takes the young.
func TestSweep_TakesOnlyWhatNobodyNeeds(t *testing.T) {
	t.Parallel()
	l, unknown := setup(t)
	user, gone := account(t, l), ids.New()
	now := clock.System()
	hash := l.Key.AddressHash
	old, young := now.Add(-25*time.Hour), now.Add(-23*time.Hour)
	reserve(t, l, old, attempts.Stranger, unknown, nil)
	reserve(t, l, old, attempts.Stranger, hash("gone@acme.example"), &gone)
	reserve(t, l, old, attempts.Stranger, hash("mia@acme.example"), &user)
	reserve(t, l, young, attempts.Stranger, hash("young@acme.example"), nil)
	n, err := attempts.Sweep(t.Context(), l, now, 1)
	require.NoError(t, err)
	require.Equal(t, 1, n, "the limit holds")
	n, err = attempts.Sweep(t.Context(), l, now, 10)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.Equal(t, 2, reserve(t, l, now, attempts.Stranger, hash("mia@acme.example"), &user).Failures, "an account's count waits for a success")
	require.Equal(t, 2, reserve(t, l, now, attempts.Stranger, hash("young@acme.example"), nil).Failures)
	require.Equal(t, 1, reserve(t, l, now, attempts.Stranger, unknown, nil).Failures, "swept")
}
