package api

import (
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"tenantry/internal/apperr"
	"tenantry/internal/clock"
	"tenantry/internal/db"
	"tenantry/internal/tenants"
)

func depsForBuild() Deps {
	return Deps{PublicURL: &url.URL{Scheme: "http", Host: centralHost}, Now: clock.System}
}

func TestAccess_RefusalsAtBothDoors(t *testing.T) {
	t.Parallel()
	f := setup(t)
	const listTenants, getOperation = "/tenantry.tenants.v1.TenantService/ListTenants", "/tenantry.operations.v1.OperationService/GetOperation"
	const id = "0190b1c2-0000-7000-8000-000000000001"
	type door struct{ method, path, body string }
	for name, tt := range map[string]struct {
		host, bearer string
		header       map[string]string
		doors        []door
		status       int
		reason       string
	}{
		"no credential":            {acmeHost, "", nil, []door{{"GET", "/v1/me", ""}, {"POST", getMe, "{}"}}, 401, "CREDENTIAL_MISSING"},
		"garbage":                  {acmeHost, "x.y.z", nil, []door{{"GET", "/v1/me", ""}, {"POST", getMe, "{}"}}, 401, "CREDENTIAL_INVALID"},
		"an operator at a tenant":  {acmeHost, operatorKey, nil, []door{{"GET", "/v1/me", ""}, {"POST", getMe, "{}"}}, 401, "CREDENTIAL_INVALID"},
		"a person at the centre":   {centralHost, userToken, nil, []door{{"GET", "/v1/tenants", ""}, {"POST", listTenants, "{}"}}, 401, "CREDENTIAL_INVALID"},
		"another scheme":           {acmeHost, "", map[string]string{"Authorization": "Basic dXNlcg=="}, []door{{"GET", "/v1/me", ""}, {"POST", getMe, "{}"}}, 401, "CREDENTIAL_INVALID"},
		"an endless credential":    {acmeHost, strings.Repeat("a", 100_000), nil, []door{{"GET", "/v1/me", ""}, {"POST", getMe, "{}"}}, 401, "CREDENTIAL_INVALID"},
		"a missing permission":     {acmeHost, memberToken, nil, []door{{"GET", "/v1/users", ""}, {"POST", listUsers, "{}"}}, 403, "PERMISSION_MISSING"},
		"a source's key elsewhere": {centralHost, boundKey, nil, []door{{"GET", "/v1/tenants", ""}, {"POST", listTenants, "{}"}, {"POST", "/v1/operations/" + id + ":cancel", ""}}, 403, "SCOPE_MISSING"},
		// The credential is judged before the body is read.
		"garbage with a bad body": {acmeHost, "x.y.z", nil, []door{{"GET", "/v1/users?nope=1", ""}, {"POST", listUsers, "{"}}, 401, "CREDENTIAL_INVALID"},
		"control: own operations": {centralHost, boundKey, nil, []door{{"GET", "/v1/operations/" + id, ""}, {"POST", getOperation, `{"id":"` + id + `"}`}}, 200, ""},
		"control: own data":       {acmeHost, memberToken, nil, []door{{"GET", "/v1/me", ""}, {"POST", getMe, "{}"}}, 200, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, d := range tt.doors {
				a := f.do(t, call{method: d.method, host: tt.host, path: d.path, bearer: tt.bearer, body: d.body, header: tt.header})
				require.Equal(t, tt.status, a.status, a.body)
				if tt.reason != "" {
					require.Equal(t, tt.reason, a.problem(t).Reason)
				}
				if tt.status == http.StatusUnauthorized {
					require.NotEmpty(t, a.header.Get("WWW-Authenticate"))
				}
			}
		})
	}
}

func TestAccess_AForeignTokenIsAnsweredLikeGarbage(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id := map[string]string{"X-Request-Id": "same"}
	foreign := f.do(t, call{method: "GET", host: acmeHost, path: "/v1/me", bearer: operatorKey, header: id})
	garbage := f.do(t, call{method: "GET", host: acmeHost, path: "/v1/me", bearer: "x.y.z", header: id})
	require.Equal(t, garbage.problem(t), foreign.problem(t))
}

