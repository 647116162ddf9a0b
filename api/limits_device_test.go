package api

import (
	"context"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"tenantry/internal/apikeys"
	"tenantry/internal/auth"
	"tenantry/internal/db"
	"tenantry/internal/ids"
	"tenantry/internal/ratelimit"
	"tenantry/internal/tenants"
)

// knowing makes an API that takes "device of N" for a known device of the
// account N.
func knowing(f *fake) {
	f.wiring.device = func(_ tenants.Entry, token string) (ids.User, bool) {
		account, ok := strings.CutPrefix(token, "device of ")
		return ids.User(uuid.NewSHA1(uuid.Nil, []byte(account))), ok
	}
}

func onDevice(c call, device string) call {
	c.header[headerDevice] = device
	return c
}

func TestLimits_ABusyOrganizationKeepsNoKnownDeviceOut(t *testing.T) {
	t.Parallel()
	f := setup(t, knowing, metered(t, ratelimit.Rules{}, ratelimit.Rules{}, rules(atMost(4), atMost(3), atMost(2))))
	for i := range 3 {
		require.Equal(t, http.StatusOK, f.do(t, login(fmt.Sprintf("192.0.2.%d", i))).status)
	}
	require.Equal(t, "credential-tenant", refusedBy(t, f.do(t, login("192.0.2.9"))), "strangers have used it up")
	require.Equal(t, "credential-tenant", refusedBy(t, f.do(t, onDevice(login("192.0.2.9"), "made up"))), "saying so makes no device known")
	for i := range 2 {
		a := f.do(t, onDevice(login(fmt.Sprintf("198.51.100.%d", i)), "device of mia"))
		require.Equal(t, http.StatusOK, a.status, a.body)
		require.NotContains(t, a.header.Get("RateLimit-Policy"), "credential-tenant")
	}
	require.Equal(t, "credential-principal", refusedBy(t, f.do(t, onDevice(login("198.51.100.7"), "device of mia"))), "it has a limit of its own, wherever it is")
	require.Equal(t, http.StatusOK, f.do(t, onDevice(login("198.51.100.7"), "device of jo")).status, "and shares it with nobody")
}

func TestLimits_AKnownDeviceIsLimitedByItsAddressAllTheSame(t *testing.T) {
	t.Parallel()
	f := setup(t, knowing, metered(t, ratelimit.Rules{}, ratelimit.Rules{}, rules(atMost(2), plenty, plenty)))
	for i := range 2 {
		require.Equal(t, http.StatusOK, f.do(t, onDevice(login("192.0.2.1"), fmt.Sprintf("device of %d", i))).status)
	}
	require.Equal(t, "credential-ip", refusedBy(t, f.do(t, onDevice(login("192.0.2.1"), "device of another"))))
}

func TestLimits_ADeviceTokenChangesNothingElsewhere(t *testing.T) {
	t.Parallel()
	f := setup(t, knowing, metered(t, rules(plenty, atMost(1), plenty), ratelimit.Rules{}, ratelimit.Rules{}))
	require.Equal(t, http.StatusOK, f.do(t, onDevice(me(userToken, "192.0.2.1"), "device of mia")).status)
	require.Equal(t, "read-tenant", refusedBy(t, f.do(t, onDevice(me(userToken, "192.0.2.1"), "device of mia"))))
}

// apiKeyText is a well-formed key of nobody's.
func apiKeyText(n byte) string {
	body := "tnk_" + hex.EncodeToString(append(make([]byte, 15), n)) + "_" + strings.Repeat("A", 43)
	return fmt.Sprintf("%s%08x", body, crc32.ChecksumIEEE([]byte(body)))
}

func TestLimits_FalseKeysUseUpNothingOfTheOrganization(t *testing.T) {
	t.Parallel()
	good := apiKeyText(255)
	f := setup(t, metered(t, rules(plenty, atMost(3), plenty), ratelimit.Rules{}, ratelimit.Rules{}), func(f *fake) {
		refuse := f.wiring.apiKey
		f.wiring.apiKey = func(ctx context.Context, l *db.Lease, p apikeys.Presented, ip netip.Addr) (auth.Principal, error) {
			if p.ID[15] != 255 {
				return refuse(ctx, l, p, ip)
			}
			return auth.Principal{Permissions: []string{"users.read"}}, nil
		}
	})
	for i := range 20 {
		require.Equal(t, http.StatusUnauthorized, f.do(t, me(apiKeyText(byte(i)), "192.0.2.1")).status)
	}
	for i := range 3 {
		a := f.do(t, me(good, "192.0.2.2"))
		require.NotEqual(t, http.StatusTooManyRequests, a.status, "request %d: %s", i, a.body)
		require.Contains(t, a.header.Get("RateLimit-Policy"), "read-tenant", "a good key is charged, the first time too")
	}
	require.Equal(t, "read-tenant", refusedBy(t, f.do(t, me(good, "192.0.2.2"))))
}

// Planted: open that is never true; that is true for calls that take a
// credential; that is true for the class credential (red in
// TestLimits_ABusyOrganizationKeepsNoKnownDeviceOut).
func TestLimits_WhatStrangersMaySendUsesUpNothingOfTheOrganization(t *testing.T) {
	t.Parallel()
	o := newOrg(t)
	in := o.password(t, o.owner.email)
	metered(t, ratelimit.Rules{}, rules(atMost(6), atMost(3), plenty), ratelimit.Rules{})(o.fake)
	o.server.limits, o.server.proxies = o.deps.Limits, o.deps.TrustedProxies
	garbage := map[string]object{
		"/v1/auth/refresh":       {"refresh_token": strings.Repeat("A", 43)},
		"/v1/auth/logout":        {"refresh_token": strings.Repeat("A", 43)},
		"/v1/auth/exchange-code": {"code": strings.Repeat("A", 43), "code_verifier": verifier},
	}
	for i := range 5 {
		from := fmt.Sprintf("192.0.2.%d", i)
		for range 2 {
			for path, body := range garbage {
				a := o.ask(t, person{}, "POST", path, body, forwardedFor, from)
				require.NotEqual(t, http.StatusTooManyRequests, a.status, a.body)
				require.Less(t, a.status, 500, a.body)
				require.Equal(t, `"write-ip";q=6;w=21600`, a.header.Get("RateLimit-Policy"))
			}
		}
		require.Equal(t, "write-ip", refusedBy(t, o.ask(t, person{}, "POST", "/v1/auth/refresh", garbage["/v1/auth/refresh"], forwardedFor, from)))
	}
	write := func(from string) answer {
		return o.ask(t, o.owner, "PATCH", "/v1/settings", object{"version": o.version(t, "/v1/settings"), "time_zone": "UTC"}, forwardedFor, from)
	}
	for i := range 3 {
		require.Equal(t, http.StatusOK, write(fmt.Sprintf("198.51.100.%d", i)).status)
	}
	require.Equal(t, "write-tenant", refusedBy(t, write("198.51.100.9")), "what members send is counted")
	r := o.ask(t, person{}, "POST", "/v1/auth/refresh", object{"refresh_token": in.get(t, http.StatusOK, "refresh_token")}, forwardedFor, "198.51.100.9")
	require.Equal(t, http.StatusOK, r.status, "a busy organization ends no session")
}

func TestGoodKeys_AreBounded(t *testing.T) {
	t.Parallel()
	var g goodKeys
	for i := range 2*maxGoodKeys + 10 {
		g.add(fmt.Sprint(i))
		require.True(t, g.has(fmt.Sprint(i)))
	}
	require.LessOrEqual(t, len(g.sums), maxGoodKeys)
	require.False(t, g.has("0"))
}
