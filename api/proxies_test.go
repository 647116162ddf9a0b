package api

import (
	"context"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"tenantry/api/edge"
	authv1 "tenantry/api/gen/tenantry/auth/v1"
)

func TestProxies_TheClientIsTheRightmostAddressThatIsNotOurs(t *testing.T) {
	t.Parallel()
	ours := proxies{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	for name, tt := range map[string]struct {
		peer string
		sent []string
		want string
	}{
		"a stranger is the client whatever it says": {"198.51.100.1", []string{"192.0.2.1"}, "198.51.100.1"},
		"one proxy":                     {"10.0.0.1", []string{"192.0.2.1"}, "192.0.2.1"},
		"nothing said":                  {"10.0.0.1", nil, "10.0.0.1"},
		"an empty header":               {"10.0.0.1", []string{""}, "10.0.0.1"},
		"what a client wrote before":    {"10.0.0.1", []string{"1.1.1.1, 192.0.2.1"}, "192.0.2.1"},
		"a client that claims a proxy":  {"10.0.0.1", []string{"1.1.1.1, 10.0.0.9, 192.0.2.1"}, "192.0.2.1"},
		"a chain of proxies":            {"10.0.0.1", []string{"192.0.2.1, 10.0.0.3,10.0.0.2"}, "192.0.2.1"},
		"only proxies":                  {"10.0.0.1", []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
		"several headers are one chain": {"10.0.0.1", []string{"1.1.1.1", "192.0.2.1, 10.0.0.3", "10.0.0.2"}, "192.0.2.1"},
		"garbage ends the walk":         {"10.0.0.1", []string{"1.1.1.1, unknown"}, "10.0.0.1"},
		"garbage behind a proxy":        {"10.0.0.1", []string{"1.1.1.1, _hidden, 10.0.0.2"}, "10.0.0.2"},
		"garbage left of the client":    {"10.0.0.1", []string{"<script>, ,, 192.0.2.1"}, "192.0.2.1"},
		"an empty entry":                {"10.0.0.1", []string{"1.1.1.1,,10.0.0.2"}, "10.0.0.2"},
		"a port":                        {"10.0.0.1", []string{"192.0.2.1:4711"}, "192.0.2.1"},
		"IPv6":                          {"fd00::1", []string{"2001:db8::1"}, "2001:db8::1"},
		"IPv6 in brackets":              {"fd00::1", []string{"[2001:db8::1]"}, "2001:db8::1"},
		"IPv6 with a port":              {"fd00::1", []string{"[2001:db8::1]:4711"}, "2001:db8::1"},
		"an IPv6 zone":                  {"fd00::1", []string{"fe80::1%eth0"}, "fe80::1"},
		"a zone on one of ours":         {"10.0.0.1", []string{"192.0.2.1, fd00::2%eth0"}, "192.0.2.1"},
		"a zone in brackets":            {"fd00::1", []string{"[fe80::1%25eth0]:1"}, "fe80::1"},
		"mapped IPv4":                   {"10.0.0.1", []string{"::ffff:192.0.2.1"}, "192.0.2.1"},
		"a mapped proxy":                {"10.0.0.1", []string{"192.0.2.1, ::ffff:10.0.0.2"}, "192.0.2.1"},
		"octal and short forms":         {"10.0.0.1", []string{"1.1.1.1, 0300.1"}, "10.0.0.1"},
		"leading zeros":                 {"10.0.0.1", []string{"1.1.1.1, 192.0.2.01"}, "10.0.0.1"},
		"a bracket too many":            {"10.0.0.1", []string{"1.1.1.1, [[::1]]"}, "10.0.0.1"},
	} {
		got := ours.client(netip.MustParseAddr(tt.peer), http.Header{forwardedFor: tt.sent})
		require.Equal(t, tt.want, got.String(), name)
	}
	none := proxies(nil)
	require.Equal(t, "10.0.0.1", none.client(netip.MustParseAddr("10.0.0.1"), http.Header{forwardedFor: {"192.0.2.1"}}).String())
	long := http.Header{forwardedFor: {strings.Repeat("10.0.0.2,", 3000) + "10.0.0.2"}}
	require.Equal(t, "10.0.0.2", ours.client(netip.MustParseAddr("10.0.0.1"), long).String())
}

// seen is an API that notes whom it takes for the client of a login.
func seen(t *testing.T, trusted ...netip.Prefix) (*fake, func() string) {
	t.Helper()
	var mu sync.Mutex
	var ip string
	f := setup(t, func(f *fake) {
		f.deps.TrustedProxies, f.deps.PublicURL = trusted, &url.URL{Scheme: "https", Host: centralHost}
		f.login = func(ctx context.Context, _ *authv1.LoginRequest) (*authv1.LoginResponse, error) {
			mu.Lock()
			defer mu.Unlock()
			ip = edge.From(ctx).ClientIP.String()
			return &authv1.LoginResponse{}, nil
		}
	})
	return f, func() string {
		mu.Lock()
		defer mu.Unlock()
		return ip
	}
}

func TestForwarded_CountsFromATrustedProxyAlone(t *testing.T) {
	t.Parallel()
	headers := map[string]string{
		forwardedFor: "192.0.2.7", forwardedHost: "acme.tenantry.test", forwardedProto: "http", "Forwarded": "for=192.0.2.8;host=no.tenantry.test;proto=http",
	}
	c := call{method: "POST", host: "internal.lan", path: "/v1/auth/login", body: goodLogin, header: headers}

	f, ip := seen(t, loopbacks...)
	a := f.do(t, c)
	require.Equal(t, http.StatusOK, a.status, a.body)
	require.Equal(t, "192.0.2.7", ip())
	require.Empty(t, a.header.Get("Strict-Transport-Security"), "not over plain HTTP")

	f, ip = seen(t, netip.MustParsePrefix("10.0.0.0/8"))
	a = f.do(t, c)
	require.Equal(t, http.StatusNotFound, a.status)
	require.Equal(t, "UNKNOWN_HOST", a.problem(t).Reason)
	require.NotEmpty(t, a.header.Get("Strict-Transport-Security"))
	c.host = acmeHost
	require.Equal(t, http.StatusOK, f.do(t, c).status)
	require.Equal(t, "127.0.0.1", ip())

	f, ip = seen(t) // the default
	require.Equal(t, http.StatusOK, f.do(t, c).status)
	require.Equal(t, "127.0.0.1", ip())
}

// A host that came as a list, twice or as nonsense was not written by one
// proxy of ours: the Host header stands.
func TestForwarded_AnAmbiguousHostDoesNotCount(t *testing.T) {
	t.Parallel()
	f, _ := seen(t, loopbacks...)
	for _, sent := range [][]string{
		{"no.tenantry.test, other.tenantry.test"}, {"no.tenantry.test", "no.tenantry.test"}, {""}, {"no.tenantry.test,"},
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, f.url+"/v1/me", nil)
		require.NoError(t, err)
		req.Host, req.Header[forwardedHost] = acmeHost, sent
		resp, err := noRedirects.Do(req)
		require.NoError(t, err)
		text, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Contains(t, string(text), "CREDENTIAL_MISSING", sent)
	}
	for _, host := range []string{"no.tenantry.test", "tenantry.test/x", "acme.tenantry.test@evil.example", "<b>", "[::1", "acme.tenantry.test.evil.example", strings.Repeat("a", 5000)} {
		a := f.do(t, call{method: "GET", host: acmeHost, path: "/v1/me", header: map[string]string{forwardedHost: host}})
		require.Equal(t, "UNKNOWN_HOST", a.problem(t).Reason, host)
		require.NotContains(t, a.body, host)
	}
	a := f.do(t, call{method: "GET", host: "internal", path: "/v1/tenants", bearer: operatorKey, header: map[string]string{forwardedHost: "TENANTRY.test.:443"}})
	require.Equal(t, http.StatusOK, a.status, a.body)
}
