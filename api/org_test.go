package api

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"tenantry/internal/db"
	"tenantry/internal/ids"
)

// org is a tenant with its owner logged in.
type org struct {
	*world
	id    ids.Tenant
	host  string
	owner person
}

// person is somebody who is logged in.
type person struct{ id, email, token string }

type object = map[string]any

func newOrg(t *testing.T) *org {
	t.Helper()
	o := &org{world: newWorld(t)}
	o.id, o.host = o.settle(t, "acme")
	o.owner = o.enter(t, "owner@acme.example")
	return o
}

// enter logs a person in.
func (o *org) enter(t *testing.T, email string) person {
	t.Helper()
	p := person{email: email, token: o.logIn(t, o.host, email)}
	p.id = o.ask(t, p, "GET", "/v1/me", nil).get(t, http.StatusOK, "user.id")
	return p
}

// join makes a person who registers, and whom the owner gives roles.
func (o *org) join(t *testing.T, name string, roles ...string) person {
	t.Helper()
	email := name + "@acme.example"
	a := o.ask(t, person{}, "POST", "/v1/auth/register", object{"name": name, "email": email, "password": goodPassword})
	require.Equal(t, http.StatusOK, a.status, a.body)
	o.fillIn(t, o.host, o.link(t, o.id, email), url.Values{})
	p := o.enter(t, email)
	if len(roles) > 0 {
		a = o.setRoles(t, o.owner, p, roles...)
		require.Equal(t, http.StatusOK, a.status, a.body)
	}
	return p
}

// setRoles gives a person roles by their ids or names.
func (o *org) setRoles(t *testing.T, by, p person, roles ...string) answer {
	t.Helper()
	list := []string{}
	for _, r := range roles {
		if len(r) != 36 {
			r = o.role(t, r)
		}
		list = append(list, r)
	}
	return o.ask(t, by, "POST", "/v1/users/"+p.id+":setRoles", object{"role_ids": list, "version": o.version(t, "/v1/users/"+p.id)})
}

// role answers the id of a role.
func (o *org) role(t *testing.T, name string) string {
	t.Helper()
	a := o.ask(t, o.owner, "GET", "/v1/roles?limit=100", nil)
	for _, r := range a.object(t, http.StatusOK)["roles"].([]any) {
		if r.(object)["name"] == name {
			return r.(object)["id"].(string)
		}
	}
	require.Fail(t, "no role "+name)
	return ""
}

// version answers what the owner reads as the version of a resource.
func (o *org) version(t *testing.T, path string) string {
	t.Helper()
	a := o.ask(t, o.owner, "GET", path, nil)
	v := a.get(t, http.StatusOK, "version")
	require.Equal(t, strconv.Quote(v), a.header.Get("ETag"))
	return v
}

// ask makes a REST call with a JSON body; headers come in pairs.
func (o *org) ask(t *testing.T, by person, method, path string, body object, headers ...string) answer {
	t.Helper()
	c := call{method: method, host: o.host, path: path, bearer: by.token, header: map[string]string{}}
	if body != nil {
		text, err := json.Marshal(body)
		require.NoError(t, err)
		c.body = string(text)
	}
	for i := 0; i < len(headers); i += 2 {
		c.header[headers[i]] = headers[i+1]
	}
	return o.do(t, c)
}

// object decodes an answer of a status.
func (a answer) object(t *testing.T, status int) object {
	t.Helper()
	require.Equal(t, status, a.status, a.body)
	var v object
	require.NoError(t, json.Unmarshal([]byte(a.body), &v), a.body)
	return v
}

// refused checks an error by its status and reason.
func (a answer) refused(t *testing.T, status int, reason string) problem {
	t.Helper()
	require.Equal(t, status, a.status, a.body)
	p := a.problem(t)
	require.Equal(t, reason, p.Reason, a.body)
	return p
}

// lease answers a lease on the tenant's database.
func (o *org) lease(t *testing.T) *db.Lease {
	t.Helper()
	e, err := o.directory.Fresh(t.Context(), o.id)
	require.NoError(t, err)
	l, err := o.router.LeaseEntry(e)
	require.NoError(t, err)
	return l
}

// audited answers the rows of an action in the order they were written: actor,
// target, before and after.
func (o *org) audited(t *testing.T, action string) (rows [][4]string) {
	t.Helper()
	found, err := o.lease(t).Database().Query(t.Context(), `
		SELECT actor_kind || ' ' || coalesce(actor_id::text, ''), coalesce(target_id::text, ''), coalesce(before::text, ''), coalesce(after::text, '')
		FROM audit_log WHERE action = $1 ORDER BY at, id`, action)
	require.NoError(t, err)
	defer found.Close()
	for found.Next() {
		var r [4]string
		require.NoError(t, found.Scan(&r[0], &r[1], &r[2], &r[3]))
		rows = append(rows, r)
	}
	require.NoError(t, found.Err())
	return rows
}
