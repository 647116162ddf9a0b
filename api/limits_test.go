package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"
	"connectrpc.com/connect/v2/connectproto"
	"github.com/alicebob/miniredis/v2"
	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/errdetails"

	usersv1 "tenantry/api/gen/tenantry/users/v1"
	"tenantry/api/gen/tenantry/users/v1/usersv1connect"
	"tenantry/internal/clock"
	"tenantry/internal/db"
	"tenantry/internal/metrics"
	"tenantry/internal/operators"
	"tenantry/internal/ratelimit"
	"tenantry/internal/tenants"
)

// plenty is a limit that no test meets.
var plenty = ratelimit.Limit{Count: 1_000_000, Per: time.Second, Burst: 1_000_000}

// atMost is a limit that does not refill while a test runs.
func atMost(n int) ratelimit.Limit { return ratelimit.Limit{Count: 1, Per: time.Hour, Burst: n} }

// metered gives an API limits and a Redis of its own. The client's address is
// what X-Forwarded-For says.
func metered(t *testing.T, read, write, credential ratelimit.Rules) func(*fake) {
	t.Helper()
	r := miniredis.RunT(t)
	client, err := ratelimit.Connect("redis://"+r.Addr(), 20*time.Second)
	require.NoError(t, err)
	t.Cleanup(func() { _ = client.Close() })
	return func(f *fake) {
		f.deps.Metrics = metrics.New()
		f.deps.Limits = Limits{
			Limiter: ratelimit.New(ratelimit.Options{Redis: client, Timeout: 20 * time.Second, Now: clock.System, Observe: f.deps.Metrics.RateLimitDecision}),
			Read:    read, Write: write, Credential: credential,
		}
		f.deps.TrustedProxies = loopbacks
	}
}

var loopbacks = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

func rules(ip, tenant, principal ratelimit.Limit) ratelimit.Rules {
	return ratelimit.Rules{IP: ip, Tenant: tenant, Principal: principal}
}

func me(bearer, from string) call {
	return call{method: "GET", host: acmeHost, path: "/v1/me", bearer: bearer, header: map[string]string{forwardedFor: from}}
}

func login(from string) call {
	return call{method: "POST", host: acmeHost, path: "/v1/auth/login", body: goodLogin, header: map[string]string{forwardedFor: from}}
}

// refusedBy checks a refusal and answers which quota refused.
func refusedBy(t *testing.T, a answer) string {
	t.Helper()
	require.Equal(t, http.StatusTooManyRequests, a.status, a.body)
	p := a.problem(t)
	require.Equal(t, "RATE_LIMITED", p.Reason)
	require.Equal(t, "resource_exhausted", p.Code)
	require.Regexp(t, `^[1-9]\d*$`, a.header.Get("Retry-After"))
	require.Contains(t, a.header.Get("RateLimit"), ";r=0;t=")
	name, _, _ := strings.Cut(strings.TrimPrefix(a.header.Get("RateLimit"), `"`), `"`)
	return name
}

func TestLimits_EveryDoorSaysWhatIsLeftAndRefusesAlike(t *testing.T) {
	t.Parallel()
	const policy = `"read-ip";q=1000000;w=1, "read-tenant";q=1000000;w=1, "read-principal";q=1;w=3600`
	for name, c := range map[string]call{
		"REST":         {method: "GET", path: "/v1/me"},
		"Connect POST": {method: "POST", path: getMe, body: "{}"},
		"Connect GET":  {method: "GET", path: getMe + "?connect=v1&encoding=json&message=" + url.QueryEscape("{}")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := setup(t, metered(t, rules(plenty, plenty, atMost(1)), ratelimit.Rules{}, ratelimit.Rules{}))
			c.host, c.bearer = acmeHost, userToken
			a := f.do(t, c)
			require.Equal(t, http.StatusOK, a.status, a.body)
			require.Equal(t, policy, a.header.Get("RateLimit-Policy"))
			require.Equal(t, `"read-principal";r=0;t=3600`, a.header.Get("RateLimit"))
			require.Empty(t, a.header.Get("Retry-After"))
			a = f.do(t, c)
			require.Equal(t, "read-principal", refusedBy(t, a))
			require.Equal(t, policy, a.header.Get("RateLimit-Policy"))
			require.Contains(t, a.body, "google.rpc.RetryInfo")
		})
	}
}

