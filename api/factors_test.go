package api

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"
	"github.com/stretchr/testify/require"
)

// authenticator is an app on somebody's phone: another program's TOTP.
type authenticator struct{ secret string }

func (a authenticator) code(t *testing.T, at time.Time) string {
	t.Helper()
	code, err := totp.GenerateCode(a.secret, at)
	require.NoError(t, err)
	return code
}

// step is a TOTP step.
const step = 30 * time.Second

// enroll makes a secret that waits to be confirmed.
func (o *org) enroll(t *testing.T, p person) authenticator {
	t.Helper()
	return authenticator{o.ask(t, p, "POST", "/v1/me/totp", object{}).get(t, http.StatusOK, "secret")}
}

// equip gives a person a second factor, and their session's new token.
func (o *org) equip(t *testing.T, p *person) (authenticator, []string) {
	t.Helper()
	app := o.enroll(t, *p)
	a := o.ask(t, *p, "POST", "/v1/me/totp:confirm", object{"code": app.code(t, o.server.now())})
	p.token = a.get(t, http.StatusOK, "tokens.access_token")
	var codes []string
	for _, c := range a.object(t, http.StatusOK)["backup_codes"].([]any) {
		codes = append(codes, c.(string))
	}
	require.Len(t, codes, 10)
	return app, codes
}

func (o *org) password(t *testing.T, email string) answer {
	t.Helper()
	return o.ask(t, person{}, "POST", "/v1/auth/login", object{"email": email, "password": goodPassword})
}

// challenge logs in with the password alone.
func (o *org) challenge(t *testing.T, email string) string {
	t.Helper()
	a := o.password(t, email)
	require.NotContains(t, a.body, "access_token\":\"e", "no token beside a challenge")
	return a.get(t, http.StatusOK, "challenge.token")
}

func (o *org) verify(t *testing.T, challenge string, code object) answer {
	t.Helper()
	code["challenge_token"] = challenge
	return o.ask(t, person{}, "POST", "/v1/auth/mfa:verify", code)
}

// claims reads an access token.
func claims(t *testing.T, token string) object {
	t.Helper()
	body, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	require.NoError(t, err)
	var out object
	require.NoError(t, json.Unmarshal(body, &out))
	return out
}

// mails counts the mail rows of a template.
func (o *org) mails(t *testing.T, template string) (n int) {
	t.Helper()
	require.NoError(t, o.lease(t).Database().QueryRow(t.Context(), `SELECT count(*) FROM outbox WHERE name = $1`, template).Scan(&n))
	return n
}

func (o *org) exec(t *testing.T, statement string, args ...any) {
	t.Helper()
	_, err := o.lease(t).Database().Exec(t.Context(), statement, args...)
	require.NoError(t, err)
}

// Attack 4 of security.md, and part of 7. Planted: takeStep without its
// comparison; confirm that stores no step. An isTOTP that trims is caught
// beside package factors: here the door's own pattern refuses it first.
func TestVerifyMfa_ACodeWorksOnceInOneWritingAndInOrder(t *testing.T) {
	t.Parallel()
	o := newOrg(t)
	p := o.join(t, "mia")
	app := o.enroll(t, p)
	enrolled := app.code(t, o.server.now())
	a := o.ask(t, p, "POST", "/v1/me/totp:confirm", object{"code": enrolled})
	p.token = a.get(t, http.StatusOK, "tokens.access_token")
	require.EqualValues(t, 2, claims(t, p.token)["aal"])

	token := o.challenge(t, p.email)
	o.ask(t, person{token: token}, "GET", "/v1/me", nil).refused(t, 401, "CREDENTIAL_INVALID")
	o.verify(t, token, object{"totp_code": enrolled}).refused(t, 401, "MFA_FAILED")
	next := app.code(t, o.server.now().Add(step))
	for _, written := range []string{" " + next, next + " ", next[:3] + " " + next[3:], next[:5], next + "0", "+" + next[1:], next + "\n", fullWidth(next), ""} {
		require.Contains(t, []string{"INVALID_ARGUMENT", "MFA_FAILED"}, o.verify(t, token, object{"totp_code": written}).refused(t, 400, "INVALID_ARGUMENT").Reason, "%q", written)
	}
	a = o.verify(t, token, object{"totp_code": next})
	in := claims(t, a.get(t, http.StatusOK, "access_token"))
	require.EqualValues(t, 2, in["aal"])
	require.Equal(t, []any{"pwd", "otp", "mfa"}, in["amr"])
	require.NotEmpty(t, a.get(t, http.StatusOK, "refresh_token"))
	o.verify(t, token, object{"totp_code": next}).refused(t, 401, "CHALLENGE_INVALID")

	again := o.challenge(t, p.email)
	o.verify(t, again, object{"totp_code": next}).refused(t, 401, "MFA_FAILED")
	// Older than the newest that was used, though it was never used itself.
	o.sleep(2 * step)
	at := o.server.now()
	o.verify(t, o.challenge(t, p.email), object{"totp_code": app.code(t, at.Add(step))}).get(t, http.StatusOK, "access_token")
	o.verify(t, again, object{"totp_code": app.code(t, at)}).refused(t, 401, "MFA_FAILED")
	o.sleep(6 * time.Minute)
	o.verify(t, again, object{"totp_code": app.code(t, o.server.now())}).refused(t, 401, "CHALLENGE_INVALID")
}

