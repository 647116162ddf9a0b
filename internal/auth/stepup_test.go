package auth

import (
	"testing"

	"github.com/stretchr/testify/require"

	"tenantry/internal/apperr"
	"tenantry/internal/clock"
	"tenantry/internal/db"
)

// A call knows of the factor what its access token's session knew; one that
// was added since is not passed by. Planted: Raise that does not look.
func TestRaise_IsNotEnoughForAFactorThatWasAddedMeanwhile(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s, user := r.service(clock.System), r.account(t)
	ses := r.open(t, s, user).Session
	raise := func(aal int) (Tokens, error) {
		return db.InTenant(t.Context(), r.lease, func(tx db.TenantTx) (Tokens, error) {
			p := Proof{Entrance: Entrance{User: user, Revision: 1, Method: MethodPassword, AMR: []string{"pwd"}, AAL: aal}, subject: user[:]}
			return s.Raise(t.Context(), tx, r.entry, ses, p, Meta{})
		})
	}
	_, err := raise(OneFactor)
	require.NoError(t, err)
	_, err = r.lease.Database().Exec(t.Context(), `UPDATE users SET second_factor = true WHERE id = $1`, user)
	require.NoError(t, err)
	_, err = raise(OneFactor)
	require.Equal(t, "LOGIN_FAILED", apperr.ReasonOf(err), "%v", err)
	_, err = raise(TwoFactors)
	require.NoError(t, err)
}
