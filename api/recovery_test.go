package api

import (
	"fmt"
	"html"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"tenantry/internal/clock"
	"tenantry/internal/mail"
	"tenantry/internal/mailer"
	"tenantry/internal/recovery"
	"tenantry/internal/testdb"
)

const newPassword = "another horse, another battery"

// press opens a page of a mail and sends its form.
func (w *world) press(t *testing.T, page string, values url.Values) answer {
	t.Helper()
	a := w.do(t, call{method: "GET", host: acmeHost, path: page})
	require.Equal(t, http.StatusOK, a.status, a.body)
	fields := url.Values{}
	for _, m := range hidden.FindAllStringSubmatch(a.body, -1) {
		fields.Set(m[1], html.UnescapeString(m[2]))
	}
	for k := range values {
		fields.Set(k, values.Get(k))
	}
	path, _, _ := strings.Cut(page, "?")
	return w.do(t, call{
		method: "POST", host: acmeHost, path: path, body: fields.Encode(), contentType: "application/x-www-form-urlencoded",
		header: map[string]string{"Origin": origin},
	})
}

// run changes the tenant's database behind the API's back.
func (o *org) run(t *testing.T, query string, args ...any) {
	t.Helper()
	_, err := o.lease(t).Database().Exec(t.Context(), query, args...)
	require.NoError(t, err)
}

func (o *org) count(t *testing.T, query string, args ...any) (n int) {
	t.Helper()
	require.NoError(t, o.lease(t).Database().QueryRow(t.Context(), query, args...).Scan(&n))
	return n
}

// later lets the minute pass in which an address gets no second mail.
func (o *org) later(t *testing.T) {
	t.Helper()
	o.run(t, `UPDATE outbox SET done_at = done_at - interval '61 seconds', created_at = created_at - interval '61 seconds'`)
}

func (o *org) drain(t *testing.T) {
	t.Helper()
	_, err := o.mailer.DrainTenant(t.Context(), o.lease(t), 500)
	require.NoError(t, err)
}

func (o *org) login(t *testing.T, email, password string) answer {
	t.Helper()
	return o.ask(t, person{}, "POST", "/v1/auth/login", object{"email": email, "password": password})
}

// subjects are those of the mails to an address, the newest first.
func (o *org) subjects(to string) (out []string) {
	for _, m := range slices.Backward(o.mailbox.Messages(to)) {
		out = append(out, m.Subject)
	}
	return out
}

// resetLink asks for a reset and answers the page of its mail.
func (o *org) resetLink(t *testing.T, email string) string {
	t.Helper()
	o.later(t)
	a := o.ask(t, person{}, "POST", "/v1/auth/request-password-reset", object{"email": email})
	require.JSONEq(t, `{}`, a.body)
	page := o.link(t, o.id, email)
	require.True(t, strings.HasPrefix(page, "/m/reset?"), page)
	return page
}

