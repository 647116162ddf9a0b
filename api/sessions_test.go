package api

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// loginFrom opens one more session of a person's from a device.
func (o *org) loginFrom(t *testing.T, email, userAgent string) object {
	t.Helper()
	return o.ask(t, person{}, "POST", "/v1/auth/login", object{"email": email, "password": goodPassword}, "User-Agent", userAgent).object(t, http.StatusOK)
}

func (o *org) sessions(t *testing.T, by person, query string) (out []object) {
	t.Helper()
	for _, s := range o.ask(t, by, "GET", "/v1/sessions"+query, nil).object(t, http.StatusOK)["sessions"].([]any) {
		out = append(out, s.(object))
	}
	return out
}

func (o *org) refresh(t *testing.T, token any) answer {
	t.Helper()
	return o.ask(t, person{}, "POST", "/v1/auth/refresh", object{"refresh_token": token})
}

func TestSessions_OnesOwnAreListedWithDeviceAndLastUse(t *testing.T) {
	t.Parallel()
	o := newOrg(t)
	other := o.join(t, "ada")
	phone := o.loginFrom(t, other.email, "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Version/18.0 Mobile/15E148 Safari/604.1")
	found := o.sessions(t, other, "")
	require.Len(t, found, 2, "the owner's session is not Ada's")
	require.Equal(t, true, found[0]["current"])
	require.Equal(t, phone["session_id"], found[1]["id"])
	require.Equal(t, "Safari, iPhone", found[1]["device"])
	require.Equal(t, []any{"pwd"}, found[1]["amr"])
	require.NotContains(t, found[1], "user_id")
	before := found[1]["last_used_time"]
	require.Equal(t, http.StatusOK, o.refresh(t, phone["refresh_token"]).status)
	newest := o.sessions(t, other, "?sort=-last_used_at&limit=1&fields=id,last_used_at,current")
	require.Len(t, newest, 1)
	require.Equal(t, phone["session_id"], newest[0]["id"])
	require.Equal(t, false, newest[0]["current"])
	require.Greater(t, newest[0]["last_used_time"], before)
	require.NotContains(t, newest[0], "device")

	// What has ended is not listed: by revocation, by age, by idleness.
	for _, ended := range []string{`revoked_at = now()`, `revoked_at = NULL, expires_at = now()`, `expires_at = now() + interval '9 days', last_used_at = now() - interval '14 days'`} {
		_, err := o.lease(t).Database().Exec(t.Context(), `UPDATE sessions SET `+ended+` WHERE id = $1`, phone["session_id"])
		require.NoError(t, err)
		require.Len(t, o.sessions(t, other, ""), 1, ended)
	}
}

func TestSessions_ARevokedOneIsRefusedFromTheNextRequestOn(t *testing.T) {
	t.Parallel()
	o := newOrg(t)
	second := o.loginFrom(t, o.owner.email, "curl/8")
	access := person{token: second["access_token"].(string)}
	require.Equal(t, http.StatusOK, o.ask(t, access, "GET", "/v1/me", nil).status)
	path := "/v1/sessions/" + second["session_id"].(string) + ":revoke"
	for range 2 { // a repetition changes nothing
		require.Equal(t, http.StatusOK, o.ask(t, o.owner, "POST", path, object{}).status)
	}
	o.ask(t, access, "GET", "/v1/me", nil).refused(t, http.StatusUnauthorized, "CREDENTIAL_INVALID")
	o.refresh(t, second["refresh_token"]).refused(t, http.StatusUnauthorized, "REFRESH_INVALID")
	rows := o.audited(t, "session.revoked")
	require.Len(t, rows, 1)
	require.Equal(t, "user "+o.owner.id, rows[0][0])
	require.Equal(t, second["session_id"], rows[0][1])
	require.Empty(t, o.audited(t, "session.reuse_detected"), "a refresh after the end is no theft")
}

func TestSessions_NobodyEndsAnothers(t *testing.T) {
	t.Parallel()
	o := newOrg(t)
	ada := o.join(t, "ada")
	his := o.sessions(t, o.owner, "")[0]["id"].(string)
	for _, id := range []string{his, strings.Repeat("0", 8) + "-0000-7000-8000-" + strings.Repeat("0", 12)} {
		o.ask(t, ada, "POST", "/v1/sessions/"+id+":revoke", object{}).refused(t, http.StatusNotFound, "SESSION_NOT_FOUND")
	}
	require.Len(t, o.sessions(t, o.owner, ""), 1)
	a := o.ask(t, ada, "GET", "/v1/sessions?filter="+"id=="+his, nil).object(t, http.StatusOK)
	require.Empty(t, a["sessions"], "a filter widens nothing")
	require.Empty(t, o.audited(t, "session.revoked"))
	// A program has no sessions and may not end a person's.
	k := o.ask(t, o.owner, "POST", "/v1/api-keys", object{"name": "k", "scopes": []string{"users.read"}})
	key := person{token: k.get(t, http.StatusOK, "secret")}
	o.ask(t, key, "GET", "/v1/sessions", nil).refused(t, http.StatusForbidden, "CREDENTIAL_KIND")
	o.ask(t, key, "POST", "/v1/sessions:revokeAll", object{}).refused(t, http.StatusForbidden, "CREDENTIAL_KIND")
}

func TestSessions_RevokeAllSparesTheOneThatCallsAndHappensOnce(t *testing.T) {
	t.Parallel()
	o := newOrg(t)
	ada := o.join(t, "ada")
	var others []object
	for range 3 {
		others = append(others, o.loginFrom(t, o.owner.email, "curl/8"))
	}
	first := o.ask(t, o.owner, "POST", "/v1/sessions:revokeAll", object{}, "Idempotency-Key", "sign-out-everywhere-1")
	require.EqualValues(t, 3, first.object(t, http.StatusOK)["revoked"])
	o.loginFrom(t, o.owner.email, "curl/8")
	again := o.ask(t, o.owner, "POST", "/v1/sessions:revokeAll", object{}, "Idempotency-Key", "sign-out-everywhere-1")
	require.EqualValues(t, 3, again.object(t, http.StatusOK)["revoked"], "the first answer")
	require.Len(t, o.sessions(t, o.owner, ""), 2, "the session opened since then lives")
	for _, s := range others {
		o.refresh(t, s["refresh_token"]).refused(t, http.StatusUnauthorized, "REFRESH_INVALID")
	}
	require.Len(t, o.audited(t, "session.revoked"), 3)
	require.Len(t, o.sessions(t, ada, ""), 1, "nobody else is logged out")
}