func TestLimits_GRPCClientsSeeThemToo(t *testing.T) {
	t.Parallel()
	f := setup(t, metered(t, rules(plenty, plenty, atMost(1)), ratelimit.Rules{}, ratelimit.Rules{}))
	h2 := &http.Transport{Protocols: new(http.Protocols)}
	h2.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(h2.CloseIdleConnections)
	to := &http.Client{Transport: hostTransport{h2, acmeHost}}
	client := usersv1connect.NewUserServiceClient(connect.NewClient(connecthttp.NewTransport(to, f.url, connecthttp.WithGRPC())))
	get := func() (*connect.CallInfo, error) {
		ctx, info := connect.NewClientContext(t.Context())
		info.RequestHeader().Set("Authorization", "Bearer "+userToken)
		_, err := client.GetMe(ctx, &usersv1.GetMeRequest{})
		return info, err
	}
	info, err := get()
	require.NoError(t, err)
	require.Equal(t, `"read-principal";r=0;t=3600`, info.ResponseHeader().Get("RateLimit"))
	info, err = get()
	var e *connect.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, connect.CodeResourceExhausted, e.Code())
	detail, err := connectproto.UnmarshalErrorDetail(e.Details()[0])
	require.NoError(t, err)
	require.Equal(t, "RATE_LIMITED", detail.(*errdetails.ErrorInfo).GetReason())
	require.Equal(t, "3600", info.ResponseHeader().Get("Retry-After"))
	require.Contains(t, info.ResponseHeader().Get("RateLimit"), `"read-principal";r=0;t=`)
}

// What a refused request may cost: one question to the limiter. Garbage does
// not even cost that.
func TestLimits_ARefusedRequestTakesNoLeaseAndGarbageAsksNobody(t *testing.T) {
	t.Parallel()
	var leases, principals atomic.Int64
	f := setup(t, metered(t, rules(plenty, plenty, atMost(1)), ratelimit.Rules{}, ratelimit.Rules{}), func(f *fake) {
		lease, operator := f.wiring.lease, f.wiring.operator
		f.wiring.lease = func(e tenants.Entry) (*db.Lease, error) { leases.Add(1); return lease(e) }
		f.wiring.operator = func(ctx context.Context, key string) (p operators.Principal, err error) {
			principals.Add(1)
			return operator(ctx, key)
		}
	})
	require.Equal(t, http.StatusOK, f.do(t, me(userToken, "192.0.2.1")).status)
	require.EqualValues(t, 1, leases.Load())
	for range 5 {
		refusedBy(t, f.do(t, me(userToken, "192.0.2.1")))
	}
	require.EqualValues(t, 1, leases.Load())
	for _, bearer := range []string{"", "garbage", "a.b.c"} {
		a := f.do(t, me(bearer, "192.0.2.1"))
		require.Equal(t, http.StatusUnauthorized, a.status)
		require.Empty(t, a.header.Get("RateLimit"))
	}
	require.EqualValues(t, 1, leases.Load())

	list := call{method: "GET", host: centralHost, path: "/v1/tenants", bearer: operatorKey}
	require.Equal(t, http.StatusOK, f.do(t, list).status)
	require.Equal(t, "read-principal", refusedBy(t, f.do(t, list)))
	require.EqualValues(t, 1, principals.Load(), "a refused key is not looked up")
}

