package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tenantry/internal/rbac"
)

// organization is a tenant whose owner calls by token alone.
type organization struct {
	*org
	owner string
}

func newOrganization(t *testing.T) *organization {
	t.Helper()
	o := newOrg(t)
	return &organization{o, o.owner.token}
}

func (o *organization) as(t *testing.T, bearer, method, path, body string) answer {
	t.Helper()
	return o.do(t, call{method: method, host: o.host, path: path, bearer: bearer, body: body})
}

// key makes an API key and answers its id and secret.
func (o *organization) key(t *testing.T, body string) (id, secret string) {
	t.Helper()
	a := o.as(t, o.owner, "POST", "/v1/api-keys", body)
	return a.get(t, http.StatusOK, "key.id"), a.get(t, http.StatusOK, "secret")
}

func scopes(list ...string) string {
	text, _ := json.Marshal(list)
	return `"scopes":` + string(text)
}

func TestAPIKeys_ActForTheirOwnerWithinTheirScopes(t *testing.T) {
	t.Parallel()
	o := newOrganization(t)
	id, secret := o.key(t, `{"name":"reports",`+scopes("users.read")+`}`)
	me := o.as(t, secret, "GET", "/v1/me", "")
	require.Equal(t, id, me.get(t, http.StatusOK, "api_key_id"))
	require.Equal(t, "owner@acme.example", me.get(t, http.StatusOK, "user.email"))
	require.Contains(t, me.body, `["users.read"]`)
	require.Equal(t, http.StatusOK, o.as(t, secret, "GET", "/v1/users", "").status)
	require.Equal(t, "PERMISSION_MISSING", o.as(t, secret, "GET", "/v1/api-keys", "").problem(t).Reason)

	// A key issues no credential, whatever its scopes.
	_, manager := o.key(t, `{"name":"manager",`+scopes("apikeys.manage")+`}`)
	require.Equal(t, http.StatusOK, o.as(t, manager, "GET", "/v1/api-keys", "").status)
	require.Equal(t, "CREDENTIAL_KIND", o.as(t, manager, "POST", "/v1/api-keys", `{"name":"x",`+scopes("apikeys.manage")+`}`).problem(t).Reason)
	require.Equal(t, "CREDENTIAL_KIND", o.as(t, manager, "POST", "/v1/api-keys/"+id+":rotate", `{"version":"1"}`).problem(t).Reason)
	// Nor does it widen one, its own included.
	a := o.as(t, manager, "PATCH", "/v1/api-keys/"+id, `{"version":"1","scopes":{"values":["users.delete"]}}`)
	require.Equal(t, "GRANT_ABOVE_OWN", a.problem(t).Reason)
}

func TestAPIKeys_FollowTheirOwnersRightsOnTheNextRequest(t *testing.T) {
	t.Parallel()
	o := newOrganization(t)
	_, mine := o.key(t, `{"name":"mine",`+scopes("users.read")+`}`)
	account := o.as(t, o.owner, "POST", "/v1/service-accounts", `{"name":"robot","role_ids":["`+o.role(t, rbac.Auditor)+`"]}`)
	robot := account.get(t, http.StatusOK, "id")
	_, secret := o.key(t, `{"name":"bot",`+scopes("users.read", "users.delete")+`,"service_account_id":"`+robot+`"}`)
	me := o.as(t, secret, "GET", "/v1/me", "")
	require.Equal(t, robot, me.get(t, http.StatusOK, "service_account_id"))
	require.Contains(t, me.body, `["users.read"]`, "the scopes name more than the account may")
	require.NotContains(t, me.body, `@`)
	require.Equal(t, http.StatusOK, o.as(t, secret, "GET", "/v1/users", "").status)

	a := o.as(t, o.owner, "PATCH", "/v1/service-accounts/"+robot, `{"version":"1","roles":{"ids":[]}}`)
	require.Equal(t, http.StatusOK, a.status, a.body)
	require.Equal(t, `"2"`, a.header.Get("ETag"))
	require.Equal(t, "PERMISSION_MISSING", o.as(t, secret, "GET", "/v1/users", "").problem(t).Reason)
	a = o.do(t, call{method: "DELETE", host: o.host, path: "/v1/service-accounts/" + robot, bearer: o.owner, header: map[string]string{"If-Match": `"2"`}})
	require.Equal(t, http.StatusOK, a.status, a.body)
	require.Equal(t, "CREDENTIAL_INVALID", o.as(t, secret, "GET", "/v1/me", "").problem(t).Reason)

	_, err := o.sql(t).Exec(t.Context(), `UPDATE users SET deleted_at = now()`)
	require.NoError(t, err)
	require.Equal(t, "CREDENTIAL_INVALID", o.as(t, mine, "GET", "/v1/me", "").problem(t).Reason)
}

