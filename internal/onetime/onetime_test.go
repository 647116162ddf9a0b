package onetime_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"tenantry/internal/apperr"
	"tenantry/internal/clock"
	"tenantry/internal/db"
	"tenantry/internal/ids"
	"tenantry/internal/onetime"
	"tenantry/internal/testdb"
)

func mint(t *testing.T, l *db.Lease, subject uuid.UUID) string {
	t.Helper()
	token, err := db.InTenant(t.Context(), l, func(tx db.TenantTx) (string, error) {
		now := clock.System()
		return onetime.Mint(t.Context(), tx, onetime.Invitation, subject, now, now.Add(time.Hour))
	})
	require.NoError(t, err)
	return token
}

func redeem(t *testing.T, l *db.Lease, purpose, token string, now time.Time) (uuid.UUID, error) {
	return db.InTenant(t.Context(), l, func(tx db.TenantTx) (uuid.UUID, error) {
		return onetime.Redeem(t.Context(), tx, purpose, token, now)
	})
}

func TestRedeem_OfFiftyParallelCallsOneSucceeds(t *testing.T) {
	t.Parallel()
	_, l := testdb.New(t).ActiveTenant(t, "acme")
	for range 5 {
		subject := ids.New()
		token := mint(t, l, subject)
		var ok atomic.Int32
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				got, err := redeem(t, l, onetime.Invitation, token, clock.System())
				if err == nil && got == subject {
					ok.Add(1)
				}
			})
		}
		wg.Wait()
		require.EqualValues(t, 1, ok.Load())
	}
}

func TestRedeem_RefusesWhatIsNotThisToken(t *testing.T) {
	t.Parallel()
	in := testdb.New(t)
	_, l := in.ActiveTenant(t, "acme")
	_, other := in.ActiveTenant(t, "globex")
	token := mint(t, l, ids.New())
	now := clock.System()
	for name, call := range map[string]func() error{
		"another purpose": func() error { _, err := redeem(t, l, onetime.VerifyEmail, token, now); return err },
		"another tenant":  func() error { _, err := redeem(t, other, onetime.Invitation, token, now); return err },
		"expired":         func() error { _, err := redeem(t, l, onetime.Invitation, token, now.Add(2*time.Hour)); return err },
		"truncated":       func() error { _, err := redeem(t, l, onetime.Invitation, token[:42], now); return err },
		"padded":          func() error { _, err := redeem(t, l, onetime.Invitation, token+"=", now); return err },
		"random":          func() error { _, err := redeem(t, l, onetime.Invitation, "A"+token[1:42]+"A", now); return err },
		"empty":           func() error { _, err := redeem(t, l, onetime.Invitation, "", now); return err },
	} {
		require.Equal(t, "TOKEN_INVALID", apperr.ReasonOf(call()), name)
	}
	_, err := redeem(t, l, onetime.Invitation, token, now)
	require.NoError(t, err, "the refusals have used nothing")
}

func TestRedeem_ARollbackGivesTheTokenBack(t *testing.T) {
	t.Parallel()
	_, l := testdb.New(t).ActiveTenant(t, "acme")
	token := mint(t, l, ids.New())
	_, err := db.InTenant(t.Context(), l, func(tx db.TenantTx) (int, error) {
		_, err := onetime.Redeem(t.Context(), tx, onetime.Invitation, token, clock.System())
		require.NoError(t, err)
		return 0, apperr.New(apperr.Precondition, "USER_LIMIT", "x")
	})
	require.Error(t, err)
	_, err = redeem(t, l, onetime.Invitation, token, clock.System())
	require.NoError(t, err)
}
