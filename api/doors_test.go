package api

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"
	"connectrpc.com/connect/v2/connectproto"
	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/errdetails"

	usersv1 "tenantry/api/gen/tenantry/users/v1"
	"tenantry/api/gen/tenantry/users/v1/usersv1connect"
	"tenantry/internal/clock"
)

func TestREST_AnswersLikeTheRPC(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for _, c := range []call{
		{method: "GET", host: acmeHost, path: "/v1/me"},
		{method: "POST", host: acmeHost, path: getMe, body: "{}"},
		{method: "POST", host: acmeHost, path: getMe, body: "{}", contentType: "application/json; charset=UTF-8"},
		{method: "GET", host: acmeHost, path: getMe + "?connect=v1&encoding=json&message=" + url.QueryEscape("{}")},
		{method: "GET", host: "ACME.tenantry.test.:8080", path: "/v1/me"},
	} {
		c.bearer = userToken
		a := f.do(t, c)
		require.Equal(t, http.StatusOK, a.status, a.body)
		require.Equal(t, "application/json", a.header.Get("Content-Type"))
		var me struct {
			User struct {
				Name       string
				LoginCount json.Number `json:"login_count"`
			}
			Permissions []string
		}
		require.NoError(t, json.Unmarshal([]byte(a.body), &me))
		require.Equal(t, "Jo", me.User.Name)
		require.Equal(t, json.Number("0"), me.User.LoginCount, "defaults are shown")
		require.Equal(t, []string{"audit.read", "users.read"}, me.Permissions, "sorted")
	}
	head := f.do(t, call{method: "HEAD", host: acmeHost, path: "/v1/me", bearer: userToken})
	require.Equal(t, http.StatusOK, head.status)
	require.Empty(t, head.body)
}

func TestREST_ARawSemicolonReachesTheParameter(t *testing.T) {
	t.Parallel()
	f := setup(t)
	a := f.do(t, call{method: "GET", host: acmeHost, path: "/v1/users?limit=5&cursor=a==1;b==2", bearer: userToken})
	require.Equal(t, http.StatusOK, a.status, a.body)
	require.Contains(t, a.body, "a==1;b==2")
}

func TestREST_AStartedOperationIs202WithItsLocation(t *testing.T) {
	t.Parallel()
	f := setup(t)
	const id = "0190b1c2-0000-7000-8000-000000000001"
	cancel := f.do(t, call{method: "POST", host: centralHost, path: "/v1/operations/" + id + ":cancel", bearer: operatorKey})
	require.Equal(t, http.StatusAccepted, cancel.status, cancel.body)
	require.Equal(t, "/v1/operations/"+id, cancel.header.Get("Location"))

	rest := f.do(t, call{method: "POST", host: centralHost, path: "/v1/tenants", bearer: operatorKey, body: goodOrder})
	require.Equal(t, http.StatusAccepted, rest.status)
	require.Regexp(t, "^/v1/operations/[0-9a-f-]{36}$", rest.header.Get("Location"))

	rpc := f.do(t, call{method: "POST", host: centralHost, path: createTenant, bearer: operatorKey, body: goodOrder})
	require.Equal(t, http.StatusOK, rpc.status)
	require.NotEmpty(t, rpc.header.Get("Location"))

	read := f.do(t, call{method: "GET", host: centralHost, path: "/v1/operations/" + id, bearer: operatorKey})
	require.Equal(t, http.StatusOK, read.status)
	require.Empty(t, read.header.Get("Location"))
}

func TestREST_PathParametersReachTheMessage(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for _, body := range []string{"", "{}", `{"source":"billing"}`} {
		a := f.do(t, call{method: "POST", host: centralHost, path: "/v1/hook-sources/billing/secrets", bearer: operatorKey, body: body})
		require.Equal(t, http.StatusOK, a.status, a.body)
		require.Contains(t, a.body, "billing")
	}
}

func TestHook_AnswersWithTheOperation(t *testing.T) {
	t.Parallel()
	f := setup(t)
	a := f.do(t, call{method: "POST", host: centralHost, path: hookPath, body: goodOrder, header: map[string]string{"webhook-signature": "v1,good"}})
	require.Equal(t, http.StatusAccepted, a.status, a.body)
	var op struct{ ID, State string }
	require.NoError(t, json.Unmarshal([]byte(a.body), &op))
	require.Equal(t, "/v1/operations/"+op.ID, a.header.Get("Location"))
	require.Equal(t, "OPERATION_STATE_PENDING", op.State)
	require.EqualValues(t, 1, f.effects.Load())
}