func TestAccess_GarbageTakesNoDatabase(t *testing.T) {
	t.Parallel()
	f := setup(t, func(f *fake) {
		f.wiring.lease = func(tenants.Entry) (*db.Lease, error) {
			return nil, apperr.New(apperr.Unavailable, "POOL_BUDGET", "All database connections are in use.")
		}
	})
	a := f.do(t, call{method: "GET", host: acmeHost, path: "/v1/me", bearer: "x.y.z"})
	require.Equal(t, "CREDENTIAL_INVALID", a.problem(t).Reason)
	a = f.do(t, call{method: "GET", host: acmeHost, path: "/v1/me", bearer: userToken})
	require.Equal(t, "POOL_BUDGET", a.problem(t).Reason)
	require.Equal(t, http.StatusServiceUnavailable, a.status)
}

func TestBearerToken_ReadsWhatRFC6750Says(t *testing.T) {
	t.Parallel()
	rule := regexp.MustCompile(`^(?i:bearer) +([A-Za-z0-9._~+/-]+=*)$`)
	rapid.Check(t, func(t *rapid.T) {
		header := rapid.SampledFrom([]string{"Bearer", "bearer", "BEARER", "Basic", "Bearer\t", "", " Bearer", "Bearerx"}).Draw(t, "scheme") +
			rapid.StringMatching(` {0,2}`).Draw(t, "space") + rapid.StringMatching(`[A-Za-z0-9._~+/=, \tü-]{0,6}`).Draw(t, "token")
		want := ""
		if found := rule.FindStringSubmatch(strings.TrimSpace(header)); found != nil {
			want = found[1]
		}
		if got := bearerToken(header); got != want {
			t.Fatalf("%q: %q, not %q", header, got, want)
		}
	})
}

// halves is a body whose second half comes when it is told to.
type halves struct {
	first, second io.Reader
	rest          <-chan struct{}
}

func (h *halves) Read(p []byte) (int, error) {
	if n, err := h.first.Read(p); err == nil {
		return n, nil
	}
	<-h.rest
	return h.second.Read(p)
}

// A client that sends slowly holds no tenant's database and acts by what is
// true when it has sent. Planted: authorize that receives after the lease, a
// page that reads its form after it.
func TestAccess_AHalfSentRequestHoldsNothing(t *testing.T) {
	t.Parallel()
	form := "token=x&password=" + strings.Repeat("y", 20)
	for name, c := range map[string]call{
		"RPC":            {method: "POST", host: acmeHost, path: loginRPC, body: goodLogin},
		"REST":           {method: "POST", host: acmeHost, path: "/v1/auth/login", body: goodLogin},
		"with a session": {method: "PATCH", host: acmeHost, path: "/v1/users/0190b1c2-0000-7000-8000-000000000001", bearer: userToken, body: `{"name":"Jo","version":1}`},
		"page":           {method: "POST", host: acmeHost, path: "/m/reset", body: form, contentType: "application/x-www-form-urlencoded", header: map[string]string{"Sec-Fetch-Site": "same-origin"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var sent atomic.Bool
			var early atomic.Int64
			f := setup(t, func(f *fake) {
				lease := f.wiring.lease
				f.wiring.lease = func(e tenants.Entry) (*db.Lease, error) {
					if !sent.Load() {
						early.Add(1)
					}
					return lease(e)
				}
			})
			rest, done := make(chan struct{}), make(chan answer)
			middle := len(c.body) / 2
			c.reader = &halves{strings.NewReader(c.body[:middle]), strings.NewReader(c.body[middle:]), rest}
			go func() { done <- f.do(t, c) }()
			for range 20 { // the half has been read when these are answered
				require.Equal(t, http.StatusNotFound, f.do(t, call{method: "GET", host: acmeHost, path: "/v1/nothing"}).status)
			}
			sent.Store(true)
			close(rest)
			a := <-done
			require.Less(t, a.status, 500, a.body)
			require.Zero(t, early.Load(), "a database for half a request")
		})
	}
}