func fullWidth(digits string) string {
	return strings.Map(func(r rune) rune { return r - '0' + '０' }, digits)
}

func TestBackupCodes_StandInOnceAndAreReplaced(t *testing.T) {
	t.Parallel()
	o := newOrg(t)
	p := o.join(t, "mia")
	_, codes := o.equip(t, &p)
	require.Regexp(t, `^01(-[0-9A-HJKMNP-TV-Z]{4}){3}$`, codes[0])
	token := o.challenge(t, p.email)
	for _, bad := range []string{"0", codes[1][:15], codes[1] + "0", "11" + codes[1][2:], "０１" + codes[0][2:], "' OR 1=1"} {
		o.verify(t, token, object{"backup_code": bad}).refused(t, 401, "MFA_FAILED")
		o.exec(t, `DELETE FROM login_counters`)
	}
	sloppy := " " + strings.ToLower(strings.ReplaceAll(codes[0], "-", " ")) + " "
	in := claims(t, o.verify(t, token, object{"backup_code": sloppy}).get(t, http.StatusOK, "access_token"))
	require.EqualValues(t, 2, in["aal"])
	require.Equal(t, 1, o.mails(t, "notice_backup_code_used"))
	o.verify(t, o.challenge(t, p.email), object{"backup_code": codes[0]}).refused(t, 401, "MFA_FAILED")
	require.EqualValues(t, 9, o.ask(t, p, "GET", "/v1/me/factors", nil).object(t, http.StatusOK)["backup_codes_remaining"])

	a := o.ask(t, p, "POST", "/v1/me/backup-codes:regenerate", object{})
	fresh := a.object(t, http.StatusOK)["codes"].([]any)
	require.Equal(t, 1, o.mails(t, "notice_backup_codes_made"))
	o.verify(t, o.challenge(t, p.email), object{"backup_code": codes[1]}).refused(t, 401, "MFA_FAILED")
	o.verify(t, o.challenge(t, p.email), object{"backup_code": fresh[1]}).get(t, http.StatusOK, "access_token")
}

func TestEnrollTotp_ShowsTheSecretOnceAndReplacesOnlyWhatWaits(t *testing.T) {
	t.Parallel()
	o := newOrg(t)
	p := o.join(t, "mia")
	o.ask(t, p, "POST", "/v1/me/totp:confirm", object{"code": "123456"}).refused(t, 400, "FACTOR_MISSING")
	o.ask(t, p, "POST", "/v1/me/totp:disable", object{}).refused(t, 400, "FACTOR_MISSING")
	o.ask(t, p, "POST", "/v1/me/backup-codes:regenerate", object{}).refused(t, 400, "FACTOR_MISSING")
	first := o.enroll(t, p)
	a := o.ask(t, p, "POST", "/v1/me/totp", object{})
	second := authenticator{a.get(t, http.StatusOK, "secret")}
	require.Len(t, second.secret, 32)
	uri := a.get(t, http.StatusOK, "otpauth_uri")
	require.Contains(t, uri, "otpauth://totp/")
	require.Contains(t, uri, ":mia%40acme.example?secret="+second.secret)
	png, err := base64.StdEncoding.DecodeString(a.get(t, http.StatusOK, "qr_png"))
	require.NoError(t, err)
	require.Equal(t, "\x89PNG", string(png[:4]))
	o.ask(t, p, "POST", "/v1/me/totp:confirm", object{"code": first.code(t, o.server.now())}).refused(t, 400, "FACTOR_CODE_INVALID")
	require.Equal(t, false, o.ask(t, p, "GET", "/v1/me/factors", nil).object(t, http.StatusOK)["totp_enabled"])
	o.password(t, p.email).get(t, http.StatusOK, "access_token")

	require.Equal(t, http.StatusOK, o.ask(t, p, "POST", "/v1/me/totp:confirm", object{"code": second.code(t, o.server.now())}).status)
	require.Equal(t, 1, o.mails(t, "notice_factor_added"))
	require.Len(t, o.audited(t, "factor.confirmed"), 1)
	o.ask(t, p, "POST", "/v1/me/totp:confirm", object{"code": second.code(t, o.server.now())}).refused(t, 400, "FACTOR_EXISTS")
	o.ask(t, p, "POST", "/v1/me/totp", object{}).refused(t, 400, "FACTOR_EXISTS")
	var stored string
	require.NoError(t, o.lease(t).Database().QueryRow(t.Context(), `SELECT encode(secret, 'escape') FROM totp_factors`).Scan(&stored))
	require.NotContains(t, stored, second.secret)

	late := o.join(t, "lea")
	app := o.enroll(t, late)
	o.sleep(16 * time.Minute)
	late = o.enter(t, late.email)
	o.ask(t, late, "POST", "/v1/me/totp:confirm", object{"code": app.code(t, o.server.now())}).refused(t, 400, "FACTOR_MISSING")
}

