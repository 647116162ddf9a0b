package factors

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"tenantry/internal/clock"
	"tenantry/internal/db"
	"tenantry/internal/ids"
	"tenantry/internal/secrets"
	"tenantry/internal/testdb"
)

// person makes an account with a confirmed factor whose step is used.
func person(t *testing.T, l *db.Lease, step int64) uuid.UUID {
	t.Helper()
	id := ids.New()
	k, sealed, err := secrets.NewSubjectKey(l.Key)
	require.NoError(t, err)
	_, err = db.InTenant(t.Context(), l, func(tx db.TenantTx) (struct{}, error) {
		if err := tx.Ent().SubjectKey.Create().SetID(k.ID).SetSealedKey(sealed).Exec(t.Context()); err != nil {
			return struct{}{}, err
		}
		email := id.String() + "@acme.example"
		err := tx.Ent().User.Create().SetID(id).SetSubjectKeyID(k.ID).SetName("Mia").SetEmail(email).SetEmailNormalized(email).SetPasswordHash("x").Exec(t.Context())
		if err != nil {
			return struct{}{}, err
		}
		a := account{id: id, subjectKey: k.ID}
		if err := replacePending(t.Context(), tx, a, rfcSecret, clock.System()); err != nil {
			return struct{}{}, err
		}
		f, _, err := findFactor(t.Context(), tx, id)
		if err != nil {
			return struct{}{}, err
		}
		return struct{}{}, confirm(t.Context(), tx, a, f, step, clock.System())
	})
	require.NoError(t, err)
	return id
}

func take(ctx context.Context, t require.TestingT, l *db.Lease, id uuid.UUID, step int64) bool {
	ok, err := db.InTenant(ctx, l, func(tx db.TenantTx) (bool, error) { return takeStep(ctx, tx, id, step) })
	require.NoError(t, err)
	return ok
}

// Whatever clocks say and however codes are repeated: a step is taken once,
// and none after a newer one. Planted: LastStepLT turned into LastStepLTE, and
// left out.
func TestTakeStep_IsStrictlyIncreasingUnderAnyClock(t *testing.T) {
	t.Parallel()
	_, l := testdb.New(t).ActiveTenant(t, "acme")
	rapid.Check(t, func(r *rapid.T) {
		newest := rapid.Int64Range(1, 1000).Draw(r, "enrolled")
		id := person(t, l, newest)
		at := time.Unix(newest*period, 0)
		for range rapid.IntRange(1, 25).Draw(r, "attempts") {
			// Clocks that run, stand, jump an hour ahead or fall back.
			at = at.Add(time.Duration(rapid.SampledFrom([]int64{0, 1, 10, 30, 31, 60, -1, -30, -60, 3600, -3600}).Draw(r, "seconds")) * time.Second)
			if at.Unix() < period {
				at = time.Unix(period, 0)
			}
			step := stepAt(at) + rapid.Int64Range(-drift, drift).Draw(r, "drift")
			took := take(t.Context(), r, l, id, step)
			require.Equal(r, step > newest, took, "step %d after %d", step, newest)
			if took {
				newest = step
			}
		}
	})
}

func TestTakeStep_OfFiftyParallelOneTakesIt(t *testing.T) {
	t.Parallel()
	_, l := testdb.New(t).ActiveTenant(t, "acme")
	id := person(t, l, 1)
	for round := int64(2); round < 42; round++ {
		var won atomic.Int64
		var all sync.WaitGroup
		begin := make(chan struct{})
		for range 50 {
			all.Go(func() {
				<-begin
				ok, err := db.InTenant(t.Context(), l, func(tx db.TenantTx) (bool, error) { return takeStep(t.Context(), tx, id, round) })
				if err == nil && ok {
					won.Add(1)
				}
			})
		}
		close(begin)
		all.Wait()
		require.EqualValues(t, 1, won.Load(), "step %d", round)
	}
}

// A code is taken once by any number of parallel calls. Planted: takeCode
// without its UsedAtIsNil.
func TestTakeCode_OfFiftyParallelOneTakesIt(t *testing.T) {
	t.Parallel()
	_, l := testdb.New(t).ActiveTenant(t, "acme")
	id := person(t, l, 1)
	codes := make([]hashed, backupCodes)
	for i := range codes {
		codes[i] = hashed{newBackup(i + 1), "hash"}
	}
	_, err := db.InTenant(t.Context(), l, func(tx db.TenantTx) (struct{}, error) {
		return struct{}{}, replaceCodes(t.Context(), tx, id, codes, clock.System())
	})
	require.NoError(t, err)
	for _, c := range codes {
		code, err := db.InTenantRead(t.Context(), l, func(tx db.TenantTx) (uuid.UUID, error) {
			code, _, err := findCode(t.Context(), tx, id, c.row)
			return code, err
		})
		require.NoError(t, err)
		var won atomic.Int64
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				ok, err := db.InTenant(t.Context(), l, func(tx db.TenantTx) (bool, error) { return takeCode(t.Context(), tx, code, clock.System()) })
				if err == nil && ok {
					won.Add(1)
				}
			})
		}
		all.Wait()
		require.EqualValues(t, 1, won.Load(), c.row)
	}
	left, err := db.InTenantRead(t.Context(), l, func(tx db.TenantTx) (int, error) { return countCodes(t.Context(), tx, id) })
	require.NoError(t, err)
	require.Zero(t, left)
}