// Planted, each by itself: a reset that leaves the changes that wait, or the
// revision, or the links of other mails; a newer mail that ends the link of the
// older. A link that is only checked, not redeemed, stays green: the reset ends
// all links of its account, this one among them.
func TestReset_SetsThePasswordAndEndsWhatTheOldOneOpened(t *testing.T) {
	t.Parallel()
	o := newOrg(t)
	jo := o.join(t, "jo")
	refresh := o.login(t, jo.email, goodPassword).get(t, http.StatusOK, "refresh_token")
	o.ask(t, jo, "POST", "/v1/me:changeEmail", object{"email": "thief@evil.example"})
	change := tokenOf(o.link(t, o.id, "thief@evil.example"))
	o.run(t, `UPDATE users SET password_locked = true WHERE id = $1`, jo.id)
	o.run(t, `INSERT INTO login_counters (id, kind, subject_hash, user_id, failures, updated_at) SELECT gen_random_uuid(), k, address_hash, id, 100, now()
		FROM users, unnest(ARRAY['stranger', 'known', 'mfa']) k WHERE id = $1`, jo.id)
	older := o.resetLink(t, jo.email)
	page := o.resetLink(t, jo.email)
	require.Equal(t, http.StatusOK, o.do(t, call{method: "GET", host: o.host, path: older}).status, "whoever asks again takes no link away")

	a := o.press(t, page, url.Values{"password": {"too short"}})
	require.Equal(t, http.StatusBadRequest, a.status)
	require.Contains(t, a.body, `aria-invalid="true"`)
	a = o.press(t, page, url.Values{"password": {newPassword}})
	require.Equal(t, http.StatusOK, a.status, a.body)
	require.Contains(t, a.body, "Log in")
	require.Empty(t, a.header.Get("Set-Cookie"))
	for _, spent := range []string{page, older} {
		require.Equal(t, http.StatusBadRequest, o.do(t, call{method: "GET", host: o.host, path: spent}).status, "they work once")
	}

	o.ask(t, jo, "GET", "/v1/me", nil).refused(t, http.StatusUnauthorized, "CREDENTIAL_INVALID")
	o.ask(t, person{}, "POST", "/v1/auth/refresh", object{"refresh_token": refresh}).refused(t, http.StatusUnauthorized, "REFRESH_INVALID")
	o.login(t, jo.email, goodPassword).refused(t, http.StatusUnauthorized, "LOGIN_FAILED")
	require.Equal(t, http.StatusOK, o.login(t, jo.email, newPassword).status)
	o.ask(t, person{}, "POST", "/v1/auth/confirm-email-change", object{"token": change}).refused(t, http.StatusBadRequest, "TOKEN_INVALID")
	require.Equal(t, 0, o.count(t, `SELECT coalesce(sum(failures), 0) FROM login_counters WHERE user_id = $1 AND kind <> 'mfa'`, jo.id))
	require.Equal(t, 100, o.count(t, `SELECT failures FROM login_counters WHERE user_id = $1 AND kind = 'mfa'`, jo.id), "the second factor keeps its count")
	require.Equal(t, 2, o.count(t, `SELECT device_epoch FROM users WHERE id = $1`, jo.id))
	require.Len(t, o.audited(t, "password.reset"), 1)
	o.drain(t)
	require.Contains(t, o.subjects(jo.email), "Your password at acme Inc was changed")
}

func TestReset_AnswersAlikeAndMailsOnlyWhoeverHasAnAccount(t *testing.T) {
	t.Parallel()
	o := newOrg(t)
	known, gone, locked := o.join(t, "known"), o.join(t, "gone"), o.join(t, "locked")
	o.run(t, `UPDATE users SET password_locked = true WHERE id = $1`, locked.id)
	o.ask(t, o.owner, "DELETE", "/v1/users/"+gone.id, nil, "If-Match", `"`+o.version(t, "/v1/users/"+gone.id)+`"`)
	o.ask(t, person{}, "POST", "/v1/auth/register", object{"name": "U", "email": "unverified@acme.example", "password": goodPassword})
	o.drain(t)
	o.offer(t)
	for path, extra := range map[string]object{"/v1/auth/request-password-reset": {}, "/v1/auth/magic-link": {"code_challenge": s256(verifier)}} {
		var first string
		for _, email := range []string{known.email, gone.email, locked.email, "unverified@acme.example", "nobody@acme.example", "  KNOWN@acme.example"} {
			before := len(o.mailbox.Messages(email))
			extra["email"] = strings.TrimSpace(email)
			a := o.ask(t, person{}, "POST", path, extra)
			require.Equal(t, http.StatusOK, a.status, a.body)
			if first == "" {
				first = mask(a.body)
			}
			require.Equal(t, shape(first), shape(mask(a.body)))
			o.drain(t)
			mailed := email == known.email || email == locked.email
			require.Equal(t, mailed, len(o.mailbox.Messages(email)) > before, "%s %s", path, email)
		}
	}
}

// shape leaves out what differs between two calls with one address, too.
func shape(body string) string {
	for _, key := range []string{`"confirmation_code":"`, `"request_id":"`, `"expire_time":"`} {
		if before, rest, ok := strings.Cut(body, key); ok {
			_, after, _ := strings.Cut(rest, `"`)
			body = before + key + after
		}
	}
	return body
}

// Somebody who asks all the time neither floods a mailbox nor keeps the mail
// from its owner. Planted: mails that wait, or that were sent, which do not
// count; mails that were dropped, which do.
func TestReset_AnAddressGetsOneMailAMinute(t *testing.T) {
	t.Parallel()
	o := newOrg(t)
	jo := o.join(t, "jo")
	resets := func() int { return strings.Count(strings.Join(o.subjects(jo.email), "|"), "Choose a new password") }
	ask := func() {
		require.Equal(t, http.StatusOK, o.ask(t, person{}, "POST", "/v1/auth/request-password-reset", object{"email": jo.email}).status)
	}
	for range 5 {
		ask()
	}
	o.drain(t)
	require.Equal(t, 1, resets(), "five at once")
	for range 5 {
		ask()
		o.drain(t)
	}
	require.Equal(t, 1, resets(), "one after the other")
	// 40 seconds on, and again: those that were dropped do not count.
	for range 2 {
		o.run(t, `UPDATE outbox SET done_at = done_at - interval '40 seconds', created_at = created_at - interval '40 seconds'`)
		ask()
		o.drain(t)
	}
	require.Equal(t, 2, resets())
}

