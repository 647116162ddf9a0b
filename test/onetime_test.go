package test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tenantry/internal/systest"
)

// TestOneTimeValues_RedeemOnce redeems a link fifty times at once.
func TestOneTimeValues_RedeemOnce(t *testing.T) {
	t.Parallel()
	s := shared(t)
	ctx := within(t, 2*time.Minute)
	o := systest.NewOrder("one-time").Open()
	op, err := s.Provision(ctx, o)
	require.NoError(t, err)
	database, err := systest.Value[string](ctx, s, "", `SELECT database_name FROM tenants WHERE id = $1`, op.TenantID)
	require.NoError(t, err)
	users := func() int64 {
		n, err := systest.Value[int64](ctx, s, database, `SELECT count(*) FROM users`)
		require.NoError(t, err)
		return n
	}

	link, err := s.Link(ctx, o.OwnerEmail, "/m/invitation")
	require.NoError(t, err)
	token, err := systest.Token(link)
	require.NoError(t, err)
	winner := onlyOne(t, func(i int) (systest.Answer, error) {
		return s.Post(ctx, o.Slug, "/v1/invitations:accept", "", map[string]string{
			"token": token, "name": fmt.Sprintf("Owner %d", i), "password": fmt.Sprintf("%s, number %d", password, i),
		})
	})
	require.EqualValues(t, 1, users())
	access, err := s.Login(ctx, o.Slug, o.OwnerEmail, fmt.Sprintf("%s, number %d", password, winner))
	require.NoError(t, err, "the password is the winner's")
	require.Equal(t, fmt.Sprintf("Owner %d", winner), whoAmI(t, s, o.Slug, access).User.Name)

	register(t, s, o.Slug, "once@one-time.example")
	link, err = s.Link(ctx, "once@one-time.example", "/m/verify")
	require.NoError(t, err)
	token, err = systest.Token(link)
	require.NoError(t, err)
	onlyOne(t, func(int) (systest.Answer, error) {
		return s.Post(ctx, o.Slug, "/v1/auth/verify-email", "", map[string]string{"token": token})
	})
	require.EqualValues(t, 2, users())
	_, err = s.Login(ctx, o.Slug, "once@one-time.example", password)
	require.NoError(t, err)
}

// onlyOne wants exactly one success of fifty and answers which.
func onlyOne(t *testing.T, redeem func(int) (systest.Answer, error)) int {
	t.Helper()
	winner := -1
	for i, a := range inParallel(t, 50, redeem) {
		if a.Status == http.StatusOK {
			require.Equal(t, -1, winner, "a second success")
			winner = i
			continue
		}
		require.Contains(t, []string{"TOKEN_INVALID", "BUSY", "MAGIC_CODE_INVALID"}, a.Reason(), a.String())
	}
	require.NotEqual(t, -1, winner, "no success")
	return winner
}
