package api

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"net/http"
	"strings"
	"sync"
	"time"

	"connectrpc.com/connect/v2"

	"tenantry/api/edge"
	commonv1 "tenantry/api/gen/tenantry/common/v1"
	"tenantry/internal/apperr"
	"tenantry/internal/auth"
	"tenantry/internal/ids"
	"tenantry/internal/ratelimit"
)

// Limits are the product's limits (E5), over all processes together.
type Limits struct {
	// Limiter meters; nil limits nothing, which only tests want.
	Limiter *ratelimit.Limiter
	// The rules of each rate class.
	Read, Write, Credential ratelimit.Rules
}

// rules answers a class's rules and its name in keys, headers and metrics.
func (l Limits) rules(class commonv1.RateClass) (ratelimit.Rules, string) {
	switch class {
	case commonv1.RateClass_RATE_CLASS_READ:
		return l.Read, "read"
	case commonv1.RateClass_RATE_CLASS_WRITE:
		return l.Write, "write"
	default:
		return l.Credential, "credential"
	}
}

// limitCall meters an RPC, after its credential was looked at and before
// anything is fetched for it. A refused request is charged to nobody.
func (s *Server) limitCall(ctx context.Context, call *edge.Call, m *method, cred credential, later bool) error {
	rules, class := s.limits.rules(m.policy.GetRateClass())
	keys := []ratelimit.Key{{Name: ratelimit.IP, Class: class, Value: network(call.ClientIP).String(), Limit: rules.IP}}
	principal := principalKey(cred.text, cred.claims)
	if device := s.deviceKey(call, m); device != "" {
		// Strangers who use up what the organization has keep nobody out who
		// logs in from where they did before (A9).
		principal = device
	} else if !later && !open(m) {
		keys = append(keys, tenantKey(call, class, rules))
	}
	if principal != "" {
		keys = append(keys, ratelimit.Key{Name: ratelimit.Principal, Class: class, Value: principal, Limit: rules.Principal})
	}
	return s.meter(ctx, rules, class, responseHeader(ctx), keys)
}

// open reports whether anybody may make a call of a class that members need too,
// as with a refresh token that has not been looked at. What strangers send there
// is theirs alone: else a few addresses would use up what the organization has.
func open(m *method) bool {
	return m.accepts(commonv1.Credential_CREDENTIAL_NONE) && m.policy.GetRateClass() != commonv1.RateClass_RATE_CLASS_CREDENTIAL
}

func tenantKey(call *edge.Call, class string, rules ratelimit.Rules) ratelimit.Key {
	tenant := "central"
	if !call.Central {
		tenant = call.Tenant.ID.String()
	}
	return ratelimit.Key{Name: ratelimit.Tenant, Class: class, Value: tenant, Limit: rules.Tenant}
}

func responseHeader(ctx context.Context) func(key, value string) {
	if info, ok := connect.CallInfoForServerContext(ctx); ok {
		return info.ResponseHeader().Set
	}
	return func(string, string) {}
}

// deviceKey names the account whose known device makes a call that checks a
// credential; empty for a stranger. All devices of an account share one bucket:
// logging in often makes many of them, and none of them may add to it.
func (s *Server) deviceKey(call *edge.Call, m *method) string {
	anonymous := m.accepts(commonv1.Credential_CREDENTIAL_NONE)
	if call.Central || call.DeviceToken == "" || !anonymous || m.policy.GetRateClass() != commonv1.RateClass_RATE_CLASS_CREDENTIAL {
		return ""
	}
	user, ok := s.device(call.Tenant, call.DeviceToken)
	if !ok {
		return ""
	}
	return "device-" + user.String()
}

// later reports whether the organization is charged only once the credential
// has proved good: well-formed keys that are none must not use up what it has.
// A key that was good a while ago is charged in the first round trip.
func (s *Server) later(cred credential) bool { return cred.key != nil && !s.goodKeys.has(cred.text) }

