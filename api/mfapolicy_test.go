package api

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const day = 24 * time.Hour

// Planted: a due date that each login moves; a refresh that does not look.
func TestMFAPolicy_GraceThenAFactorInsideTheLogin(t *testing.T) {
	t.Parallel()
	o := newOrg(t)
	p := o.join(t, "mia")
	require.NotContains(t, o.password(t, p.email).body, "factor_due_time")
	o.policy(t, object{"mfa_policy": "required"})
	first := o.password(t, p.email)
	due := first.get(t, http.StatusOK, "factor_due_time")
	at, err := time.Parse(time.RFC3339, due)
	require.NoError(t, err)
	require.WithinDuration(t, o.server.now().Add(7*day), at, time.Minute)
	o.sleep(3 * day)
	in := o.password(t, p.email)
	require.Equal(t, due, in.get(t, http.StatusOK, "factor_due_time"), "no login moves the date")
	p.token = in.get(t, http.StatusOK, "access_token")
	a := o.ask(t, p, "GET", "/v1/me/factors", nil)
	require.Equal(t, due, a.get(t, http.StatusOK, "factor_due_time"))
	require.Equal(t, true, a.object(t, http.StatusOK)["required"])
	r := o.refresh(t, in.get(t, http.StatusOK, "refresh_token"))

	o.sleep(5 * day)
	o.refresh(t, r.get(t, http.StatusOK, "refresh_token")).refused(t, 401, "REFRESH_INVALID")
	require.Len(t, o.audited(t, "session.factor_overdue"), 1)
	a = o.password(t, p.email)
	token := a.get(t, http.StatusOK, "challenge.token")
	require.Contains(t, a.body, `["enroll"]`)
	o.verify(t, token, object{"totp_code": "123456"}).refused(t, 401, "CHALLENGE_INVALID")

	ask := func(path string, with object) answer {
		with["challenge_token"] = token
		return o.ask(t, person{}, "POST", "/v1/auth/mfa:"+path, with)
	}
	ask("confirm", object{"code": "123456"}).refused(t, 400, "FACTOR_MISSING")
	app := authenticator{ask("enroll", object{}).get(t, http.StatusOK, "secret")}
	ask("confirm", object{"code": differs(app.code(t, o.server.now()))}).refused(t, 400, "FACTOR_CODE_INVALID")
	used := app.code(t, o.server.now())
	done := ask("confirm", object{"code": used})
	require.EqualValues(t, 2, claims(t, done.get(t, http.StatusOK, "login.access_token"))["aal"])
	require.Len(t, done.object(t, http.StatusOK)["backup_codes"], 10)
	ask("confirm", object{"code": app.code(t, o.server.now())}).refused(t, 401, "CHALLENGE_INVALID")
	ask("enroll", object{}).refused(t, 401, "CHALLENGE_INVALID")
	o.verify(t, o.challenge(t, p.email), object{"totp_code": used}).refused(t, 401, "MFA_FAILED")
	o.verify(t, o.challenge(t, p.email), object{"totp_code": app.code(t, o.server.now().Add(step))}).get(t, http.StatusOK, "refresh_token")
}

