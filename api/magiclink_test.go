package api

import (
	"database/sql"
	"html"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"

	"github.com/stretchr/testify/require"
)

// offer makes the tenant offer login by mail.
func (o *org) offer(t *testing.T) {
	t.Helper()
	o.run(t, `UPDATE settings SET document = jsonb_set(document::jsonb, '{app_url}', '"https://app.acme.example/in?lang=de"')`)
}

// asked is a request for a link, with the page of its mail.
type asked struct{ id, code, page string }

func (o *org) askForLink(t *testing.T, email string) asked {
	t.Helper()
	o.later(t)
	a := o.ask(t, person{}, "POST", "/v1/auth/magic-link", object{"email": email, "code_challenge": s256(verifier)})
	r := asked{id: a.get(t, http.StatusOK, "request_id"), code: a.get(t, http.StatusOK, "confirmation_code")}
	r.page = o.link(t, o.id, email)
	require.True(t, strings.HasPrefix(r.page, "/m/magic?"), r.page)
	return r
}

func (o *org) exchange(t *testing.T, body object) answer {
	t.Helper()
	if body["code_verifier"] == nil {
		body["code_verifier"] = verifier
	}
	return o.ask(t, person{}, "POST", "/v1/auth/exchange-code", body)
}

// codeIn is the code in the address that the page leads to.
func codeIn(t *testing.T, a answer) string {
	t.Helper()
	require.Equal(t, http.StatusSeeOther, a.status, a.body)
	u, err := url.Parse(a.header.Get("Location"))
	require.NoError(t, err)
	require.Equal(t, "https://app.acme.example/in", u.Scheme+"://"+u.Host+u.Path)
	require.Equal(t, "de", u.Query().Get("lang"), "what app_url has stays")
	return u.Query().Get("code")
}

func TestMagicLink_LogsInTheBrowserThatOpensIt(t *testing.T) {
	t.Parallel()
	o := newOrg(t)
	o.offer(t)
	jo := o.join(t, "jo")
	r := o.askForLink(t, jo.email)
	show := o.do(t, call{method: "GET", host: o.host, path: r.page})
	require.Contains(t, show.header.Get("Content-Security-Policy"), "form-action 'self' https://app.acme.example;", "Chromium holds the redirect against it")
	code := codeIn(t, o.press(t, r.page, url.Values{"act": {"here"}}))
	require.Equal(t, http.StatusBadRequest, o.do(t, call{method: "GET", host: o.host, path: r.page}).status, "it works once")
	a := o.exchange(t, object{"code": code})
	require.Equal(t, jo.id, o.ask(t, person{token: a.get(t, http.StatusOK, "access_token")}, "GET", "/v1/me", nil).get(t, http.StatusOK, "user.id"))
	o.exchange(t, object{"code": code}).refused(t, http.StatusUnauthorized, "MAGIC_CODE_INVALID")
	o.exchange(t, object{"request_id": r.id}).refused(t, http.StatusUnauthorized, "MAGIC_CODE_INVALID")
	require.Equal(t, 1, o.count(t, `SELECT count(*) FROM login_events WHERE method = 'magic_link' AND outcome = 'success'`))
}

// Planted: a wrong verifier that gives the code back; one that is not compared.
func TestMagicLink_AWrongVerifierUsesTheCodeUp(t *testing.T) {
	t.Parallel()
	o := newOrg(t)
	o.offer(t)
	jo := o.join(t, "jo")
	code := codeIn(t, o.press(t, o.askForLink(t, jo.email).page, url.Values{"act": {"here"}}))
	o.exchange(t, object{"code": code, "code_verifier": verifier + "x"}).refused(t, http.StatusUnauthorized, "MAGIC_CODE_INVALID")
	o.exchange(t, object{"code": code}).refused(t, http.StatusUnauthorized, "MAGIC_CODE_INVALID")
	require.Equal(t, 1, o.count(t, `SELECT count(*) FROM login_events WHERE method = 'magic_link' AND outcome = 'failure'`))
}

// Planted, each by itself: a request that does not compare the verifier; a
// second exchange that nothing refuses.
func TestMagicLink_TheShownCodeApprovesTheOtherBrowser(t *testing.T) {
	t.Parallel()
	o := newOrg(t)
	o.offer(t)
	jo := o.join(t, "jo")
	r := o.askForLink(t, jo.email)
	require.Len(t, r.code, 6)
	require.False(t, strings.ContainsAny(r.code, "01OILAEU"), r.code)
	o.exchange(t, object{"request_id": r.id}).refused(t, http.StatusBadRequest, "MAGIC_LINK_PENDING")
	o.exchange(t, object{"request_id": r.id, "code_verifier": verifier + "x"}).refused(t, http.StatusUnauthorized, "MAGIC_CODE_INVALID")

	a := o.press(t, r.page, url.Values{"act": {"code"}, "code": {"222222"}})
	require.Equal(t, http.StatusBadRequest, a.status)
	require.Contains(t, a.body, `id="code-error" role="alert"`)
	// As people type it: small letters, a gap, the wide letters of a Japanese keyboard.
	typed := strings.ToLower(r.code[:3]) + " " + strings.Map(wide, r.code[3:])
	a = o.press(t, r.page, url.Values{"act": {"code"}, "code": {typed}})
	require.Equal(t, http.StatusOK, a.status, a.body)
	require.Empty(t, a.header.Get("Location"), "this browser gets nothing")
	a = o.oneOfTwoPolls(t, r.id)
	require.Equal(t, http.StatusOK, o.ask(t, person{token: a.get(t, http.StatusOK, "access_token")}, "GET", "/v1/me", nil).status)
	o.exchange(t, object{"request_id": r.id}).refused(t, http.StatusUnauthorized, "MAGIC_CODE_INVALID")
}

