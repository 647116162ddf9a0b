package api

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"tenantry/internal/rbac"
)

func TestRoles_ACustomRoleFromItsBirthToItsEnd(t *testing.T) {
	t.Parallel()
	o := newOrg(t)
	a := o.ask(t, o.owner, "POST", "/v1/roles", object{"name": "Support", "description": "first line", "permissions": []string{"users.update", "users.read"}})
	id := a.get(t, http.StatusOK, "id")
	require.Equal(t, `"1"`, a.header.Get("ETag"))
	require.Equal(t, []any{"users.read", "users.update"}, a.object(t, http.StatusOK)["permissions"])
	require.Equal(t, a.object(t, http.StatusOK), o.ask(t, o.owner, "GET", "/v1/roles/"+id, nil).object(t, http.StatusOK))

	a = o.ask(t, o.owner, "PATCH", "/v1/roles/"+id, object{"name": "Help desk"}, "If-Match", `"1"`)
	require.Equal(t, "2", a.get(t, http.StatusOK, "version"))
	require.Equal(t, "first line", a.get(t, http.StatusOK, "description"), "what is absent stays")
	a = o.ask(t, o.owner, "PATCH", "/v1/roles/"+id, object{"version": "2", "description": "", "permissions": object{}})
	require.Equal(t, "", a.get(t, http.StatusOK, "description"))
	require.Empty(t, a.object(t, http.StatusOK)["permissions"], "a list without values empties the set")
	require.Len(t, o.ask(t, o.owner, "GET", "/v1/roles", nil).object(t, http.StatusOK)["roles"], 5)

	a = o.ask(t, o.owner, "DELETE", "/v1/roles/"+id+"?version=3", nil)
	require.Equal(t, http.StatusOK, a.status, a.body)
	o.ask(t, o.owner, "GET", "/v1/roles/"+id, nil).refused(t, http.StatusNotFound, "ROLE_NOT_FOUND")

	actor := "user " + o.owner.id
	require.Equal(t, [][4]string{{actor, id, "", `{"name": "Support", "permissions": ["users.read", "users.update"]}`}}, o.audited(t, "role.created"))
	require.Equal(t, [][4]string{
		{actor, id, `{"name": "Support"}`, `{"name": "Help desk"}`},
		{actor, id, `{"description": "first line", "permissions": ["users.read", "users.update"]}`, `{"description": "", "permissions": []}`},
	}, o.audited(t, "role.updated"))
	require.Equal(t, [][4]string{{actor, id, `{"name": "Help desk", "permissions": []}`, ""}}, o.audited(t, "role.deleted"))
}

