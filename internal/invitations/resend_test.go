package invitations_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tenantry/internal/apperr"
	"tenantry/internal/db"
	"tenantry/internal/invitations"
	"tenantry/internal/outbox"
	"tenantry/internal/rbac"
	"tenantry/internal/settings"
)

func TestResend_KillsTheOldLinksAndExtendsTheExpiry(t *testing.T) {
	t.Parallel()
	w := setup(t, settings.Document{})
	owner := w.person(t, "owner", rbac.Owner)
	inv := w.invite(t, owner, "mia@acme.example")
	old := w.token(t, inv)
	_, err := w.Resend(t.Context(), w.lease, owner, inv.ID, nil)
	require.Equal(t, "RATE_LIMITED", reason(err))
	e, _ := apperr.As(err)
	require.Equal(t, time.Minute, e.RetryAfter)
	require.NoError(t, w.Check(t.Context(), w.lease, old), "a refused resend kills nothing")

	w.Move(6 * 24 * time.Hour)
	resent := tally(5, func(int) error {
		_, err := w.Resend(t.Context(), w.lease, owner, inv.ID, nil)
		return err
	})
	require.Equal(t, map[string]int{"": 1, "RATE_LIMITED": 4}, resent, "one mail a minute, whoever asks at once")
	require.Equal(t, "TOKEN_INVALID", reason(w.accept(t, old)))
	inv, err = w.Get(t.Context(), w.lease, inv.ID)
	require.NoError(t, err)
	require.WithinDuration(t, w.Now().Add(invitations.TTL), inv.ExpiresAt, 0)
	fresh := w.token(t, inv)
	w.Move(6 * 24 * time.Hour)
	require.NoError(t, w.accept(t, fresh))
	_, err = w.Resend(t.Context(), w.lease, owner, inv.ID, nil)
	require.Equal(t, "INVITATION_NOT_OPEN", reason(err))
}

// What has not been sent yet is not sent beside the new mail: its link would
// be minted after the old ones died.
func TestResend_TakesThePlaceOfAMailThatWaits(t *testing.T) {
	t.Parallel()
	w := setup(t, settings.Document{})
	owner := w.person(t, "owner", rbac.Owner)
	inv := w.invite(t, owner, "mia@acme.example")
	w.Move(time.Hour)
	_, err := w.Resend(t.Context(), w.lease, owner, inv.ID, nil)
	require.NoError(t, err)
	w.within(t, func(tx db.TenantTx) error {
		rows, err := outbox.Claim(t.Context(), tx, outbox.KindMail, w.Now(), 10)
		require.Len(t, rows, 1)
		return err
	})
}

// Resending and accepting lock the same rows: none of them may be the victim
// of a deadlock, and exactly one link works.
func TestResendAndAccept_AtOnceNeverFailOnEachOther(t *testing.T) {
	t.Parallel()
	w := setup(t, settings.Document{})
	owner := w.person(t, "owner", rbac.Owner)
	for i := range 6 {
		inv := w.invite(t, owner, fmt.Sprintf("p%d@acme.example", i))
		token := w.token(t, inv)
		w.Move(time.Hour)
		outcomes := tally(4, func(j int) error {
			if j%2 == 0 {
				return w.accept(t, token)
			}
			_, err := w.Resend(t.Context(), w.lease, owner, inv.ID, nil)
			return err
		})
		for r := range outcomes {
			require.Contains(t, []string{"", "TOKEN_INVALID", "BUSY", "RATE_LIMITED", "INVITATION_NOT_OPEN"}, r)
		}
	}
}