// oneOfTwoPolls exchanges a request twice at once, and answers the one that
// gets the session. The row is locked until both have read it: neither knows
// of the other.
func (o *org) oneOfTwoPolls(t *testing.T, request string) answer {
	t.Helper()
	tx, err := o.lease(t).Database().BeginTx(t.Context(), nil)
	require.NoError(t, err)
	defer func() { _ = tx.Rollback() }()
	_, err = tx.ExecContext(t.Context(), `SELECT FROM magic_links WHERE id = $1 FOR UPDATE`, request)
	require.NoError(t, err)
	answers := make(chan answer, 2)
	for range 2 {
		go func() { answers <- o.exchange(t, object{"request_id": request}) }()
	}
	waitFor(t, tx, "magic_links", 2)
	require.NoError(t, tx.Commit())
	won, lost := <-answers, <-answers
	if won.status != http.StatusOK {
		won, lost = lost, won
	}
	lost.refused(t, http.StatusUnauthorized, "MAGIC_CODE_INVALID")
	return won
}

// waitFor waits until others want what tx has locked of a table.
func waitFor(t *testing.T, tx *sql.Tx, table string, others int) {
	t.Helper()
	require.Eventually(t, func() bool {
		var waiting int
		err := tx.QueryRowContext(t.Context(), `
			SELECT count(*) FROM pg_locks WHERE NOT granted AND (transactionid = pg_current_xact_id()::text::xid
				OR relation = $1::text::regclass AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))`, table).Scan(&waiting)
		return err == nil && waiting == others
	}, 20*time.Second, 10*time.Millisecond)
}

func wide(r rune) rune {
	if unicode.IsLetter(r) || unicode.IsDigit(r) {
		return r + 0xFEE0
	}
	return r
}

// Planted: tries that are not counted, or only with a right code; a link that
// its fifth try leaves.
func TestMagicLink_FiveWrongCodesKillTheLink(t *testing.T) {
	t.Parallel()
	o := newOrg(t)
	o.offer(t)
	jo := o.join(t, "jo")
	r := o.askForLink(t, jo.email)
	for i := range 5 {
		a := o.press(t, r.page, url.Values{"act": {"code"}, "code": {"222222"}})
		require.Equal(t, http.StatusBadRequest, a.status)
		require.Equal(t, i < 4, strings.Contains(a.body, "code-error"), "try %d", i+1)
	}
	require.Equal(t, http.StatusBadRequest, o.do(t, call{method: "GET", host: o.host, path: r.page}).status)
	o.exchange(t, object{"request_id": r.id}).refused(t, http.StatusBadRequest, "MAGIC_LINK_PENDING")
	require.Equal(t, 5, o.count(t, `SELECT tries FROM magic_links WHERE id = $1`, r.id))
}

// Of codes that are typed at once, five are looked at. Planted: a try that does
// not look how many there were; the table's own bound then answers in its
// place, with a 500.
func TestMagicLink_OfAStormOfCodesFiveAreTried(t *testing.T) {
	t.Parallel()
	o := newOrg(t)
	o.offer(t)
	r := o.askForLink(t, o.join(t, "jo").email)
	show := o.do(t, call{method: "GET", host: o.host, path: r.page})
	fields := url.Values{"act": {"code"}, "code": {"222222"}}
	for _, m := range hidden.FindAllStringSubmatch(show.body, -1) {
		fields.Set(m[1], html.UnescapeString(m[2]))
	}
	var storm sync.WaitGroup
	answers := make([]answer, 30)
	for i := range answers {
		storm.Go(func() {
			answers[i] = o.do(t, call{
				method: "POST", host: acmeHost, path: "/m/magic", body: fields.Encode(), contentType: "application/x-www-form-urlencoded",
				header: map[string]string{"Origin": origin},
			})
		})
	}
	storm.Wait()
	for _, a := range answers {
		require.Equal(t, http.StatusBadRequest, a.status, a.body)
	}
	require.Equal(t, 5, o.count(t, `SELECT tries FROM magic_links WHERE id = $1`, r.id))
	require.Equal(t, 5, o.count(t, `SELECT count(*) FROM login_events WHERE method = 'magic_link' AND outcome = 'failure'`))
}

