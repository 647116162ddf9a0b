package api

import (
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// changeTo asks for another address and answers the page of the mail there.
func (o *org) changeTo(t *testing.T, p person, email string) string {
	t.Helper()
	a := o.ask(t, p, "POST", "/v1/me:changeEmail", object{"email": email})
	require.Equal(t, http.StatusOK, a.status, a.body)
	require.JSONEq(t, `{}`, a.body)
	return o.link(t, o.id, email)
}

// Planted, each by itself: an undo that leaves the links of later changes, or
// leaves the changes themselves, or the notices that went to the thief; a reset
// link that outlives its mailbox; keys and a password that lock-down leaves. The first two cover for each other at
// the door, so the rows are looked at too.
func TestEmailChange_IsConfirmedThereAndUndoneFromHere(t *testing.T) {
	t.Parallel()
	o := newOrg(t)
	jo := o.join(t, "jo", "admin")
	page := o.changeTo(t, jo, "Joanna@New.example")
	require.True(t, strings.HasPrefix(page, "/m/email?"), page)
	require.Equal(t, http.StatusOK, o.login(t, jo.email, goodPassword).status, "nothing has changed yet")
	reset := tokenOf(o.resetLink(t, jo.email))

	require.Equal(t, http.StatusOK, o.press(t, page, nil).status)
	me := o.ask(t, jo, "GET", "/v1/me", nil)
	require.Equal(t, "Joanna@New.example", me.get(t, http.StatusOK, "user.email"), "the session goes on")
	o.login(t, jo.email, goodPassword).refused(t, http.StatusUnauthorized, "LOGIN_FAILED")
	require.Equal(t, http.StatusOK, o.login(t, "joanna@new.example", goodPassword).status)
	o.ask(t, person{}, "POST", "/v1/auth/reset-password", object{"token": reset, "password": newPassword}).refused(t, http.StatusBadRequest, "TOKEN_INVALID")
	o.resetLink(t, "joanna@new.example")

	// The thief goes on to a third address; the owner's link still takes it back.
	undo := o.link(t, o.id, jo.email)
	require.True(t, strings.HasPrefix(undo, "/m/email-undo?"), undo)
	require.Equal(t, http.StatusOK, o.press(t, o.changeTo(t, jo, "third@evil.example"), nil).status)
	thief := tokenOf(o.link(t, o.id, "joanna@new.example"))
	_, secret := (&organization{o, jo.token}).key(t, `{"name":"x",`+scopes("users.read")+`}`)
	notMe := tokenOf(o.link(t, o.id, "third@evil.example"))
	require.Equal(t, http.StatusOK, o.press(t, undo, nil).status)

	o.ask(t, jo, "GET", "/v1/me", nil).refused(t, http.StatusUnauthorized, "CREDENTIAL_INVALID")
	o.ask(t, person{token: secret}, "GET", "/v1/me", nil).refused(t, http.StatusUnauthorized, "CREDENTIAL_INVALID")
	o.login(t, jo.email, goodPassword).refused(t, http.StatusUnauthorized, "LOGIN_FAILED")
	o.ask(t, person{}, "POST", "/v1/auth/undo-email-change", object{"token": thief}).refused(t, http.StatusBadRequest, "TOKEN_INVALID")
	o.ask(t, person{}, "POST", "/v1/auth/not-me", object{"token": notMe}).refused(t, http.StatusBadRequest, "TOKEN_INVALID")
	require.Zero(t, o.count(t, `SELECT count(*) FROM one_time_values WHERE purpose = 'email_undo' AND used_at IS NULL`))
	require.Zero(t, o.count(t, `SELECT count(*) FROM email_changes WHERE undone_at IS NULL`))
	secured := o.link(t, o.id, jo.email)
	require.Contains(t, o.subjects(jo.email)[0], "is locked until")
	a := o.ask(t, person{}, "POST", "/v1/auth/reset-password", object{"token": tokenOf(secured), "password": newPassword})
	require.Equal(t, http.StatusOK, a.status, a.body)
	require.Equal(t, http.StatusOK, o.login(t, jo.email, newPassword).status)
	require.Len(t, o.audited(t, "user.email_change_undone"), 1)
}

// Planted: a second change that leaves the first.
func TestEmailChange_ANewerOneCancelsTheOneBefore(t *testing.T) {
	t.Parallel()
	o := newOrg(t)
	jo := o.join(t, "jo")
	first := tokenOf(o.changeTo(t, jo, "first@new.example"))
	second := tokenOf(o.changeTo(t, jo, "second@new.example"))
	o.ask(t, person{}, "POST", "/v1/auth/confirm-email-change", object{"token": first}).refused(t, http.StatusBadRequest, "TOKEN_INVALID")
	require.Equal(t, http.StatusOK, o.ask(t, person{}, "POST", "/v1/auth/confirm-email-change", object{"token": second}).status)
	// Cancelled before its mail was sent: none is.
	o.ask(t, jo, "POST", "/v1/me:changeEmail", object{"email": "third@new.example"})
	o.changeTo(t, jo, "fourth@new.example")
	require.Empty(t, o.mailbox.Messages("third@new.example"))
}

// Whoever asks learns nothing; whoever has the address is told. Planted: a
// draft that does not look who has it.
func TestEmailChange_AnAddressThatIsTakenGetsANoticeAndNoLink(t *testing.T) {
	t.Parallel()
	o := newOrg(t)
	jo, max := o.join(t, "jo"), o.join(t, "max")
	a := o.ask(t, jo, "POST", "/v1/me:changeEmail", object{"email": "MAX@acme.example"})
	require.Equal(t, http.StatusOK, a.status)
	require.JSONEq(t, `{}`, a.body)
	o.drain(t)
	newest := o.mailbox.Messages("MAX@acme.example")
	require.NotEmpty(t, newest)
	require.Equal(t, "Another account at acme Inc asked for your address", newest[len(newest)-1].Subject)
	require.NotContains(t, newest[len(newest)-1].Text, "token=")
	require.Zero(t, o.count(t, `SELECT count(*) FROM one_time_values WHERE purpose = 'email_change'`))
	require.Equal(t, http.StatusOK, o.login(t, max.email, goodPassword).status)
}

// Two people hold a link to one address. Planted: a violated constraint that
// is not told as a taken address. The look before the write is not what holds
// here, and leaving it out stays green: it keeps the address out of the
// server's log.
func TestEmailChange_OneAddressOneAccountUnderRaces(t *testing.T) {
	t.Parallel()
	o := newOrg(t)
	jo, max := o.join(t, "jo"), o.join(t, "max")
	for range 5 {
		tokens := []string{}
		for _, p := range []person{jo, max} {
			tokens = append(tokens, tokenOf(o.changeTo(t, p, "wanted@new.example")))
		}
		var wg sync.WaitGroup
		answers := make([]answer, len(tokens))
		for i, token := range tokens {
			wg.Go(func() {
				answers[i] = o.ask(t, person{}, "POST", "/v1/auth/confirm-email-change", object{"token": token})
			})
		}
		wg.Wait()
		won := 0
		for _, a := range answers {
			if a.status == http.StatusOK {
				won++
				continue
			}
			a.refused(t, http.StatusConflict, "ACCOUNT_EXISTS")
		}
		require.Equal(t, 1, won)
		require.Equal(t, 1, o.count(t, `SELECT count(*) FROM users WHERE email_normalized = 'wanted@new.example'`))
		o.run(t, `UPDATE users SET email = id || '@x.example', email_normalized = id || '@x.example', address_hash = NULL WHERE email_normalized = 'wanted@new.example'`)
		o.run(t, `UPDATE email_changes SET confirmed_at = NULL, expires_at = now()`)
	}
}

// Planted, each by itself: a lock-down that leaves the keys, the password, the
// devices, the changes that wait, or the links of other notices; a page whose
// GET acts. A link that is only checked stays green: locking down ends it too.
func TestNotMe_LocksTheAccountDown(t *testing.T) {
	t.Parallel()
	o := newOrg(t)
	jo := o.join(t, "jo", "admin")
	thief := person{token: o.logIn(t, o.host, jo.email)}
	page := o.link(t, o.id, jo.email)
	require.True(t, strings.HasPrefix(page, "/m/not-me?"), page)
	_, secret := (&organization{o, thief.token}).key(t, `{"name":"x",`+scopes("users.read")+`}`)
	change := tokenOf(o.changeTo(t, thief, "thief@evil.example"))
	other := tokenOf(o.link(t, o.id, jo.email))
	require.Equal(t, "A new API key acts for you at acme Inc", o.subjects(jo.email)[0])

	for range 2 {
		require.Equal(t, http.StatusOK, o.do(t, call{method: "HEAD", host: o.host, path: page}).status)
	}
	require.Equal(t, http.StatusOK, o.ask(t, thief, "GET", "/v1/me", nil).status, "looking locks nothing")
	a := o.press(t, page, nil)
	require.Equal(t, http.StatusOK, a.status, a.body)
	for _, token := range []string{jo.token, thief.token, secret} {
		o.ask(t, person{token: token}, "GET", "/v1/me", nil).refused(t, http.StatusUnauthorized, "CREDENTIAL_INVALID")
	}
	o.login(t, jo.email, goodPassword).refused(t, http.StatusUnauthorized, "LOGIN_FAILED")
	o.ask(t, person{}, "POST", "/v1/auth/confirm-email-change", object{"token": change}).refused(t, http.StatusBadRequest, "TOKEN_INVALID")
	o.ask(t, person{}, "POST", "/v1/auth/not-me", object{"token": other}).refused(t, http.StatusBadRequest, "TOKEN_INVALID")
	require.Equal(t, 2, o.count(t, `SELECT device_epoch FROM users WHERE id = $1`, jo.id))

	secured := o.link(t, o.id, jo.email)
	require.Equal(t, "Your account at acme Inc is locked until you choose a new password", o.subjects(jo.email)[0])
	require.Equal(t, http.StatusOK, o.press(t, secured, map[string][]string{"password": {newPassword}}).status)
	require.Equal(t, http.StatusOK, o.login(t, jo.email, newPassword).status)
	require.Len(t, o.audited(t, "user.locked_down"), 1)
}
