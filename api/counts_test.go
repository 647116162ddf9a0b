package api

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tenantry/internal/metrics"
)

func scrape(t *testing.T, f *fake) string {
	t.Helper()
	w := httptest.NewRecorder()
	f.deps.Metrics.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	return w.Body.String()
}

func TestMetrics_CountRequestsByProcedureDoorAndCode(t *testing.T) {
	t.Parallel()
	f := setup(t, func(f *fake) { f.deps.Metrics = metrics.New() })
	f.do(t, call{method: "GET", host: acmeHost, path: "/v1/me", bearer: userToken})
	f.do(t, call{method: "GET", host: acmeHost, path: "/v1/me"})
	f.do(t, call{method: "POST", host: acmeHost, path: getMe, bearer: userToken, body: "{}"})
	f.do(t, call{method: "GET", host: acmeHost, path: getMe + "?connect=v1&encoding=json&message=%7B%7D", bearer: userToken})
	f.do(t, call{method: "POST", host: acmeHost, path: getMe, contentType: "application/grpc", reader: strings.NewReader("\x00\x00\x00\x00\x00")})
	f.do(t, call{method: "GET", host: acmeHost, path: "/planted-path"})
	f.do(t, call{method: "GET", host: "planted-host", path: "/v1/me"})
	f.do(t, call{method: "GET", host: acmeHost, path: invitationPage + "?token=planted"})
	f.do(t, call{method: "POST", host: centralHost, path: hookPrefix + "planted", body: "{}"})
	f.do(t, call{method: "GET", host: acmeHost, path: "/livez"})
	for _, line := range []string{
		`{code="ok",door="rest",procedure="` + getMe + `"} 1`, `{code="unauthenticated",door="rest",procedure="` + getMe + `"} 1`,
		`{code="ok",door="connect",procedure="` + getMe + `"} 1`, `{code="ok",door="connect_get",procedure="` + getMe + `"} 1`,
		`{code="unauthenticated",door="grpc",procedure="` + getMe + `"} 1`, `{code="not_found",door="other",procedure="none"} 2`,
		`{code="http_4xx",door="page",procedure="/m/invitation"} 1`, `{code="unauthenticated",door="hook",procedure="provisioning"} 1`,
		`{code="ok",door="other",procedure="none"} 1`,
	} {
		require.Eventually(t, func() bool { return strings.Contains(scrape(t, f), "tenantry_requests_total"+line) }, 5*time.Second, 5*time.Millisecond, line)
	}
	text := scrape(t, f)
	require.Contains(t, text, `tenantry_request_duration_seconds_count{door="rest",procedure="`+getMe+`"} 2`)
	require.NotContains(t, text, "planted", "no label is a client's")
	require.NotContains(t, text, "acme", "no label is a tenant's")
}

// The metrics are for operators: nobody finds them where tenants are served.
func TestMetrics_AreNotServedWhereClientsAre(t *testing.T) {
	t.Parallel()
	f := setup(t, func(f *fake) { f.deps.Metrics = metrics.New() })
	for _, host := range []string{acmeHost, centralHost, "127.0.0.1", "localhost", "metrics"} {
		for _, path := range []string{"/metrics", "/metrics/", "//metrics", "/v1/metrics", "/metrics?x"} {
			a := f.do(t, call{method: "GET", host: host, path: path, bearer: operatorKey})
			require.Equal(t, http.StatusNotFound, a.status, host+path)
			require.NotContains(t, a.body, "tenantry_")
		}
	}
}