// The table notJSON is all there is: each entry is really something else, and
// what looks like its neighbour is JSON.
func TestAnswers_AreJSONButForTheTable(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for _, path := range notJSON.Paths {
		a := f.do(t, call{method: "GET", host: acmeHost, path: path + "?token=x"})
		require.Equal(t, "text/html; charset=utf-8", a.header.Get("Content-Type"))
		require.NotEmpty(t, a.header.Get("X-Request-Id"))
	}
	for _, contentType := range notJSON.ContentTypes {
		a := f.do(t, call{method: "POST", host: acmeHost, path: getMe, bearer: userToken, contentType: contentType, reader: strings.NewReader("\x00\x00\x00\x00\x00")})
		if contentType == "application/proto" {
			a = f.do(t, call{method: "POST", host: acmeHost, path: getMe, bearer: userToken, contentType: contentType})
		}
		require.Equal(t, contentType, a.header.Get("Content-Type"), a.body)
		require.Equal(t, http.StatusOK, a.status)
		require.NotEmpty(t, a.header.Get("X-Request-Id"))
	}
	// Errors of the Connect protocol are JSON whatever the request was.
	a := f.do(t, call{method: "POST", host: acmeHost, path: getMe, contentType: "application/proto"})
	require.Equal(t, "CREDENTIAL_MISSING", a.problem(t).Reason)
	for _, path := range []string{"/", "/livez", "/readyz", jwksPath, "/favicon.ico", "/m", "/m/", "//v1/me", "/v1/../v1/me", "/metrics", "/docs/", documentPath} {
		a := f.do(t, call{method: "GET", host: acmeHost, path: path})
		require.Equal(t, "application/json", a.header.Get("Content-Type"), path)
		require.True(t, json.Valid([]byte(a.body)), path)
		require.NotEmpty(t, a.header.Get("X-Request-Id"), path)
	}
}

func TestGRPC_ClientsAreServedAndSeeTheSameErrors(t *testing.T) {
	t.Parallel()
	f := setup(t)
	h2 := &http.Transport{Protocols: new(http.Protocols)}
	h2.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(h2.CloseIdleConnections)
	to := &http.Client{Transport: hostTransport{h2, acmeHost}}
	client := usersv1connect.NewUserServiceClient(connect.NewClient(connecthttp.NewTransport(to, f.url, connecthttp.WithGRPC())))

	ctx, info := connect.NewClientContext(t.Context())
	info.RequestHeader().Set("Authorization", "Bearer "+userToken)
	me, err := client.GetMe(ctx, &usersv1.GetMeRequest{})
	require.NoError(t, err)
	require.Equal(t, "Jo", me.GetUser().GetName())

	for name, c := range map[string]struct {
		host, reason string
		code         connect.Code
	}{
		"interceptor": {acmeHost, "CREDENTIAL_MISSING", connect.CodeUnauthenticated},
		"middleware":  {"nobody.tenantry.test", "UNKNOWN_HOST", connect.CodeNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			to := &http.Client{Transport: hostTransport{h2, c.host}}
			client := usersv1connect.NewUserServiceClient(connect.NewClient(connecthttp.NewTransport(to, f.url, connecthttp.WithGRPC())))
			_, err := client.GetMe(t.Context(), &usersv1.GetMeRequest{})
			var e *connect.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, c.code, e.Code())
			detail, err := connectproto.UnmarshalErrorDetail(e.Details()[0])
			require.NoError(t, err)
			require.Equal(t, c.reason, detail.(*errdetails.ErrorInfo).GetReason())
		})
	}
}

// hostTransport sends every request to one host name.
type hostTransport struct {
	http.RoundTripper
	host string
}

func (h hostTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Host = h.host
	return h.RoundTripper.RoundTrip(r)
}

func TestMiddleware_RequestIDs(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for sent, kept := range map[string]bool{
		"abc-DEF_1.2": true, strings.Repeat("a", 64): true, strings.Repeat("a", 65): false, "a b": false, "a\tb": false, "<b>": false, "": false,
	} {
		a := f.do(t, call{method: "GET", host: acmeHost, path: "/livez", header: map[string]string{"X-Request-Id": sent}})
		require.Equal(t, kept, a.header.Get("X-Request-Id") == sent, sent)
		require.Regexp(t, saneRequestID, a.header.Get("X-Request-Id"))
	}
}