// limitTenant charges the organization for a key that later put off.
func (s *Server) limitTenant(ctx context.Context, call *edge.Call, m *method, cred credential) error {
	rules, class := s.limits.rules(m.policy.GetRateClass())
	s.goodKeys.add(cred.text)
	return s.meter(ctx, rules, class, responseHeader(ctx), []ratelimit.Key{tenantKey(call, class, rules)})
}

// maxGoodKeys bounds what is remembered: a few hundred KiB.
const maxGoodKeys = 8192

// goodKeys are hashes of API keys that have been verified by this process. It
// decides when a request is charged and never whether it may pass.
type goodKeys struct {
	mu   sync.Mutex
	sums map[[sha256.Size]byte]struct{}
}

func (g *goodKeys) has(key string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	_, ok := g.sums[sha256.Sum256([]byte(key))]
	return ok
}

func (g *goodKeys) add(key string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.sums == nil || len(g.sums) >= maxGoodKeys {
		g.sums = map[[sha256.Size]byte]struct{}{}
	}
	g.sums[sha256.Sum256([]byte(key))] = struct{}{}
}

// limitAddress meters by address alone what is no RPC: a stranger must not use
// up what the tenant has.
func (s *Server) limitAddress(w http.ResponseWriter, r *http.Request, of commonv1.RateClass) error {
	rules, class := s.limits.rules(of)
	ip := network(edge.From(r.Context()).ClientIP).String()
	return s.meter(r.Context(), rules, class, w.Header().Set, []ratelimit.Key{{Name: ratelimit.IP, Class: class, Value: ip, Limit: rules.IP}})
}

func (s *Server) meter(ctx context.Context, rules ratelimit.Rules, class string, set func(key, value string), keys []ratelimit.Key) error {
	if s.limits.Limiter == nil || rules.Off() {
		return nil
	}
	d := s.limits.Limiter.Allow(ctx, keys...)
	set("RateLimit-Policy", policyHeader(class, d))
	set("RateLimit", limitHeader(class, d))
	if d.Allowed {
		return nil
	}
	s.metrics.RateLimited(class, d.Bound.Name)
	return errRateLimited(class, d.Bound)
}

// whose says in words what a key stands for.
var whose = map[string]string{ratelimit.IP: "this address", ratelimit.Tenant: "this organization", ratelimit.Principal: "this account or key"}

func errRateLimited(class string, bound ratelimit.State) error {
	return apperr.Newf(apperr.RateLimited, "RATE_LIMITED", "Too many requests of the class %q from %s: at most %d in %d s. Come back in %s s.",
		class, whose[bound.Name], bound.Limit.Burst, seconds(bound.Limit.Window()), retryAfter(bound.RetryAfter)).WithRetryAfter(bound.RetryAfter)
}

// policyHeader lists the quotas that apply (draft-ietf-httpapi-ratelimit-headers,
// a list of RFC 9651): q requests in w seconds.
func policyHeader(class string, d ratelimit.Decision) string {
	parts := make([]string, len(d.Keys))
	for i, k := range d.Keys {
		parts[i] = fmt.Sprintf(`"%s-%s";q=%d;w=%d`, class, k.Name, k.Limit.Burst, seconds(k.Limit.Window()))
	}
	return strings.Join(parts, ", ")
}

// limitHeader says what is left of the quota that binds: r requests now, all of
// it again in t seconds.
func limitHeader(class string, d ratelimit.Decision) string {
	return fmt.Sprintf(`"%s-%s";r=%d;t=%d`, class, d.Bound.Name, d.Bound.Remaining, seconds(d.Bound.Reset))
}

// seconds rounds up.
func seconds(d time.Duration) int { return int(math.Ceil(d.Seconds())) }

// principalKey names who is limited: a verified person, else the credential as
// it was sent, by its hash; empty for nobody.
func principalKey(credential string, claims auth.Claims) string {
	if claims.User != (ids.User{}) {
		return "user-" + claims.User.String()
	}
	if credential == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(credential))
	return "key-" + hex.EncodeToString(sum[:16])
}