// Planted: a worker that gives no hashes.
func TestReset_FindsTheAccountsOfAnOlderRelease(t *testing.T) {
	t.Parallel()
	o := newOrg(t)
	jo, max := o.join(t, "jo"), o.join(t, "max")
	o.run(t, `UPDATE users SET address_hash = NULL`)
	o.resetLink(t, jo.email)
	require.Zero(t, o.count(t, `SELECT count(*) FROM users WHERE address_hash IS NULL`))
	o.resetLink(t, max.email)
}

// drainInVain is drain while the mail server is down.
func (o *org) drainInVain(t *testing.T) {
	t.Helper()
	nowhere, err := mail.NewSender("smtp://127.0.0.1:1", "no-reply@tenantry.example")
	require.NoError(t, err)
	draft := recovery.New(recovery.Deps{Now: clock.System}).DraftReset
	broken := mailer.New(mailer.Deps{
		Directory: o.directory, URLs: o.server.urls, Sender: nowhere, Now: clock.System, Log: testdb.Log(),
		Drafts: map[string]mailer.DraftFunc{recovery.MailReset: draft, recovery.MailSecured: draft},
	})
	o.run(t, `UPDATE outbox SET due_at = now() WHERE done_at IS NULL`)
	_, err = broken.DrainTenant(t.Context(), o.lease(t), 500)
	require.NoError(t, err)
}

func TestReset_AMailThatCannotBeSentArrivesLaterWithTheSameLink(t *testing.T) {
	t.Parallel()
	o := newOrg(t)
	jo := o.join(t, "jo")
	for range 3 { // asked again while the first waits: one mail, one token
		o.ask(t, person{}, "POST", "/v1/auth/request-password-reset", object{"email": jo.email})
		o.drainInVain(t)
	}
	require.Equal(t, 1, o.count(t, `SELECT count(*) FROM outbox WHERE done_at IS NULL`))
	require.Equal(t, 1, o.count(t, `SELECT count(*) FROM one_time_values WHERE purpose = 'password_reset'`))
	o.run(t, `UPDATE outbox SET due_at = now() WHERE done_at IS NULL`)
	page := o.link(t, o.id, jo.email)
	require.Equal(t, 1, o.count(t, `SELECT count(*) FROM one_time_values WHERE purpose = 'password_reset'`))
	require.Equal(t, http.StatusOK, o.press(t, page, url.Values{"password": {newPassword}}).status)
}

// A link of half an hour may be dead before the mail server is back. Whoever was
// locked out has no other way in. Planted: a draft that goes on with the dead
// link, that drops the mail, that looks at another link of the account.
func TestReset_WhoeverWasLockedOutGetsAnotherLink(t *testing.T) {
	t.Parallel()
	o := newOrg(t)
	jo := o.join(t, "jo")
	o.logIn(t, o.host, jo.email) // from a new device
	notMe := tokenOf(o.link(t, o.id, jo.email))
	require.Equal(t, http.StatusOK, o.ask(t, person{}, "POST", "/v1/auth/not-me", object{"token": notMe}).status)
	o.drainInVain(t)
	require.Equal(t, 1, o.count(t, `SELECT count(*) FROM one_time_values WHERE purpose = 'password_reset'`))
	o.run(t, `UPDATE one_time_values SET expires_at = now() WHERE purpose = 'password_reset'`)
	o.run(t, `INSERT INTO one_time_values (id, purpose, token_hash, subject_id, created_at, expires_at)
		VALUES (gen_random_uuid(), 'password_reset', sha256('another'), $1, now(), now() + interval '1 hour')`, jo.id)
	o.run(t, `UPDATE outbox SET due_at = now() WHERE done_at IS NULL`)
	page := o.link(t, o.id, jo.email)
	require.Contains(t, o.subjects(jo.email)[0], "is locked until")
	require.Equal(t, http.StatusOK, o.press(t, page, url.Values{"password": {newPassword}}).status)
	require.Equal(t, http.StatusOK, o.login(t, jo.email, newPassword).status)
}