// Planted: a draft that does not look for other mails.
func TestMagicLink_AnAddressGetsOneMailAMinute(t *testing.T) {
	t.Parallel()
	o := newOrg(t)
	o.offer(t)
	jo := o.join(t, "jo")
	before := len(o.mailbox.Messages(jo.email))
	for range 3 {
		o.ask(t, person{}, "POST", "/v1/auth/magic-link", object{"email": jo.email, "code_challenge": s256(verifier)}).get(t, http.StatusOK, "request_id")
		o.drain(t)
	}
	require.Equal(t, before+1, len(o.mailbox.Messages(jo.email)))
	o.askForLink(t, jo.email) // a minute later
}

// Planted: a mail that counts as two factors.
func TestMagicLink_OpensNothingWithoutTheSecondFactorAndNothingThatIsLocked(t *testing.T) {
	t.Parallel()
	o := newOrg(t)
	o.offer(t)
	jo := o.join(t, "jo")
	sessions := func() int { return o.count(t, `SELECT count(*) FROM sessions WHERE user_id = $1`, jo.id) }
	before := sessions()
	o.run(t, `UPDATE users SET second_factor = true WHERE id = $1`, jo.id)
	a := o.exchange(t, object{"code": codeIn(t, o.press(t, o.askForLink(t, jo.email).page, url.Values{"act": {"here"}}))})
	require.NotEmpty(t, a.get(t, http.StatusOK, "challenge.token"))
	require.Empty(t, a.get(t, http.StatusOK, "access_token"))
	o.run(t, `UPDATE users SET second_factor = false, password_locked = true WHERE id = $1`, jo.id)
	o.exchange(t, object{"code": codeIn(t, o.press(t, o.askForLink(t, jo.email).page, url.Values{"act": {"here"}}))}).refused(t, http.StatusUnauthorized, "MAGIC_CODE_INVALID")
	require.Equal(t, before, sessions())
}

func TestMagicLink_EndsInTime(t *testing.T) {
	t.Parallel()
	o := newOrg(t)
	body := object{"email": "jo@acme.example", "code_challenge": s256(verifier)}
	o.ask(t, person{}, "POST", "/v1/auth/magic-link", body).refused(t, http.StatusBadRequest, "MAGIC_LINK_UNAVAILABLE")
	o.offer(t)
	jo := o.join(t, "jo")
	r := o.askForLink(t, jo.email)
	code := codeIn(t, o.press(t, o.askForLink(t, jo.email).page, url.Values{"act": {"here"}}))
	o.run(t, `UPDATE one_time_values SET expires_at = expires_at - interval '60 seconds' WHERE purpose = 'magic_code'`)
	o.exchange(t, object{"code": code}).refused(t, http.StatusUnauthorized, "MAGIC_CODE_INVALID")
	o.run(t, `UPDATE one_time_values SET expires_at = expires_at - interval '10 minutes' WHERE purpose = 'magic_link'`)
	o.run(t, `UPDATE magic_links SET expires_at = expires_at - interval '10 minutes'`)
	require.Equal(t, http.StatusBadRequest, o.do(t, call{method: "GET", host: o.host, path: r.page}).status)
	o.exchange(t, object{"request_id": r.id}).refused(t, http.StatusUnauthorized, "MAGIC_CODE_INVALID")
}

// What was asked for before an account changed opens it no more. Planted, each
// by itself: endLinks that leaves the links; Delete that ends none; End that
// leaves the codes' requests open. The comparison of the address in admit is for
// a link that is written while the address changes, and stays green.
func TestMagicLink_NoneFromBeforeOpensAnAccountThatHasChanged(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*testing.T, *org, person){
		"address": func(t *testing.T, o *org, p person) {
			require.Equal(t, http.StatusOK, o.press(t, o.changeTo(t, p, "new@acme.example"), nil).status)
		},
		"password": func(t *testing.T, o *org, p person) {
			require.Equal(t, http.StatusOK, o.ask(t, p, "POST", "/v1/me:changePassword", object{"password": newPassword}).status)
		},
		"reset": func(t *testing.T, o *org, p person) {
			require.Equal(t, http.StatusOK, o.press(t, o.resetLink(t, p.email), url.Values{"password": {newPassword}}).status)
		},
		"deleted and restored": func(t *testing.T, o *org, p person) {
			path := "/v1/users/" + p.id
			require.Equal(t, http.StatusOK, o.ask(t, o.owner, "DELETE", path, nil, "If-Match", `"`+o.version(t, path)+`"`).status)
			require.Equal(t, http.StatusOK, o.ask(t, o.owner, "POST", path+":restore", object{}).status)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOrg(t)
			o.offer(t)
			jo := o.join(t, "jo")
			code := codeIn(t, o.press(t, o.askForLink(t, jo.email).page, url.Values{"act": {"here"}}))
			unused := o.askForLink(t, jo.email)
			change(t, o, jo)
			require.Equal(t, http.StatusBadRequest, o.do(t, call{method: "GET", host: o.host, path: unused.page}).status)
			o.exchange(t, object{"code": code}).refused(t, http.StatusUnauthorized, "MAGIC_CODE_INVALID")
			o.exchange(t, object{"request_id": unused.id}).refused(t, http.StatusUnauthorized, "MAGIC_CODE_INVALID")
			require.Zero(t, o.count(t, `SELECT count(*) FROM magic_links WHERE exchanged_at IS NULL`))
		})
	}
}