func TestLimits_CountAddressesTenantsAndPrincipalsApart(t *testing.T) {
	t.Parallel()
	beta := acme()
	beta.Slug = "beta"
	twoTenants := func(f *fake) {
		resolve := f.wiring.resolve
		f.wiring.resolve = func(ctx context.Context, slug string) (tenants.Entry, error) {
			if slug == "beta" {
				return beta, nil
			}
			return resolve(ctx, slug)
		}
	}
	t.Run("address", func(t *testing.T) {
		t.Parallel()
		f := setup(t, twoTenants, metered(t, rules(atMost(2), plenty, plenty), ratelimit.Rules{}, ratelimit.Rules{}))
		require.Equal(t, http.StatusOK, f.do(t, me(userToken, "192.0.2.1")).status)
		other := me(memberToken, "192.0.2.1")
		other.host = "beta.tenantry.test"
		require.Equal(t, http.StatusOK, f.do(t, other).status, "at whichever tenant")
		require.Equal(t, "read-ip", refusedBy(t, f.do(t, me(userToken, "192.0.2.1"))))
		require.Equal(t, http.StatusOK, f.do(t, me(userToken, "192.0.2.2")).status)
	})
	t.Run("tenant", func(t *testing.T) {
		t.Parallel()
		f := setup(t, twoTenants, metered(t, rules(plenty, atMost(2), plenty), ratelimit.Rules{}, ratelimit.Rules{}))
		require.Equal(t, http.StatusOK, f.do(t, me(userToken, "192.0.2.1")).status)
		require.Equal(t, http.StatusOK, f.do(t, me(memberToken, "192.0.2.2")).status)
		require.Equal(t, "read-tenant", refusedBy(t, f.do(t, me(userToken, "192.0.2.3"))))
		other := me(userToken, "192.0.2.1")
		other.host = "beta.tenantry.test"
		require.Equal(t, http.StatusOK, f.do(t, other).status, "a busy neighbour costs nothing")
	})
	t.Run("principal", func(t *testing.T) {
		t.Parallel()
		f := setup(t, metered(t, rules(plenty, plenty, atMost(2)), ratelimit.Rules{}, ratelimit.Rules{}))
		require.Equal(t, http.StatusOK, f.do(t, me(userToken, "192.0.2.1")).status)
		require.Equal(t, http.StatusOK, f.do(t, me(userToken, "192.0.2.2")).status)
		require.Equal(t, "read-principal", refusedBy(t, f.do(t, me(userToken, "192.0.2.3"))), "from wherever")
		require.Equal(t, http.StatusOK, f.do(t, me(memberToken, "192.0.2.1")).status)
	})
	t.Run("class", func(t *testing.T) {
		t.Parallel()
		f := setup(t, metered(t, rules(plenty, plenty, plenty), ratelimit.Rules{}, rules(atMost(1), plenty, plenty)))
		require.Equal(t, http.StatusOK, f.do(t, login("192.0.2.1")).status)
		require.Equal(t, "credential-ip", refusedBy(t, f.do(t, login("192.0.2.1"))))
		require.Equal(t, http.StatusOK, f.do(t, me(userToken, "192.0.2.1")).status)
	})
}

// Attack 6 of the security baseline: what a client says about its address, and
// every address of its own network, is one client.
func TestLimits_HoldAgainstSpoofedAndWalkedAddresses(t *testing.T) {
	t.Parallel()
	logins := rules(atMost(3), plenty, plenty)
	t.Run("spoofed", func(t *testing.T) {
		t.Parallel()
		f := setup(t, metered(t, ratelimit.Rules{}, ratelimit.Rules{}, logins), func(f *fake) { f.deps.TrustedProxies = nil })
		passed := 0
		for i := range 40 {
			c := login(fmt.Sprintf("198.51.100.%d", i))
			c.header["X-Real-Ip"], c.header["Forwarded"] = "198.51.100.1", fmt.Sprintf("for=198.51.100.%d", i)
			c.header["X-Client-Ip"], c.header["True-Client-Ip"] = c.header[forwardedFor], c.header[forwardedFor]
			if f.do(t, c).status == http.StatusOK {
				passed++
			}
		}
		require.Equal(t, 3, passed)
	})
	t.Run("spoofed through a proxy", func(t *testing.T) {
		t.Parallel()
		f := setup(t, metered(t, ratelimit.Rules{}, ratelimit.Rules{}, logins))
		passed := 0
		for i := range 40 {
			if f.do(t, login(fmt.Sprintf("198.51.100.%d, 203.0.113.9", i))).status == http.StatusOK {
				passed++
			}
		}
		require.Equal(t, 3, passed, "the proxy's own entry counts")
	})
	t.Run("an IPv6 /64", func(t *testing.T) {
		t.Parallel()
		f := setup(t, metered(t, ratelimit.Rules{}, ratelimit.Rules{}, logins))
		passed := 0
		for i := range 40 {
			if f.do(t, login(fmt.Sprintf("2001:db8:1:2:%x::%x", i, 7*i))).status == http.StatusOK {
				passed++
			}
		}
		require.Equal(t, 3, passed)
		require.Equal(t, http.StatusOK, f.do(t, login("2001:db8:1:3::1")).status, "the neighbour's network is another")
	})
}

