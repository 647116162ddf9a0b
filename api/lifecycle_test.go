package api

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tenantry/internal/clock"
	"tenantry/internal/ids"
	"tenantry/internal/lifecycle"
	"tenantry/internal/testdb"
)

// An operator shuts a tenant: within a second nobody enters by any door, and
// the session that was logged in works again once it is resumed.
func TestSuspend_TheEdgeRefusesWithinASecond(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id, host := w.settle(t, "acme")
	token := w.logIn(t, host, "owner@acme.example")
	me := call{method: "GET", host: host, path: "/v1/me", bearer: token}
	require.Equal(t, http.StatusOK, w.do(t, me).status)
	worker := lifecycle.New(w.in.Central, w.router, w.in.Admin, clock.System, nil, testdb.Log())

	a := w.operate(t, "POST", id, ":suspend", "")
	op := a.get(t, http.StatusAccepted, "id")
	require.Equal(t, "/v1/operations/"+op, a.header.Get("Location"))
	require.Equal(t, op, w.operate(t, "POST", id, ":suspend", "").get(t, http.StatusAccepted, "id"))
	since := time.Now()
	var taken time.Duration // when the last call was sent that was let in
	require.Eventually(t, func() bool {
		sent := time.Since(since)
		if w.do(t, me).status != http.StatusOK {
			return true
		}
		taken = sent
		return false
	}, 10*time.Second, 5*time.Millisecond)
	require.LessOrEqual(t, taken, time.Second)
	require.Equal(t, "TENANT_SUSPENDED", w.do(t, me).problem(t).Reason)
	for _, path := range []string{"/tenantry.users.v1.UserService/GetMe", "/v1/auth/login", "/m/invitation?token=x", "/.well-known/jwks.json", "/nowhere"} {
		require.Equal(t, "TENANT_SUSPENDED", w.do(t, call{method: "GET", host: host, path: path}).problem(t).Reason, path)
	}
	c := lifecycle.Call{Tenant: id, Operation: operationID(t, op)}
	require.NoError(t, worker.ApplyAccess(t.Context(), c))
	require.Equal(t, "TENANT_STATE_SUSPENDED", w.operate(t, "GET", id, "", "").get(t, http.StatusOK, "state"))
	require.Equal(t, "OPERATION_NOT_CANCELLABLE",
		w.do(t, call{method: "POST", host: centralHost, path: "/v1/operations/" + w.operate(t, "POST", id, ":resume", "").get(t, http.StatusAccepted, "id") + ":cancel", bearer: w.operator}).problem(t).Reason)

	c.Operation = operationID(t, w.operate(t, "POST", id, ":resume", "").get(t, http.StatusAccepted, "id"))
	require.NoError(t, worker.ApplyAccess(t.Context(), c))
	require.Eventually(t, func() bool { return w.do(t, me).status == http.StatusOK }, 10*time.Second, 20*time.Millisecond)
}

// operate calls a tenant as an operator.
func (w *world) operate(t *testing.T, method string, id ids.Tenant, verb, body string) answer {
	t.Helper()
	return w.do(t, call{method: method, host: centralHost, path: "/v1/tenants/" + id.String() + verb, bearer: w.operator, body: body})
}

func operationID(t *testing.T, text string) ids.Operation {
	t.Helper()
	id, err := ids.ParseOperation(text)
	require.NoError(t, err)
	return id
}

func TestSetTenantLimits_NeedsTheVersionThatWasRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.do(t, call{method: "POST", host: centralHost, path: "/v1/tenants", bearer: w.operator, body: order("acme")})
	id, err := ids.ParseTenant(a.get(t, http.StatusAccepted, "tenant_id"))
	require.NoError(t, err)
	require.Equal(t, "TENANT_STATE", w.operate(t, "PATCH", id, "/limits", `{"max_users":5,"version":1}`).problem(t).Reason, "reserved")
	w.in.SetState(t, id, "active")

	tag := w.operate(t, "GET", id, "", "").header.Get("ETag")
	require.Equal(t, `"1"`, tag)
	patch := func(ifMatch, body string) answer {
		c := call{method: "PATCH", host: centralHost, path: "/v1/tenants/" + id.String() + "/limits", bearer: w.operator, body: body, header: map[string]string{}}
		if ifMatch != "" {
			c.header["If-Match"] = ifMatch
		}
		return w.do(t, c)
	}
	require.Equal(t, "max_users", one(patch(tag, `{}`).problem(t).Fields), "a limit left out is no limit of 0")
	require.Equal(t, "max_users", one(patch(tag, `{"max_users":-1}`).problem(t).Fields))
	require.Equal(t, "max_users", one(patch(tag, `{"max_users":1000001}`).problem(t).Fields))
	require.Equal(t, 428, patch("", `{"max_users":5}`).status)
	require.Equal(t, http.StatusAccepted, patch(tag, `{"max_users":0}`).status)
	require.Equal(t, 412, patch(tag, `{"max_users":5}`).status)
	require.Equal(t, `"2"`, w.operate(t, "GET", id, "", "").header.Get("ETag"))
}

func one(fields map[string]string) string {
	for name := range fields {
		return name
	}
	return fmt.Sprint(len(fields), " fields")
}

func TestInviteTenantOwner_NamesABadAddress(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := ids.NewTenant()
	for _, bad := range []string{"owner", "Jo <jo@acme.example>", `jo@acme.example\r\nBcc: x@y.z`} {
		require.Equal(t, "owner_email", one(w.operate(t, "POST", id, ":inviteOwner", `{"owner_email":"`+bad+`"}`).problem(t).Fields), bad)
	}
	require.Equal(t, "TENANT_NOT_FOUND", w.operate(t, "POST", id, ":inviteOwner", "").problem(t).Reason)
	require.Equal(t, "TENANT_NOT_FOUND", w.operate(t, "POST", id, ":suspend", "{}").problem(t).Reason)
}