func TestRoles_RefusalsNameWhatIsWrongAndChangeNothing(t *testing.T) {
	t.Parallel()
	o := newOrg(t)
	custom := o.ask(t, o.owner, "POST", "/v1/roles", object{"name": "Support", "permissions": []string{"users.read"}}).get(t, http.StatusOK, "id")
	owners := o.ask(t, o.owner, "POST", "/v1/roles", object{"name": "Heir", "permissions": []string{"tenant.manage"}}).get(t, http.StatusOK, "id")
	adam := o.join(t, "adam", "admin")
	o.join(t, "mia", custom)
	builtin := o.role(t, "member")
	path := "/v1/roles/" + custom
	const id = "0190b1c2-0000-7000-8000-000000000001"
	before := o.ask(t, o.owner, "GET", "/v1/roles", nil).body
	for name, tt := range map[string]struct {
		by           person
		method, path string
		body         object
		status       int
		reason       string
		field        string
	}{
		"no name":                 {o.owner, "POST", "/v1/roles", object{}, 400, "INVALID_ARGUMENT", "name"},
		"white space":             {o.owner, "POST", "/v1/roles", object{"name": " a"}, 400, "INVALID_ARGUMENT", "name"},
		"turned around":           {o.owner, "POST", "/v1/roles", object{"name": "a\u202eb"}, 400, "INVALID_ARGUMENT", "name"},
		"an unknown permission":   {o.owner, "POST", "/v1/roles", object{"name": "x", "permissions": []string{"users.reed"}}, 400, "INVALID_ARGUMENT", "permissions"},
		"a permission twice":      {o.owner, "POST", "/v1/roles", object{"name": "x", "permissions": []string{"users.read", "users.read"}}, 400, "INVALID_ARGUMENT", "permissions"},
		"builtin by hand":         {o.owner, "POST", "/v1/roles", object{"name": "x", "builtin": true}, 400, "MALFORMED_BODY", "builtin"},
		"a name in another case":  {o.owner, "POST", "/v1/roles", object{"name": "SUPPORT"}, 409, "ROLE_EXISTS", ""},
		"a built-in name":         {o.owner, "POST", "/v1/roles", object{"name": "Owner"}, 409, "ROLE_EXISTS", ""},
		"more than one may":       {adam, "POST", "/v1/roles", object{"name": "x", "permissions": []string{"tenant.manage"}}, 403, "GRANT_ABOVE_OWN", ""},
		"raising above one's own": {adam, "PATCH", path, object{"version": 1, "permissions": object{"values": []string{"tenant.manage"}}}, 403, "GRANT_ABOVE_OWN", ""},
		"touching what is above":  {adam, "PATCH", "/v1/roles/" + owners, object{"version": 1, "permissions": object{}}, 403, "GRANT_ABOVE_OWN", ""},
		"deleting what is above":  {adam, "DELETE", "/v1/roles/" + owners + "?version=1", nil, 403, "GRANT_ABOVE_OWN", ""},
		"nothing to change":       {o.owner, "PATCH", path, object{"version": 1}, 400, "INVALID_ARGUMENT", "name"},
		"a taken name":            {o.owner, "PATCH", path, object{"version": 1, "name": "ADMIN"}, 409, "ROLE_EXISTS", ""},
		"no version":              {o.owner, "PATCH", path, object{"name": "x"}, 428, "VERSION_REQUIRED", "version"},
		"a stale version":         {o.owner, "PATCH", path, object{"name": "x", "version": 7}, 409, "VERSION_CONFLICT", ""},
		"a built-in one":          {o.owner, "PATCH", "/v1/roles/" + builtin, object{"name": "x", "version": 1}, 400, "ROLE_BUILTIN", ""},
		"deleting a built-in one": {o.owner, "DELETE", "/v1/roles/" + builtin + "?version=1", nil, 400, "ROLE_BUILTIN", ""},
		"deleting one in use":     {o.owner, "DELETE", path + "?version=1", nil, 400, "ROLE_IN_USE", ""},
		"deleting blindly":        {o.owner, "DELETE", path, nil, 428, "VERSION_REQUIRED", "version"},
		"nobody's":                {o.owner, "PATCH", "/v1/roles/" + id, object{"name": "x", "version": 1}, 404, "ROLE_NOT_FOUND", ""},
		"no id":                   {o.owner, "GET", "/v1/roles/7", nil, 400, "INVALID_ARGUMENT", "id"},
	} {
		t.Run(name, func(t *testing.T) {
			p := o.ask(t, tt.by, tt.method, tt.path, tt.body).refused(t, tt.status, tt.reason)
			if tt.field != "" {
				require.Contains(t, p.Fields, tt.field)
			}
		})
	}
	require.Equal(t, before, o.ask(t, o.owner, "GET", "/v1/roles", nil).body)
	p := o.ask(t, o.owner, "POST", "/v1/roles", object{"name": "x", "permissions": []string{"users.reed"}}).problem(t)
	for _, allowed := range rbac.Permissions {
		require.Contains(t, p.Message, allowed)
	}
	// If-Match is the precondition of HTTP: it fails with its own status.
	o.ask(t, o.owner, "PATCH", path, object{"name": "x"}, "If-Match", `"7"`).refused(t, http.StatusPreconditionFailed, "VERSION_CONFLICT")
}

func TestRoles_AChangeActsOnTheNextRequest(t *testing.T) {
	t.Parallel()
	o := newOrg(t)
	custom := o.ask(t, o.owner, "POST", "/v1/roles", object{"name": "Reader", "permissions": []string{"users.read"}}).get(t, http.StatusOK, "id")
	mia := o.join(t, "mia", custom)
	require.Equal(t, http.StatusOK, o.ask(t, mia, "GET", "/v1/users", nil).status)

	a := o.ask(t, o.owner, "PATCH", "/v1/roles/"+custom, object{"version": 1, "permissions": object{}})
	require.Equal(t, http.StatusOK, a.status, a.body)
	o.ask(t, mia, "GET", "/v1/users", nil).refused(t, http.StatusForbidden, "PERMISSION_MISSING")

	require.Equal(t, http.StatusOK, o.setRoles(t, o.owner, mia, "auditor").status)
	require.Equal(t, http.StatusOK, o.ask(t, mia, "GET", "/v1/users", nil).status)
	require.Equal(t, http.StatusOK, o.setRoles(t, o.owner, mia).status)
	o.ask(t, mia, "GET", "/v1/users", nil).refused(t, http.StatusForbidden, "PERMISSION_MISSING")
	a = o.ask(t, mia, "GET", "/v1/me", nil)
	require.Empty(t, a.object(t, http.StatusOK)["roles"], "own data stays")
	// Now nothing stands in the way of the role's end.
	require.Equal(t, http.StatusOK, o.ask(t, o.owner, "DELETE", "/v1/roles/"+custom+"?version=2", nil).status)
}