func TestMiddleware_HSTSOnlyWhereThePublicURLIsHTTPS(t *testing.T) {
	t.Parallel()
	plain := setup(t)
	require.Empty(t, plain.do(t, call{method: "GET", host: acmeHost, path: "/livez"}).header.Get("Strict-Transport-Security"))
	secure := setup(t, func(f *fake) { f.deps.PublicURL = &url.URL{Scheme: "https", Host: centralHost} })
	require.Contains(t, secure.do(t, call{method: "GET", host: acmeHost, path: "/nope"}).header.Get("Strict-Transport-Security"), "max-age=")
}

func TestMiddleware_TheAccessLogHoldsNoQueryHeaderBodyOrAddress(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.do(t, call{
		method: "POST", host: acmeHost, path: "/v1/auth/login?canary-query=1", body: `{"email":"canary@body.example","password":"canary-password"}`,
		bearer: "canary-token", header: map[string]string{"X-Canary": "canary-header"},
	})
	f.do(t, call{method: "GET", host: acmeHost, path: "/m/invitation?token=canary-link"})
	f.do(t, call{method: "GET", host: acmeHost, path: "/v1/me", bearer: "canary-token"})
	require.Eventually(t, func() bool { return strings.Count(f.logs.String(), `"msg":"request"`) == 3 }, 5*time.Second, 5*time.Millisecond)
	require.NotContains(t, f.logs.String(), "canary")
	require.NotContains(t, f.logs.String(), "127.0.0.1")
	require.Contains(t, f.logs.String(), `"reason":"UNKNOWN_PARAMETER"`)
	require.Contains(t, f.logs.String(), `"tenant_id":"`)
}

func TestFlood_OneAddressIsSlowedOthersAreNot(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	now := func() time.Time { return at }
	g := newFloodGuard(Flood{PerSecond: 2, Burst: 3}, now)
	one, same, other := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::ffff:1"), netip.MustParseAddr("2001:db8:0:1::1")
	for range 3 {
		require.Zero(t, g.take(one))
	}
	require.Equal(t, 500*time.Millisecond, g.take(one))
	require.NotZero(t, g.take(same), "an IPv6 /64 is one client")
	require.Zero(t, g.take(other))
	at = at.Add(500 * time.Millisecond)
	require.Zero(t, g.take(one))
	require.NotZero(t, g.take(one))
}

func TestFlood_MemoryIsBounded(t *testing.T) {
	t.Parallel()
	g := newFloodGuard(Flood{PerSecond: 1}, clock.System)
	for i := range maxBuckets + 1000 {
		g.take(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}))
	}
	require.LessOrEqual(t, len(g.buckets), maxBuckets)
}

func TestFlood_IsAnsweredWithWhenToComeBack(t *testing.T) {
	t.Parallel()
	f := setup(t, func(f *fake) { f.deps.Flood = Flood{PerSecond: 0.01, Burst: 1} })
	require.Equal(t, http.StatusNotFound, f.do(t, call{method: "GET", host: acmeHost, path: "/x"}).status)
	a := f.do(t, call{method: "GET", host: acmeHost, path: "/x"})
	require.Equal(t, http.StatusTooManyRequests, a.status)
	require.Equal(t, "FLOOD", a.problem(t).Reason)
	require.NotEmpty(t, a.header.Get("Retry-After"))
	require.Equal(t, http.StatusOK, f.do(t, call{method: "GET", host: "10.0.0.1", path: "/livez"}).status, "probes are not slowed")
}

func TestProbes_AnswerAtAnyHostAndNameWhatFails(t *testing.T) {
	t.Parallel()
	f := setup(t, func(f *fake) {
		f.deps.Ready = func(context.Context) map[string]error {
			return map[string]error{"redis": nil, "central": fmt.Errorf("dial tcp 10.1.2.3: refused")}
		}
	})
	require.Equal(t, http.StatusOK, f.do(t, call{method: "GET", host: "10.0.0.1:8080", path: "/livez"}).status)
	a := f.do(t, call{method: "GET", host: "10.0.0.1:8080", path: "/readyz"})
	require.Equal(t, http.StatusServiceUnavailable, a.status)
	require.JSONEq(t, `{"status":"not ready","failing":["central"]}`, a.body)
	require.Equal(t, http.StatusOK, setup(t).do(t, call{method: "GET", host: "x", path: "/readyz"}).status)
}

