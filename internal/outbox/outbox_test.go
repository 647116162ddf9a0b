package outbox_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tenantry/internal/clock"
	"tenantry/internal/db"
	"tenantry/internal/ids"
	"tenantry/internal/outbox"
	"tenantry/internal/testdb"
)

// A link that was minted may be in a mailbox already, or is about to be: its
// row is carried out whatever else was asked for. Planted: Crowded that does
// not look at the token.
func TestCrowded_SparesARowWhoseLinkWasMinted(t *testing.T) {
	t.Parallel()
	_, l := testdb.New(t).ActiveTenant(t, "acme")
	now, hash := clock.System(), l.Key.AddressHash("jo@acme.example")
	_, err := db.InTenant(t.Context(), l, func(tx db.TenantTx) (struct{}, error) {
		mail := func(at time.Time) outbox.Row {
			m := outbox.MailIntent{Template: "password_reset", Tenant: l.Tenant, SubjectID: ids.New(), AddressHash: hash}
			require.NoError(t, outbox.Mail(t.Context(), tx, at, m))
			rows, err := outbox.Claim(t.Context(), tx, outbox.KindMail, at, 1)
			require.NoError(t, err)
			require.Len(t, rows, 1)
			return rows[0]
		}
		crowded := func(r outbox.Row) bool {
			yes, err := outbox.Crowded(t.Context(), tx, r, now, time.Minute)
			require.NoError(t, err)
			return yes
		}
		first := mail(now.Add(-10 * time.Second))
		second := mail(now)
		require.False(t, crowded(first))
		require.True(t, crowded(second), "one waits")
		second.SealedToken = []byte("sealed")
		require.False(t, crowded(second))
		second.SealedToken = nil
		require.NoError(t, outbox.Finish(t.Context(), tx, first.ID, now.Add(-59*time.Second)))
		require.True(t, crowded(second), "one was sent")
		require.NoError(t, outbox.Finish(t.Context(), tx, first.ID, now.Add(-time.Minute)))
		require.False(t, crowded(second), "a minute ago")
		require.NoError(t, outbox.Drop(t.Context(), tx, first.ID, now))
		require.False(t, crowded(second), "nothing was sent")
		return struct{}{}, nil
	})
	require.NoError(t, err)
}