// Planted: mayDisable that does not look at the short password; at the rules.
func TestDisableTotp_KeepsWhatIsNeeded(t *testing.T) {
	t.Parallel()
	o := newOrg(t)
	p := o.join(t, "mia")
	o.equip(t, &p)
	o.exec(t, `UPDATE users SET password_short = true WHERE id = $1`, p.id)
	o.ask(t, p, "POST", "/v1/me/totp:disable", object{}).refused(t, 400, "FACTOR_PASSWORD_SHORT")
	o.exec(t, `UPDATE users SET password_short = false WHERE id = $1`, p.id)
	o.policy(t, object{"mfa_policy": "required"})
	o.ask(t, p, "POST", "/v1/me/totp:disable", object{}).refused(t, 400, "FACTOR_REQUIRED")
	o.policy(t, object{"mfa_policy": "optional"})
	require.Equal(t, http.StatusOK, o.ask(t, p, "POST", "/v1/me/totp:disable", object{}).status)
	require.Equal(t, 1, o.mails(t, "notice_factor_removed"))
	require.Len(t, o.audited(t, "factor.removed"), 1)
	o.password(t, p.email).get(t, http.StatusOK, "access_token")
	var left int
	require.NoError(t, o.lease(t).Database().QueryRow(t.Context(), `SELECT (SELECT count(*) FROM totp_factors) + (SELECT count(*) FROM backup_codes)`).Scan(&left))
	require.Zero(t, left)
}

// policy changes the tenant's rules.
func (o *org) policy(t *testing.T, change object) {
	t.Helper()
	change["version"] = o.version(t, "/v1/settings")
	a := o.ask(t, o.owner, "PATCH", "/v1/settings", change)
	require.Equal(t, http.StatusOK, a.status, a.body)
}

// Planted: a wrong code that is not counted; the notice at every failure.
func TestVerifyMfa_GuessesAreCountedToldAndEnd(t *testing.T) {
	t.Parallel()
	o := newOrg(t)
	p := o.join(t, "mia")
	app, _ := o.equip(t, &p)
	wrong := func() object { return object{"totp_code": differs(app.code(t, o.server.now()))} }
	token := o.challenge(t, p.email)
	for range 5 {
		o.verify(t, token, wrong()).refused(t, 401, "MFA_FAILED")
	}
	// The second that the wait lasts may be over on a busy machine.
	o.exec(t, `UPDATE login_counters SET blocked_until = now() + interval '5 minutes' WHERE blocked_until IS NOT NULL`)
	// The sixth comes too soon: the right code is not looked at.
	right := object{"totp_code": app.code(t, o.server.now().Add(step))}
	o.verify(t, token, right).refused(t, 401, "MFA_FAILED")
	events := func() (n int) {
		require.NoError(t, o.lease(t).Database().QueryRow(t.Context(), `SELECT count(*) FROM login_events WHERE method = 'totp' AND outcome = 'failure'`).Scan(&n))
		return n
	}
	require.Equal(t, 5, events(), "one for each that was checked")
	for n := 6; n <= 100; n++ {
		o.sleep(15*time.Minute + time.Second)
		if n%20 == 6 || n == 100 {
			token = o.challenge(t, p.email)
			o.verify(t, token, wrong()).refused(t, 401, "MFA_FAILED")
			continue
		}
		o.exec(t, `UPDATE login_counters SET failures = failures + 1 WHERE kind = 'mfa'`)
		if n == 9 {
			o.sleep(time.Hour)
			o.verify(t, o.challenge(t, p.email), wrong()).refused(t, 401, "MFA_FAILED")
			require.Equal(t, 1, o.mails(t, "notice_factor_attacked"))
			n++
		}
	}
	o.sleep(24 * time.Hour)
	o.verify(t, o.challenge(t, p.email), object{"totp_code": app.code(t, o.server.now())}).refused(t, 401, "MFA_FAILED")
	require.Equal(t, 1, o.mails(t, "notice_factor_attacked"), "told once")
}