// Planted, each by itself: a change that revokes nobody, that revokes its own
// session too, that leaves the revision or the links of reset mails.
func TestChangePassword_KeepsTheSessionAndEndsTheOthers(t *testing.T) {
	t.Parallel()
	o := newOrg(t)
	jo := o.join(t, "jo")
	elsewhere := o.login(t, jo.email, goodPassword)
	other := person{token: elsewhere.get(t, http.StatusOK, "access_token")}
	mine := o.login(t, jo.email, goodPassword)
	me := person{token: mine.get(t, http.StatusOK, "access_token")}
	link := tokenOf(o.resetLink(t, jo.email))

	o.ask(t, me, "POST", "/v1/me:changePassword", object{"password": "too short"}).refused(t, http.StatusBadRequest, "PASSWORD_TOO_SHORT")
	a := o.ask(t, me, "POST", "/v1/me:changePassword", object{"password": newPassword})
	renewed := person{token: a.get(t, http.StatusOK, "access_token")}
	require.Equal(t, mine.get(t, http.StatusOK, "session_id"), a.get(t, http.StatusOK, "session_id"))
	require.Equal(t, http.StatusOK, o.ask(t, renewed, "GET", "/v1/me", nil).status)
	for _, old := range []person{me, other, jo} {
		o.ask(t, old, "GET", "/v1/me", nil).refused(t, http.StatusUnauthorized, "CREDENTIAL_INVALID")
	}
	a = o.ask(t, person{}, "POST", "/v1/auth/refresh", object{"refresh_token": mine.get(t, http.StatusOK, "refresh_token")})
	require.Equal(t, http.StatusOK, a.status, "the session goes on")
	a = o.ask(t, person{}, "POST", "/v1/auth/refresh", object{"refresh_token": elsewhere.get(t, http.StatusOK, "refresh_token")})
	a.refused(t, http.StatusUnauthorized, "REFRESH_INVALID")
	o.login(t, jo.email, goodPassword).refused(t, http.StatusUnauthorized, "LOGIN_FAILED")
	require.Equal(t, http.StatusOK, o.login(t, jo.email, newPassword).status)
	o.ask(t, person{}, "POST", "/v1/auth/reset-password", object{"token": link, "password": goodPassword}).refused(t, http.StatusBadRequest, "TOKEN_INVALID")
	o.drain(t)
	require.Contains(t, o.subjects(jo.email), "Your password at acme Inc was changed")
	require.Len(t, o.audited(t, "password.changed"), 1)
}

// Eight characters are enough beside a second factor, and the account knows
// that they are good only there.
func TestPasswords_AreAsLongAsTheirAccountNeeds(t *testing.T) {
	t.Parallel()
	o := newOrg(t)
	jo := o.join(t, "jo")
	short := func(password string) answer {
		return o.ask(t, person{}, "POST", "/v1/auth/reset-password", object{"token": tokenOf(o.resetLink(t, jo.email)), "password": password})
	}
	require.Contains(t, short("12 chars abc").refused(t, http.StatusBadRequest, "PASSWORD_TOO_SHORT").FieldsSaid["password"], "15")
	o.run(t, `UPDATE users SET second_factor = true WHERE id = $1`, jo.id)
	require.Contains(t, short("7 chars").refused(t, http.StatusBadRequest, "PASSWORD_TOO_SHORT").FieldsSaid["password"], "8")
	require.Equal(t, http.StatusOK, short("vq7 lmö!").status)
	require.Equal(t, 1, o.count(t, `SELECT count(*) FROM users WHERE id = $1 AND password_short`, jo.id))
	require.Equal(t, http.StatusOK, short(newPassword).status)
	require.Equal(t, 1, o.count(t, `SELECT count(*) FROM users WHERE id = $1 AND NOT password_short`, jo.id))
}

func TestRecovery_BadTokensReadAlikeEverywhere(t *testing.T) {
	t.Parallel()
	o := newOrg(t)
	jo := o.join(t, "jo")
	foreign := tokenOf(o.resetLink(t, jo.email)) // good, for another purpose
	for _, path := range []string{"confirm-email-change", "undo-email-change", "not-me", "reset-password"} {
		for _, token := range []string{"x", foreign[:42], foreign + "A", "\u0661\u0662", strings.Repeat("A", 43), " " + foreign, foreign} {
			if path == "reset-password" && token == foreign {
				continue
			}
			body := object{"token": token}
			if path == "reset-password" {
				body["password"] = newPassword
			}
			p := o.ask(t, person{}, "POST", "/v1/auth/"+path, body, "Accept-Language", "de").refused(t, http.StatusBadRequest, "TOKEN_INVALID")
			require.Equal(t, "de", p.Locale, fmt.Sprint(path, token))
		}
	}
}
