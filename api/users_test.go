package api

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestUsers_AnUpdateNeedsTheVersionThatWasRead(t *testing.T) {
	t.Parallel()
	o := newOrg(t)
	mia := o.join(t, "mia")
	path := "/v1/users/" + mia.id
	a := o.ask(t, o.owner, "PATCH", path, object{"name": "Mia M."}, "If-Match", `"1"`)
	require.Equal(t, "Mia M.", a.get(t, http.StatusOK, "name"))
	require.Equal(t, `"2"`, a.header.Get("ETag"))
	require.Equal(t, "en", a.get(t, http.StatusOK, "locale"), "what is absent stays")
	require.Equal(t, a.object(t, http.StatusOK), o.ask(t, o.owner, "GET", path, nil).object(t, http.StatusOK))
	require.Equal(t, "Mia M.", o.ask(t, mia, "GET", "/v1/me", nil).get(t, http.StatusOK, "user.name"))

	for name, tt := range map[string]struct {
		body   object
		status int
		reason string
		field  string
	}{
		"no version":       {object{"name": "x"}, 428, "VERSION_REQUIRED", "version"},
		"a stale version":  {object{"name": "x", "version": "1"}, 409, "VERSION_CONFLICT", ""},
		"nothing":          {object{"version": "2"}, 400, "INVALID_ARGUMENT", "name"},
		"an empty name":    {object{"version": "2", "name": ""}, 400, "INVALID_ARGUMENT", "name"},
		"a blank name":     {object{"version": "2", "name": "  "}, 400, "INVALID_ARGUMENT", "name"},
		"a long name":      {object{"version": "2", "name": strings.Repeat("x", 101)}, 400, "INVALID_ARGUMENT", "name"},
		"another language": {object{"version": "2", "locale": "it"}, 400, "INVALID_ARGUMENT", "locale"},
		"a negative one":   {object{"version": "-2", "name": "x"}, 400, "INVALID_ARGUMENT", "version"},
	} {
		t.Run(name, func(t *testing.T) {
			p := o.ask(t, o.owner, "PATCH", path, tt.body).refused(t, tt.status, tt.reason)
			if tt.field != "" {
				require.Contains(t, p.Fields, tt.field)
			}
		})
	}
	conflict := o.ask(t, o.owner, "PATCH", path, object{"name": "x", "version": "1"})
	require.Contains(t, conflict.problem(t).Message, "its version is 2 now")
	o.ask(t, o.owner, "GET", "/v1/users/0190b1c2-0000-7000-8000-000000000001", nil).refused(t, http.StatusNotFound, "USER_NOT_FOUND")

	require.Equal(t, [][4]string{{"user " + o.owner.id, mia.id, "", `{"fields": ["name"]}`}}, o.audited(t, "user.updated"))
}

// Attack 9.
func TestUsers_NobodyAssignsWhatIsNotTheirsToSet(t *testing.T) {
	t.Parallel()
	o := newOrg(t)
	mia := o.join(t, "mia", "admin")
	for _, extra := range []string{"email_verified", "email", "role", "roles", "role_ids", "tenant_id", "revision", "login_count", "deleted_at", "delete_time", "password_hash", "builtin"} {
		for path, body := range map[string]object{
			"PATCH /v1/users/" + mia.id: {"version": 2, "name": "x"},
			"POST /v1/roles":            {"name": "x"},
			"POST /v1/auth/register":    {"name": "x", "email": "x@acme.example", "password": goodPassword},
		} {
			body[extra] = true
			method, path, _ := strings.Cut(path, " ")
			o.ask(t, mia, method, path, body).refused(t, http.StatusBadRequest, "MALFORMED_BODY")
		}
	}
	// A version is compared, and never written.
	o.ask(t, mia, "PATCH", "/v1/users/"+mia.id, object{"version": 900, "name": "x"}).refused(t, http.StatusConflict, "VERSION_CONFLICT")
	o.ask(t, mia, "PATCH", "/v1/users/"+mia.id, object{"version": 2, "name": "x", "id": o.owner.id}).refused(t, http.StatusBadRequest, "INVALID_ARGUMENT")
	a := o.ask(t, o.owner, "GET", "/v1/users/"+mia.id, nil)
	require.Equal(t, "mia", a.get(t, http.StatusOK, "name"))
	require.Equal(t, "2", a.get(t, http.StatusOK, "version"))
}

