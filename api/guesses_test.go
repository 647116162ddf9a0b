package api

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"
)

// besiege guesses at an address until no wait helps.
func (o *org) besiege(t *testing.T, email string) {
	t.Helper()
	for range 6 {
		o.login(t, email, newPassword).refused(t, http.StatusUnauthorized, "LOGIN_FAILED")
	}
	hash := o.lease(t).Key.AddressHash(email)
	o.run(t, `UPDATE login_counters SET failures = 100 WHERE kind = 'stranger' AND subject_hash = $1`, hash)
	require.Equal(t, 100, o.guesses(t, email))
}

// guesses are the strangers' that count against an address.
func (o *org) guesses(t *testing.T, email string) int {
	t.Helper()
	return o.count(t, `SELECT coalesce(sum(failures), 0) FROM login_counters WHERE kind = 'stranger' AND subject_hash = $1`, o.lease(t).Key.AddressHash(email))
}

// Whoever opens a mail to the address is let in at once, whatever strangers
// guessed before. Planted, each by itself: CreateUser that leaves the count;
// move that leaves it, or clears that of the address before. An undo locks the
// password until a reset, which clears the count too: so the row is looked at.
func TestLogin_AnOpenedMailForgetsWhatStrangersGuessedAtItsAddress(t *testing.T) {
	t.Parallel()
	o := newOrg(t)
	o.besiege(t, "other@acme.example")

	o.besiege(t, "mia@acme.example")
	a := o.ask(t, o.owner, "POST", "/v1/invitations", object{"email": "Mia@acme.example", "role_ids": []string{o.role(t, "member")}})
	require.Equal(t, http.StatusOK, a.status, a.body)
	page := o.link(t, o.id, "Mia@acme.example")
	require.Equal(t, http.StatusOK, o.do(t, call{method: "GET", host: o.host, path: page}).status)
	require.Equal(t, 100, o.guesses(t, "mia@acme.example"), "looking proves nothing")
	o.fillIn(t, o.host, page, url.Values{"name": {"Mia"}, "password": {goodPassword}})
	require.Equal(t, http.StatusOK, o.login(t, "mia@acme.example", goodPassword).status, "invited")

	o.besiege(t, "jo@acme.example")
	jo := o.join(t, "jo") // logs in

	o.besiege(t, "joanna@new.example")
	require.Equal(t, http.StatusOK, o.press(t, o.changeTo(t, jo, "joanna@new.example"), nil).status)
	require.Equal(t, http.StatusOK, o.login(t, "joanna@new.example", goodPassword).status, "moved")

	o.besiege(t, jo.email)
	require.Equal(t, http.StatusOK, o.press(t, o.link(t, o.id, jo.email), nil).status)
	require.Zero(t, o.guesses(t, jo.email), "moved back")
	require.Equal(t, 100, o.guesses(t, "other@acme.example"), "nobody has opened a mail there")
}