func TestAPIKeys_RotateWithAnOverlapAndEndWhenRevoked(t *testing.T) {
	t.Parallel()
	o := newOrganization(t)
	id, first := o.key(t, `{"name":"k",`+scopes("users.read")+`}`)
	a := o.as(t, o.owner, "POST", "/v1/api-keys/"+id+":rotate", `{"version":"1","overlap_seconds":600}`)
	second := a.get(t, http.StatusOK, "secret")
	for _, secret := range []string{first, second} {
		require.Equal(t, http.StatusOK, o.as(t, secret, "GET", "/v1/me", "").status)
	}
	a = o.as(t, o.owner, "POST", "/v1/api-keys/"+id+":rotate", `{"version":"2"}`)
	third := a.get(t, http.StatusOK, "secret")
	for _, secret := range []string{first, second} {
		require.Equal(t, "CREDENTIAL_INVALID", o.as(t, secret, "GET", "/v1/me", "").problem(t).Reason)
	}
	require.Equal(t, "VERSION_CONFLICT", o.as(t, o.owner, "POST", "/v1/api-keys/"+id+":rotate", `{"version":"2"}`).problem(t).Reason)
	require.Equal(t, 428, o.as(t, o.owner, "POST", "/v1/api-keys/"+id+":rotate", `{}`).status)
	for range 2 {
		require.NotEmpty(t, o.as(t, o.owner, "POST", "/v1/api-keys/"+id+":revoke", "").get(t, http.StatusOK, "revoke_time"))
	}
	require.Equal(t, "CREDENTIAL_INVALID", o.as(t, third, "GET", "/v1/me", "").problem(t).Reason)
	require.Equal(t, "API_KEY_REVOKED", o.as(t, o.owner, "PATCH", "/v1/api-keys/"+id, `{"version":"4","name":"x"}`).problem(t).Reason)
	var rows int
	require.NoError(t, o.sql(t).QueryRow(t.Context(), `SELECT count(*) FROM audit_log WHERE action = 'api_key.revoked'`).Scan(&rows))
	require.Equal(t, 1, rows, "the repetition had no effect")
}

// Planted, each by itself: Update, and Rotate, that tells nobody; a notice of an
// update that changes nothing; same without a look at the name, the scopes or
// the networks; a notice of a service account's key, which is nobody's.
func TestAPIKeys_TheirPersonIsToldOfEveryChange(t *testing.T) {
	t.Parallel()
	o := newOrganization(t)
	id, _ := o.key(t, `{"name":"k",`+scopes("users.read")+`}`)
	told := func() int { return o.mails(t, "notice_key_changed") }
	require.Zero(t, told(), "a new key has a notice of its own")
	version := 1
	change := func(method, path, body string) {
		t.Helper()
		a := o.as(t, o.owner, method, path, fmt.Sprintf(`{"version":"%d"%s}`, version, body))
		require.Equal(t, http.StatusOK, a.status, a.body)
		version++
	}
	for n, body := range []string{
		`,"name":"other"`, `,"scopes":{"values":["users.read","users.update"]}`, `,"allowed_networks":{"values":["127.0.0.1"]}`, `,"allowed_networks":{"values":[]}`,
	} {
		change("PATCH", "/v1/api-keys/"+id, body)
		require.Equal(t, n+1, told(), body)
	}
	change("PATCH", "/v1/api-keys/"+id, `,"name":"other","scopes":{"values":["users.update","users.read"]},"allowed_networks":{"values":[]}`)
	require.Equal(t, 4, told(), "nothing has changed")
	change("POST", "/v1/api-keys/"+id+":rotate", "")
	require.Equal(t, 5, told())
	o.as(t, o.owner, "PATCH", "/v1/api-keys/"+id, `{"version":"1","name":"late"}`)
	require.Equal(t, 5, told(), "a refused change is none")

	page := o.link(t, o.id, "owner@acme.example")
	require.Equal(t, "An API key that acts for you at acme Inc was changed", o.subjects("owner@acme.example")[0])
	require.True(t, strings.HasPrefix(page, "/m/not-me?"), page)

	robot := o.as(t, o.owner, "POST", "/v1/service-accounts", `{"name":"robot","role_ids":[]}`).get(t, http.StatusOK, "id")
	id, _ = o.key(t, `{"name":"bot",`+scopes("users.read")+`,"service_account_id":"`+robot+`"}`)
	version = 1
	change("PATCH", "/v1/api-keys/"+id, `,"name":"other"`)
	change("POST", "/v1/api-keys/"+id+":rotate", "")
	require.Equal(t, 5, told())
}