func TestJWKS_ShowsTheTenantsPublicKeys(t *testing.T) {
	t.Parallel()
	f := setup(t)
	a := f.do(t, call{method: "GET", host: acmeHost, path: jwksPath})
	require.Equal(t, http.StatusOK, a.status)
	require.Equal(t, "public, max-age=60", a.header.Get("Cache-Control"))
	var set struct{ Keys []map[string]string }
	require.NoError(t, json.Unmarshal([]byte(a.body), &set))
	require.Len(t, set.Keys, 1)
	require.Len(t, set.Keys[0]["x"], 43)
	delete(set.Keys[0], "x")
	require.Equal(t, map[string]string{
		"kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": "0190b1c2-0000-7000-8000-000000000001",
	}, set.Keys[0])
}

// Whatever is sent, the answer is JSON with a request id, and never a 5xx.
func TestRandomRequests_AreAnsweredInJSONWithoutA5xx(t *testing.T) {
	t.Parallel()
	f := setup(t)
	random := rand.New(rand.NewPCG(2, 26)) //nolint:gosec // seeded, so a failure can be repeated
	g := requestGenerator{random, f.procedureNames()}
	for i := range 5000 {
		c := g.next()
		a := f.do(t, c)
		require.Less(t, a.status, 500, "request %d: %+v\n%s", i, c, a.body)
		require.True(t, isJSON(a.header.Get("Content-Type")), "request %d: %+v\n%s", i, c, a.body)
		require.Regexp(t, saneRequestID, a.header.Get("X-Request-Id"))
		if c.method != "HEAD" {
			require.True(t, json.Valid([]byte(a.body)), "request %d: %+v\n%s", i, c, a.body)
		}
	}
}

// isJSON knows the two forms of JSON that there are.
func isJSON(contentType string) bool {
	return contentType == contentJSON || contentType == contentProblem
}

func (f *fake) procedureNames() []string { return slices.Sorted(maps.Keys(f.server.procedures)) }

type requestGenerator struct {
	*rand.Rand
	procedures []string
}

func pick[T any](g requestGenerator, from ...T) T { return from[g.IntN(len(from))] }

func (g requestGenerator) noise(most int) string {
	alphabet := []rune("abcXYZ019{}[]\":,;=&%/.\\-_ <>'\u00e9\u202e\u0000\n+")
	out := make([]rune, g.IntN(most+1))
	for i := range out {
		out[i] = alphabet[g.IntN(len(alphabet))]
	}
	return string(out)
}

func (g requestGenerator) next() call {
	path := pick(g, "/v1/me", "/v1/users", "/v1/tenants", "/v1/auth/login", "/v1/auth/register", "/v1/operations/"+url.PathEscape(g.noise(8))+":wait",
		"/v1/tenants/"+url.PathEscape(g.noise(12)), hookPath, hookPrefix+url.PathEscape(g.noise(6)), jwksPath, "/v1/hook-sources/x/secrets",
		"/"+url.PathEscape(g.noise(20)), "/v1/"+url.PathEscape(g.noise(5))+"/"+url.PathEscape(g.noise(5)), g.procedures[g.IntN(len(g.procedures))])
	if g.IntN(3) == 0 {
		path += "?" + pick(g, "limit=", "cursor=", "token=", "message=", "encoding=json&message=", "") + url.QueryEscape(g.noise(12)) + pick(g, "", "&", ";", "&limit=1", "&x")
	}
	c := call{
		method: pick(g, "GET", "GET", "POST", "POST", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "PROPFIND"),
		host:   pick(g, acmeHost, acmeHost, acmeHost, centralHost, centralHost, "sleepy.tenantry.test", "no.tenantry.test", "10.0.0.1:80"),
		path:   path,
		bearer: pick(g, "", userToken, memberToken, operatorKey, boundKey, "x.y.z"),
		header: map[string]string{},
	}
	if g.IntN(2) == 0 {
		c.body = pick(g, "{}", goodLogin, goodOrder, "{"+g.noise(40)+"}", g.noise(60), `{"name":`+fmt.Sprintf("%q", g.noise(10))+`}`, strings.Repeat("[", 100+g.IntN(3000)))
		c.contentType = pick(g, "application/json", "application/json", "application/json;charset=utf-8", "text/plain", "application/xml", "garbage;;", "multipart/form-data")
	}
	for _, name := range []string{"Connect-Timeout-Ms", "Connect-Protocol-Version", "Content-Encoding", "Accept", "Accept-Language", "X-HTTP-Method-Override", "X-Forwarded-Host", "X-Request-Id", "webhook-signature"} {
		if g.IntN(12) == 0 {
			c.header[name] = pick(g, "1", "gzip", "identity", "GET", "v1,good", "*/*", contentProblem, "de, *;q=0.1", acmeHost, "ü", "99999")
		}
	}
	return c
}