// Planted, each by itself: a notice that is written where the guess proves
// wrong; one at the eleventh, too.
func TestVerifyMfa_AHangUpDuringTheTenthGuessIsTold(t *testing.T) {
	t.Parallel()
	o := newOrg(t)
	p := o.join(t, "mia")
	o.equip(t, &p)
	token := o.challenge(t, p.email)
	wrong := object{"backup_code": "01-0000-0000-0000"}
	guess := func() {
		o.exec(t, `UPDATE login_counters SET blocked_until = NULL`)
		o.verify(t, token, wrong).refused(t, 401, "MFA_FAILED")
	}
	for range 9 {
		guess()
	}
	require.Zero(t, o.mails(t, "notice_factor_attacked"))
	o.exec(t, `UPDATE login_counters SET blocked_until = NULL`)

	// What the guess is compared with is out of reach until its client has gone.
	hold, err := o.lease(t).Database().BeginTx(t.Context(), nil)
	require.NoError(t, err)
	defer func() { _ = hold.Rollback() }()
	_, err = hold.ExecContext(t.Context(), `LOCK TABLE backup_codes`)
	require.NoError(t, err)
	ctx, hangUp := context.WithCancel(t.Context())
	defer hangUp()
	body := `{"challenge_token":"` + token + `","backup_code":"01-0000-0000-0000"}`
	req, err := http.NewRequestWithContext(ctx, "POST", o.url+"/v1/auth/mfa:verify", strings.NewReader(body))
	require.NoError(t, err)
	req.Host = o.host
	req.Header.Set("Content-Type", "application/json")
	answered := make(chan error, 1)
	go func() {
		resp, err := noRedirects.Do(req)
		if err == nil {
			_ = resp.Body.Close()
		}
		answered <- err
	}()
	failures := func() int { return o.count(t, `SELECT failures FROM login_counters WHERE kind = 'mfa'`) }
	require.Eventually(t, func() bool { return failures() == 10 }, 10*time.Second, 5*time.Millisecond, "it is counted")
	hangUp()
	require.ErrorIs(t, <-answered, context.Canceled)
	require.Equal(t, 1, o.mails(t, "notice_factor_attacked"))
	require.NoError(t, hold.Rollback())

	guess()
	require.Equal(t, 11, failures())
	require.Equal(t, 1, o.mails(t, "notice_factor_attacked"), "told once")
	require.Len(t, o.audited(t, "factor.attacked"), 1)
}

func differs(code string) string {
	if code[0] == '0' {
		return "1" + code[1:]
	}
	return "0" + code[1:]
}

// Planted: useChallenge that does not redeem.
func TestVerifyMfa_OfFiftyParallelOneSucceeds(t *testing.T) {
	t.Parallel()
	o := newOrg(t)
	p := o.join(t, "mia")
	app, codes := o.equip(t, &p)
	token := o.challenge(t, p.email)
	require.Equal(t, 1, o.storm(t, func(int) (string, object) {
		return token, object{"totp_code": app.code(t, o.server.now().Add(step))}
	}), "one challenge, one TOTP code")

	o.sleep(2 * step)
	o.exec(t, `DELETE FROM login_counters`)
	tokens := make([]string, 12)
	for i := range tokens {
		tokens[i] = o.challenge(t, p.email)
	}
	code := app.code(t, o.server.now())
	require.Equal(t, 1, o.storm(t, func(i int) (string, object) { return tokens[i%len(tokens)], object{"totp_code": code} }), "a TOTP code at many challenges")
	o.exec(t, `DELETE FROM login_counters`)
	require.Equal(t, 1, o.storm(t, func(i int) (string, object) { return tokens[i%len(tokens)], object{"backup_code": codes[3]} }), "a backup code at many challenges")
	o.exec(t, `DELETE FROM login_counters`)
	token = o.challenge(t, p.email)
	require.Equal(t, 1, o.storm(t, func(i int) (string, object) { return token, object{"backup_code": codes[4+i%5]} }), "one challenge, five backup codes")
}

// storm verifies fifty times at once and counts who got in.
func (o *org) storm(t *testing.T, with func(int) (string, object)) int {
	t.Helper()
	begin, in := make(chan struct{}), make(chan bool, 50)
	for i := range 50 {
		token, code := with(i)
		go func() {
			<-begin
			in <- o.verify(t, token, code).status == http.StatusOK
		}()
	}
	close(begin)
	n := 0
	for range 50 {
		if <-in {
			n++
		}
	}
	return n
}