func TestAPIKeys_AreBoundToTheirNetworksAndTenant(t *testing.T) {
	t.Parallel()
	o := newOrganization(t)
	_, elsewhere := o.key(t, `{"name":"a",`+scopes("users.read")+`,"allowed_networks":["203.0.113.0/24"]}`)
	require.Equal(t, "ADDRESS_NOT_ALLOWED", o.as(t, elsewhere, "GET", "/v1/me", "").problem(t).Reason)
	_, here := o.key(t, `{"name":"b",`+scopes("users.read")+`,"allowed_networks":["127.0.0.0/8","::1"]}`)
	require.Equal(t, http.StatusOK, o.as(t, here, "GET", "/v1/me", "").status)

	_, other := o.settle(t, "globex")
	foreign := o.do(t, call{method: "GET", host: other, path: "/v1/me", bearer: here}).problem(t)
	random := o.do(t, call{method: "GET", host: other, path: "/v1/me", bearer: "tnk_" + strings.Repeat("0", 84)}).problem(t)
	require.Equal(t, random.Message, foreign.Message)
	require.Equal(t, random.Reason, foreign.Reason)
	require.Equal(t, "CREDENTIAL_INVALID", o.do(t, call{method: "GET", host: centralHost, path: "/v1/tenants", bearer: here}).problem(t).Reason)
}

func TestAPIKeys_ExpireAndAreNeverAboveTheirMaker(t *testing.T) {
	t.Parallel()
	o := newOrganization(t)
	id, secret := o.key(t, `{"name":"k",`+scopes("users.read")+`,"expire_days":1}`)
	_, err := o.sql(t).Exec(t.Context(), `UPDATE api_keys SET expires_at = now() WHERE id = $1`, id)
	require.NoError(t, err)
	require.Equal(t, "CREDENTIAL_INVALID", o.as(t, secret, "GET", "/v1/me", "").problem(t).Reason)

	// An admin makes no key of what only owners may, nor touches an account that may it.
	account := o.as(t, o.owner, "POST", "/v1/service-accounts", `{"name":"root","role_ids":["`+o.role(t, rbac.Owner)+`"]}`).get(t, http.StatusOK, "id")
	_, err = o.sql(t).Exec(t.Context(), `UPDATE user_roles SET role_id = $1`, o.role(t, rbac.Admin))
	require.NoError(t, err)
	for _, c := range []struct{ method, path, body string }{
		{"POST", "/v1/api-keys", `{"name":"k",` + scopes("tenant.manage") + `}`},
		{"POST", "/v1/service-accounts", `{"name":"other","role_ids":["` + o.role(t, rbac.Owner) + `"]}`},
		{"PATCH", "/v1/service-accounts/" + account, `{"version":"1","name":"mine"}`},
		{"DELETE", "/v1/service-accounts/" + account + "?version=1", ""},
	} {
		a := o.as(t, o.owner, c.method, c.path, c.body)
		require.Equal(t, http.StatusForbidden, a.status, "%s %s: %s", c.method, c.path, a.body)
		require.Equal(t, "GRANT_ABOVE_OWN", a.problem(t).Reason)
	}
}

func TestAPIKeys_TheLimitHoldsUnderParallelCalls(t *testing.T) {
	t.Parallel()
	o := newOrganization(t)
	var wg sync.WaitGroup
	statuses := make(chan int, 60)
	for i := range 60 {
		wg.Go(func() {
			a := o.as(t, o.owner, "POST", "/v1/api-keys", fmt.Sprintf(`{"name":"k%d",`, i)+scopes("users.read")+`}`)
			statuses <- a.status
		})
	}
	wg.Wait()
	close(statuses)
	made := 0
	for s := range statuses {
		if s == http.StatusOK {
			made++
		}
	}
	require.Equal(t, 50, made)
}

func TestAPIKeys_LastUseIsKeptToTheMinute(t *testing.T) {
	t.Parallel()
	o := newOrganization(t)
	id, secret := o.key(t, `{"name":"k",`+scopes("users.read")+`}`)
	for range 3 {
		o.as(t, secret, "GET", "/v1/me", "")
	}
	used, err := time.Parse(time.RFC3339, o.as(t, o.owner, "GET", "/v1/api-keys/"+id, "").get(t, http.StatusOK, "last_used_time"))
	require.NoError(t, err)
	require.WithinDuration(t, time.Now(), used, time.Minute)
}