// Planted: a refresh that does not look at the due date.
func TestMFAPolicy_FollowsRolesAndEndsWithTheRequirement(t *testing.T) {
	t.Parallel()
	o := newOrg(t)
	auditor, plain := o.join(t, "aud", "auditor"), o.join(t, "plain")
	a := o.ask(t, o.owner, "PATCH", "/v1/settings", object{"version": "1", "mfa_policy": "roles"})
	require.Contains(t, a.refused(t, 400, "INVALID_ARGUMENT").Fields, "mfa_role_ids.values")
	a = o.ask(t, o.owner, "PATCH", "/v1/settings", object{"version": "1", "mfa_role_ids": object{"values": []string{"0190b1c2-0000-7000-8000-000000000001"}}})
	a.refused(t, 404, "ROLE_NOT_FOUND")
	a = o.ask(t, o.owner, "PATCH", "/v1/settings", object{"version": "1", "mfa_grace_days": 91})
	require.Contains(t, a.refused(t, 400, "INVALID_ARGUMENT").Fields, "mfa_grace_days")
	session := o.password(t, auditor.email).get(t, http.StatusOK, "refresh_token")
	o.policy(t, object{"mfa_policy": "roles", "mfa_role_ids": object{"values": []string{o.role(t, "auditor")}}, "mfa_grace_days": 0})
	require.NotContains(t, o.password(t, plain.email).body, "factor_due_time")
	require.Contains(t, o.password(t, auditor.email).body, `["enroll"]`, "no grace at all")
	o.refresh(t, session).refused(t, 401, "REFRESH_INVALID")
	require.Equal(t, true, o.ask(t, auditor, "GET", "/v1/me/factors", nil).object(t, http.StatusOK)["required"])
	require.Equal(t, false, o.ask(t, plain, "GET", "/v1/me/factors", nil).object(t, http.StatusOK)["required"])

	o.policy(t, object{"mfa_policy": "optional"})
	require.NotContains(t, o.password(t, auditor.email).body, "factor_due_time")
	o.policy(t, object{"mfa_policy": "roles", "mfa_grace_days": 2})
	require.NotEmpty(t, o.password(t, auditor.email).get(t, http.StatusOK, "factor_due_time"), "the days begin anew")
	require.NotEmpty(t, o.audited(t, "factor.due_changed"))
}

// A challenge that asks for a code is for nobody who has none, and one that
// asks for a factor to be made is for nobody who has one: neither may stand in
// for the other, nor cost the owner a guess. Planted: openChallenge that does
// not compare what a challenge is for (it costs a guess, and a code after
// that); EnrollWithChallenge that does not look at the account. useChallenge
// without its comparison of the revision stays green: Admit compares it too.
func TestVerifyMfa_AChallengeEndsOnlyAsItAsked(t *testing.T) {
	t.Parallel()
	o := newOrg(t)
	p := o.join(t, "mia")
	guesses := func() int {
		return o.count(t, `SELECT coalesce(sum(failures), 0) FROM login_counters WHERE kind = 'mfa'`)
	}
	inside := func(path, token string, with object) answer {
		with["challenge_token"] = token
		return o.ask(t, person{}, "POST", "/v1/auth/mfa:"+path, with)
	}
	o.policy(t, object{"mfa_policy": "required", "mfa_grace_days": 0})
	enrolling := o.challenge(t, p.email)
	o.verify(t, enrolling, object{"totp_code": "123456"}).refused(t, 401, "CHALLENGE_INVALID")
	require.Zero(t, guesses(), "no code was asked for")

	// The factor comes by another way: the login that was to make it is no
	// login that shows it.
	o.policy(t, object{"mfa_policy": "optional"})
	app, codes := o.equip(t, &p)
	o.verify(t, enrolling, object{"backup_code": codes[0]}).refused(t, 401, "CHALLENGE_INVALID")
	inside("enroll", enrolling, object{}).refused(t, 401, "CHALLENGE_INVALID")
	require.EqualValues(t, 10, o.ask(t, p, "GET", "/v1/me/factors", nil).object(t, http.StatusOK)["backup_codes_remaining"])

	// And back: a login that waits for a code makes no factor, though the one
	// whose code it waits for has gone.
	asking := o.challenge(t, p.email)
	code := object{"code": app.code(t, o.server.now().Add(step))}
	inside("enroll", asking, object{}).refused(t, 401, "CHALLENGE_INVALID")
	inside("confirm", asking, code).refused(t, 401, "CHALLENGE_INVALID")
	require.Zero(t, guesses(), "nothing waits to be confirmed")
	require.Equal(t, http.StatusOK, o.ask(t, p, "POST", "/v1/me/totp:disable", object{}).status)
	inside("enroll", asking, object{}).refused(t, 401, "CHALLENGE_INVALID")

	// The password was changed since: whoever knew the old one makes no factor.
	o.policy(t, object{"mfa_policy": "required"})
	enrolling = o.challenge(t, p.email)
	inside("enroll", enrolling, object{}).get(t, http.StatusOK, "secret")
	o.exec(t, `UPDATE users SET revision = revision + 1 WHERE id = $1`, p.id)
	inside("enroll", enrolling, object{}).refused(t, 401, "CHALLENGE_INVALID")
}