func TestLimits_TheHookAndThePagesAreLimitedByAddress(t *testing.T) {
	t.Parallel()
	f := setup(t, metered(t, rules(atMost(2), atMost(1), plenty), rules(atMost(1), atMost(1), plenty), rules(atMost(1), plenty, plenty)))
	hook := call{method: "POST", host: centralHost, path: hookPath, body: goodOrder, header: map[string]string{"webhook-signature": "v1,bad", forwardedFor: "192.0.2.1"}}
	require.Equal(t, http.StatusUnauthorized, f.do(t, hook).status)
	require.Equal(t, "write-ip", refusedBy(t, f.do(t, hook)), "before the signature is looked at")
	hook.header = map[string]string{"webhook-signature": "v1,good", forwardedFor: "192.0.2.2"}
	a := f.do(t, hook)
	require.Equal(t, http.StatusAccepted, a.status, "a stranger does not use up the central host's share")
	require.Equal(t, `"write-ip";q=1;w=3600`, a.header.Get("RateLimit-Policy"))

	page := call{method: "GET", host: acmeHost, path: invitationPage + "?token=" + goodLink, header: map[string]string{forwardedFor: "192.0.2.1"}}
	for range 2 {
		a := f.do(t, page)
		require.Equal(t, http.StatusOK, a.status)
		require.Contains(t, a.header.Get("RateLimit"), `"read-ip";r=`)
	}
	a = f.do(t, page)
	require.Equal(t, http.StatusTooManyRequests, a.status)
	require.Contains(t, a.header.Get("Content-Type"), "text/html")
	require.Regexp(t, `^\d{3,4}$`, a.header.Get("Retry-After"))

	post := call{method: "POST", host: acmeHost, path: verifyPage, body: "x=1", contentType: "application/x-www-form-urlencoded", header: map[string]string{forwardedFor: "192.0.2.1", "Origin": origin}}
	require.Equal(t, http.StatusForbidden, f.do(t, post).status)
	require.Equal(t, http.StatusTooManyRequests, f.do(t, post).status)
	require.Equal(t, "credential-ip", refusedBy(t, f.do(t, login("192.0.2.1"))), "a form is a credential call like a login")
}

func TestLimits_AnswersAfterTheLimiterSayWhatIsLeftWhateverTheyAre(t *testing.T) {
	t.Parallel()
	some := rules(plenty, plenty, plenty)
	f := setup(t, metered(t, some, some, some))
	for name, c := range map[string]call{
		"forbidden": {method: "GET", host: acmeHost, path: "/v1/users", bearer: memberToken},
		"invalid":   {method: "GET", host: acmeHost, path: "/v1/users?limit=x", bearer: userToken},
		"unknown":   {method: "GET", host: centralHost, path: "/v1/tenants/nobody", bearer: operatorKey},
		"bad key":   {method: "GET", host: centralHost, path: "/v1/tenants", bearer: "nobodys-key"},
		"malformed": {method: "POST", host: acmeHost, path: "/v1/auth/login", body: "{"},
	} {
		a := f.do(t, c)
		require.GreaterOrEqual(t, a.status, 400, name)
		require.Less(t, a.status, 500, name)
		require.NotEmpty(t, a.header.Get("RateLimit"), name)
		require.NotEmpty(t, a.header.Get("RateLimit-Policy"), name)
	}
}

// Redis is away: less is admitted, never everything, and the metrics say so.
func TestLimits_WithoutRedisAreStricter(t *testing.T) {
	t.Parallel()
	f := setup(t, func(f *fake) {
		client, err := ratelimit.Connect("redis://127.0.0.1:1", 0)
		require.NoError(t, err)
		t.Cleanup(func() { _ = client.Close() })
		f.deps.Metrics = metrics.New()
		f.deps.Limits = Limits{
			Limiter: ratelimit.New(ratelimit.Options{Redis: client, Now: clock.System, Observe: f.deps.Metrics.RateLimitDecision}),
			Read:    rules(atMost(8), plenty, plenty),
		}
	})
	for range 2 {
		a := f.do(t, me(userToken, ""))
		require.Equal(t, http.StatusOK, a.status)
		require.Contains(t, a.header.Get("RateLimit-Policy"), `"read-ip";q=2;w=28800`, "what holds is what is told")
	}
	require.Equal(t, "read-ip", refusedBy(t, f.do(t, me(userToken, ""))))
	text := scrape(t, f)
	require.Contains(t, text, `tenantry_redis_fallback{component="ratelimit"} 1`)
	require.Contains(t, text, `tenantry_rate_limit_decisions_total{mode="local"} 3`)
	require.Contains(t, text, `tenantry_rate_limited_total{class="read",key="ip"} 1`)
}

func TestLimits_TheMessageNamesTheLimit(t *testing.T) {
	t.Parallel()
	f := setup(t, metered(t, rules(plenty, plenty, atMost(1)), ratelimit.Rules{}, ratelimit.Rules{}))
	f.do(t, me(userToken, ""))
	var body struct{ Message string }
	require.NoError(t, json.Unmarshal([]byte(f.do(t, me(userToken, "")).body), &body))
	require.Regexp(t, `^Too many requests of the class "read" from this account or key: at most 1 in 3600 s. Come back in \d+ s.$`, body.Message)
}