func TestUsers_ADeletedAccountStopsAtOnceAndComesBackWithoutSessions(t *testing.T) {
	t.Parallel()
	o := newOrg(t)
	mia := o.join(t, "mia", "auditor")
	path := "/v1/users/" + mia.id
	o.ask(t, o.owner, "DELETE", path, nil).refused(t, 428, "VERSION_REQUIRED")
	o.ask(t, o.owner, "DELETE", path+"?version=1", nil).refused(t, http.StatusConflict, "VERSION_CONFLICT")
	o.ask(t, o.owner, "POST", path+":restore", object{}).refused(t, http.StatusBadRequest, "USER_NOT_DELETED")

	a := o.ask(t, o.owner, "DELETE", path, nil, "If-Match", `"2"`)
	require.NotEmpty(t, a.get(t, http.StatusOK, "delete_time"))
	require.Equal(t, "3", a.get(t, http.StatusOK, "version"))
	o.ask(t, mia, "GET", "/v1/me", nil).refused(t, http.StatusUnauthorized, "CREDENTIAL_INVALID")
	login := object{"email": mia.email, "password": goodPassword}
	o.ask(t, person{}, "POST", "/v1/auth/login", login).refused(t, http.StatusUnauthorized, "LOGIN_FAILED")
	require.NotContains(t, o.ask(t, o.owner, "GET", "/v1/users", nil).body, mia.id)
	require.Equal(t, a.object(t, http.StatusOK), o.ask(t, o.owner, "GET", path, nil).object(t, http.StatusOK), "it can still be looked at")

	// Nothing but restoring can be done to it.
	o.ask(t, o.owner, "DELETE", path+"?version=3", nil).refused(t, http.StatusBadRequest, "USER_DELETED")
	o.ask(t, o.owner, "PATCH", path, object{"version": 3, "name": "x"}).refused(t, http.StatusBadRequest, "USER_DELETED")
	o.setRoles(t, o.owner, mia, "owner").refused(t, http.StatusBadRequest, "USER_DELETED")

	a = o.ask(t, o.owner, "POST", path+":restore", object{})
	require.Equal(t, "4", a.get(t, http.StatusOK, "version"))
	require.Nil(t, a.object(t, http.StatusOK)["delete_time"])
	o.ask(t, mia, "GET", "/v1/me", nil).refused(t, http.StatusUnauthorized, "CREDENTIAL_INVALID")
	back := o.enter(t, mia.email)
	require.Equal(t, []any{"auditor"}, o.ask(t, back, "GET", "/v1/me", nil).object(t, http.StatusOK)["roles"], "the roles came back")

	require.Equal(t, [][4]string{{"user " + o.owner.id, mia.id, "", `{"api_keys_revoked": 0, "sessions_revoked": 1}`}}, o.audited(t, "user.deleted"))
	require.Equal(t, [][4]string{{"user " + o.owner.id, mia.id, "", `{"roles": ["auditor"]}`}}, o.audited(t, "user.restored"))
}

func TestUsers_NobodyActsOnWhoIsAboveThem(t *testing.T) {
	t.Parallel()
	o := newOrg(t)
	adam, heir, mia := o.join(t, "adam", "admin"), o.join(t, "heir", "owner"), o.join(t, "mia")
	o.setRoles(t, adam, mia, "owner").refused(t, http.StatusForbidden, "GRANT_ABOVE_OWN")
	o.setRoles(t, adam, adam, "admin", "owner").refused(t, http.StatusForbidden, "GRANT_ABOVE_OWN")
	o.setRoles(t, adam, heir, "member").refused(t, http.StatusForbidden, "GRANT_ABOVE_OWN")
	o.ask(t, adam, "DELETE", "/v1/users/"+heir.id+"?version=2", nil).refused(t, http.StatusForbidden, "GRANT_ABOVE_OWN")
	require.Equal(t, http.StatusOK, o.ask(t, o.owner, "DELETE", "/v1/users/"+heir.id+"?version=2", nil).status)
	o.ask(t, adam, "POST", "/v1/users/"+heir.id+":restore", object{}).refused(t, http.StatusForbidden, "GRANT_ABOVE_OWN")
	require.Equal(t, http.StatusOK, o.ask(t, o.owner, "POST", "/v1/users/"+heir.id+":restore", object{}).status)

	// Within their own rights an admin does it all.
	a := o.setRoles(t, adam, mia, "admin", "auditor")
	require.Equal(t, []any{object{"id": o.role(t, "admin"), "name": "admin"}, object{"id": o.role(t, "auditor"), "name": "auditor"}}, a.object(t, http.StatusOK)["roles"].(object)["items"])
	require.Equal(t, http.StatusOK, o.setRoles(t, adam, mia, "member").status)
	o.setRoles(t, o.owner, mia, "0190b1c2-0000-7000-8000-000000000001").refused(t, http.StatusNotFound, "ROLE_NOT_FOUND")
	require.Contains(t, o.audited(t, "user.roles_set"),
		[4]string{"user " + adam.id, mia.id, `{"roles": ["admin", "auditor"]}`, `{"roles": ["member"]}`})
}

func TestUsers_TheLastOwnerStays(t *testing.T) {
	t.Parallel()
	o := newOrg(t)
	path := "/v1/users/" + o.owner.id
	o.ask(t, o.owner, "DELETE", path+"?version=1", nil).refused(t, http.StatusBadRequest, "LAST_OWNER")
	o.setRoles(t, o.owner, o.owner, "admin").refused(t, http.StatusBadRequest, "LAST_OWNER")

	// A deleted owner does not count.
	heir := o.join(t, "heir", "owner")
	require.Equal(t, http.StatusOK, o.ask(t, o.owner, "DELETE", "/v1/users/"+heir.id+"?version=2", nil).status)
	o.ask(t, o.owner, "DELETE", path+"?version=1", nil).refused(t, http.StatusBadRequest, "LAST_OWNER")
	require.Equal(t, http.StatusOK, o.ask(t, o.owner, "POST", "/v1/users/"+heir.id+":restore", object{}).status)
	require.Equal(t, http.StatusOK, o.setRoles(t, o.owner, o.owner, "admin").status)
	heir = o.enter(t, heir.email)
	o.ask(t, heir, "DELETE", "/v1/users/"+heir.id+"?version=4", nil).refused(t, http.StatusBadRequest, "LAST_OWNER")
}

func TestUsers_AKeyedChangeHappensOnce(t *testing.T) {
	t.Parallel()
	o := newOrg(t)
	mia := o.join(t, "mia")
	body := object{"name": "Mia M.", "version": 1}
	first := o.ask(t, o.owner, "PATCH", "/v1/users/"+mia.id, body, "Idempotency-Key", "k1")
	again := o.ask(t, o.owner, "PATCH", "/v1/users/"+mia.id, body, "Idempotency-Key", "k1")
	require.Equal(t, first.object(t, http.StatusOK), again.object(t, http.StatusOK))
	require.Equal(t, "true", again.header.Get("Idempotency-Replayed"))
	require.Len(t, o.audited(t, "user.updated"), 1)
}
