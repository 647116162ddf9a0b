package api

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Planted: recent that looks at the level alone; at the age alone.
func TestStepUp_SensitiveCallsWantARecentAuthenticationAtTheHighestLevel(t *testing.T) {
	t.Parallel()
	o := newOrg(t)
	in := o.password(t, o.owner.email)
	p := person{email: o.owner.email, token: in.get(t, http.StatusOK, "access_token")}
	key := object{"name": "k", "scopes": []string{"users.read"}}
	made := o.ask(t, p, "POST", "/v1/api-keys", key)
	byKey := person{token: made.get(t, http.StatusOK, "secret")}
	o.ask(t, byKey, "POST", "/v1/api-keys", key).refused(t, 403, "CREDENTIAL_KIND")
	o.ask(t, byKey, "POST", "/v1/auth/step-up", object{"password": goodPassword}).refused(t, 403, "CREDENTIAL_KIND")

	o.sleep(11 * time.Minute)
	r := o.refresh(t, in.get(t, http.StatusOK, "refresh_token"))
	p.token = r.get(t, http.StatusOK, "access_token")
	require.Equal(t, http.StatusOK, o.ask(t, p, "GET", "/v1/me", nil).status)
	a := o.ask(t, p, "POST", "/v1/api-keys", key)
	a.refused(t, 401, "STEP_UP_REQUIRED")
	require.Equal(t, `Bearer realm="tenantry", error="insufficient_user_authentication", error_description="A recent authentication is required", acr_values="aal1", max_age=600`,
		a.header.Get("WWW-Authenticate"))
	o.ask(t, p, "POST", "/v1/me/totp", object{}).refused(t, 401, "STEP_UP_REQUIRED")

	o.ask(t, p, "POST", "/v1/auth/step-up", object{"password": goodPassword + "!"}).refused(t, 401, "LOGIN_FAILED")
	o.ask(t, p, "POST", "/v1/auth/step-up", object{"password": goodPassword, "totp_code": "123456"}).refused(t, 400, "FACTOR_MISSING")
	before := claims(t, p.token)
	up := o.ask(t, p, "POST", "/v1/auth/step-up", object{"password": goodPassword})
	p.token = up.get(t, http.StatusOK, "access_token")
	require.Equal(t, before["sid"], claims(t, p.token)["sid"], "the same session")
	require.Greater(t, claims(t, p.token)["auth_time"], before["auth_time"])
	require.Equal(t, http.StatusOK, o.ask(t, p, "POST", "/v1/api-keys", key).status)
	require.Len(t, o.audited(t, "session.stepped_up"), 1)
	o.refresh(t, r.get(t, http.StatusOK, "refresh_token")).get(t, http.StatusOK, "access_token")
}

// Planted: StepUpInput that is content without a code.
func TestStepUp_WantsTheSecondFactorWhereThereIsOne(t *testing.T) {
	t.Parallel()
	o := newOrg(t)
	old := o.enter(t, o.owner.email) // a session from before
	app, codes := o.equip(t, &o.owner)
	key := object{"name": "k", "scopes": []string{"users.read"}}
	require.Equal(t, http.StatusOK, o.ask(t, o.owner, "POST", "/v1/api-keys", key).status)
	a := o.ask(t, old, "POST", "/v1/api-keys", key)
	a.refused(t, 401, "STEP_UP_REQUIRED")
	require.Contains(t, a.header.Get("WWW-Authenticate"), `acr_values="aal2"`)
	stepUp := func(with object) answer {
		with["password"] = goodPassword
		return o.ask(t, old, "POST", "/v1/auth/step-up", with)
	}
	stepUp(object{}).refused(t, 400, "INVALID_ARGUMENT")
	stepUp(object{"totp_code": differs(app.code(t, o.server.now()))}).refused(t, 401, "MFA_FAILED")
	stepUp(object{"backup_code": "01-0000-0000-0000"}).refused(t, 401, "MFA_FAILED")
	o.ask(t, old, "POST", "/v1/api-keys", key).refused(t, 401, "STEP_UP_REQUIRED")
	old.token = stepUp(object{"backup_code": codes[9]}).get(t, http.StatusOK, "access_token")
	require.EqualValues(t, 2, claims(t, old.token)["aal"])
	require.Equal(t, http.StatusOK, o.ask(t, old, "POST", "/v1/api-keys", key).status)
	stepUp(object{"totp_code": app.code(t, o.server.now().Add(step))}).get(t, http.StatusOK, "access_token")
}

// Guesses at the password through a stolen token end like those at a login.
// Planted: Prove that does not ask whether the attempt is allowed.
func TestStepUp_GuessesAreCounted(t *testing.T) {
	t.Parallel()
	o := newOrg(t)
	for range 5 {
		o.ask(t, o.owner, "POST", "/v1/auth/step-up", object{"password": "wrong"}).refused(t, 401, "LOGIN_FAILED")
	}
	// The second that the wait lasts may be over on a busy machine.
	o.exec(t, `UPDATE login_counters SET blocked_until = now() + interval '5 minutes' WHERE blocked_until IS NOT NULL`)
	o.ask(t, o.owner, "POST", "/v1/auth/step-up", object{"password": goodPassword}).refused(t, 401, "LOGIN_FAILED")
	o.sleep(6 * time.Minute)
	require.Equal(t, http.StatusOK, o.ask(t, o.owner, "POST", "/v1/auth/step-up", object{"password": goodPassword}).status)
}

// What outlives a session is not made by one that ends meanwhile: the request
// waits for the account's lock, and whoever holds it ends the session, or the
// account. Planted, each by itself: ChangeEmail and Create without StillIn; a
// deleted owner of a key that is no answer but a failure.
func TestStepUp_ASessionThatEndsMeanwhileMakesNothingThatStays(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		path string
		body object
		ends string
	}{
		"address":                  {"/v1/me:changeEmail", object{"email": "thief@evil.example"}, `UPDATE sessions SET revoked_at = now() WHERE user_id = $1`},
		"key":                      {"/v1/api-keys", object{"name": "x", "scopes": []string{"users.read"}}, `UPDATE sessions SET revoked_at = now() WHERE user_id = $1`},
		"key of a deleted account": {"/v1/api-keys", object{"name": "x", "scopes": []string{"users.read"}}, `UPDATE users SET deleted_at = now() WHERE id = $1`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOrg(t)
			p := o.join(t, "jo", "admin")
			tx, err := o.lease(t).Database().BeginTx(t.Context(), nil)
			require.NoError(t, err)
			defer func() { _ = tx.Rollback() }()
			_, err = tx.ExecContext(t.Context(), `SELECT FROM users WHERE id = $1 FOR UPDATE`, p.id)
			require.NoError(t, err)
			done := make(chan answer)
			go func() { done <- o.ask(t, p, "POST", c.path, c.body) }()
			require.Eventually(t, func() bool {
				return o.count(t, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`) > 0
			}, 10*time.Second, 5*time.Millisecond, "it waits for the account")
			_, err = tx.ExecContext(t.Context(), c.ends, p.id)
			require.NoError(t, err)
			require.NoError(t, tx.Commit())
			a := <-done
			a.refused(t, http.StatusUnauthorized, "CREDENTIAL_INVALID")
			require.Zero(t, o.count(t, `SELECT (SELECT count(*) FROM api_keys) + (SELECT count(*) FROM email_changes)`))
		})
	}
}
