package test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tenantry/internal/systest"
)

// tokens are what a session has handed out last.
type tokens struct {
	Access  string `json:"access_token"`
	Refresh string `json:"refresh_token"`
}

// kid names the key that has signed an access token.
func kid(t *testing.T, access string) string {
	t.Helper()
	head, _, _ := strings.Cut(access, ".")
	text, err := base64.RawURLEncoding.DecodeString(head)
	require.NoError(t, err)
	var h struct {
		KID string `json:"kid"`
	}
	require.NoError(t, json.Unmarshal(text, &h))
	require.NotEmpty(t, h.KID)
	return h.KID
}

// pair is a tenant that two API processes serve.
type pair struct {
	*systest.System
	slug, email, tenantID string
	// hosts are the tenant's at the two processes.
	hosts [2]string
}

func newPair(t *testing.T, slug string) *pair {
	t.Helper()
	p := &pair{System: own(t, systest.Options{}), slug: slug}
	o := systest.NewOrder(slug)
	op, _ := tenant(t, p.System, o)
	port, err := p.StartAPIBeside(within(t, time.Minute))
	require.NoError(t, err)
	p.email, p.tenantID = o.OwnerEmail, op.TenantID
	p.hosts = [2]string{p.TenantURL(slug, ""), fmt.Sprintf("http://%s.localhost:%d", slug, port)}
	return p
}

func (p *pair) exchange(ctx context.Context, host int, path string, in any) (out tokens, err error) {
	a, err := p.Call(ctx, http.MethodPost, p.hosts[host]+path, "", in)
	if err != nil {
		return out, err
	}
	if a.Status != http.StatusOK {
		return out, fmt.Errorf("%s: %s", path, a)
	}
	return out, a.JSON(&out)
}

func (p *pair) login(ctx context.Context, host int) (tokens, error) {
	return p.exchange(ctx, host, "/v1/auth/login", map[string]string{"email": p.email, "password": password})
}

func (p *pair) refresh(ctx context.Context, host int, token string) (tokens, error) {
	return p.exchange(ctx, host, "/v1/auth/refresh", map[string]string{"refresh_token": token})
}

func (p *pair) me(ctx context.Context, host int, access string) (systest.Answer, error) {
	return p.Call(ctx, http.MethodGet, p.hosts[host]+"/v1/me", access, nil)
}

func (p *pair) exec(t *testing.T, sql string, args ...any) {
	t.Helper()
	conn, err := p.Connect(within(t, 30*time.Second), "")
	require.NoError(t, err)
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	_, err = conn.Exec(t.Context(), sql, args...)
	require.NoError(t, err)
}

// published answers the kids of the JWKS at a process.
func (p *pair) published(t *testing.T, host int) (out []string) {
	t.Helper()
	a, err := p.Call(within(t, 10*time.Second), http.MethodGet, p.hosts[host]+"/.well-known/jwks.json", "", nil)
	require.NoError(t, err)
	var set struct {
		Keys []struct {
			KID string `json:"kid"`
		} `json:"keys"`
	}
	require.NoError(t, a.JSON(&set))
	for _, k := range set.Keys {
		out = append(out, k.KID)
	}
	return out
}

// load is callers who log in, refresh and ask who they are at both processes,
// until they are told to stop; every failure is kept.
type load struct {
	mu       sync.Mutex
	requests int
	// seen counts the tokens that each key has signed, by process.
	seen     [2]map[string]int
	failures []string
}

func (l *load) note(t *testing.T, host int, got tokens, err error) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.requests++
	if err != nil {
		l.failures = append(l.failures, err.Error())
		return false
	}
	if got.Access != "" {
		l.seen[host][kid(t, got.Access)]++
	}
	return true
}

func (l *load) signed(host int, kid string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.seen[host][kid]
}

// caller logs in, then refreshes at one process and uses the token at both.
func (l *load) caller(ctx context.Context, t *testing.T, p *pair, stop <-chan struct{}) {
	for turn := 0; ; turn++ {
		host := turn % 2
		held, err := p.login(ctx, host)
		if !l.note(t, host, held, err) {
			return
		}
		for range 10 {
			for _, at := range []int{host, 1 - host} {
				a, err := p.me(ctx, at, held.Access)
				if err == nil && a.Status != http.StatusOK {
					err = fmt.Errorf("GET /v1/me: %s", a)
				}
				if !l.note(t, at, tokens{}, err) {
					return
				}
			}
			host = 1 - host
			held, err = p.refresh(ctx, host, held.Refresh)
			if !l.note(t, host, held, err) {
				return
			}
			select {
			case <-stop:
				return
			default:
			}
		}
	}
}

// TestKeyRotation_FailsNoRequest lets the nightly step find a key that is 31
// days old, under load at two processes. Only the rows' times are moved: the
// new key begins to sign three seconds later instead of five minutes, which is
// still longer than a process's view is old.
//
// Proven against: a new key that signs as soon as it is published, and an old
// one that ends with the change.
func TestKeyRotation_FailsNoRequest(t *testing.T) {
	t.Parallel()
	p := newPair(t, "rotating")
	ctx := within(t, 3*time.Minute)
	p.exec(t, `UPDATE signing_keys SET created_at = created_at - interval '31 days', activates_at = activates_at - interval '31 days'`)
	first, err := p.login(ctx, 0)
	require.NoError(t, err)

	l := &load{seen: [2]map[string]int{{}, {}}}
	stop := make(chan struct{})
	var callers sync.WaitGroup
	for range 3 {
		callers.Go(func() { l.caller(ctx, t, p, stop) })
	}
	ran, err := p.TemporalCLI(ctx, "workflow", "execute", "--type", "FleetPass", "--task-queue", "fleet", "--workflow-id", "rotate-by-hand",
		"--input", `{"steps":["rotate_keys"]}`)
	require.NoError(t, err)
	require.Zero(t, ran.Code, ran.Stderr)
	next, err := systest.Value[string](ctx, p.System, "", `SELECT id::text FROM signing_keys WHERE retired_at IS NULL AND activates_at > now() + interval '4 minutes'`)
	require.NoError(t, err)
	for host := range p.hosts {
		require.NoError(t, systest.Until(ctx, "the new key is published", func(context.Context) (bool, error) {
			return len(p.published(t, host)) == 2, nil
		}))
		require.Zero(t, l.signed(host, next), "published, it does not sign yet")
	}
	// All moments of the change come earlier by the same time: the order is the product's.
	p.exec(t, `
		WITH next AS (SELECT activates_at - now() - interval '3 seconds' AS d FROM signing_keys WHERE retired_at IS NULL)
		UPDATE signing_keys SET retired_at = retired_at - d, expires_at = expires_at - d,
			activates_at = CASE WHEN retired_at IS NULL THEN activates_at - d ELSE activates_at END FROM next`)
	err = systest.Until(ctx, "both processes sign with the new key", func(context.Context) (bool, error) {
		return l.signed(0, next) > 20 && l.signed(1, next) > 20, nil
	})
	close(stop)
	callers.Wait()
	require.NoError(t, err)
	require.Empty(t, l.failures, "of %d requests", l.requests)
	t.Logf("%d requests across the change, none failed; tokens by key: %v", l.requests, l.seen)

	a, err := p.me(ctx, 1, first.Access)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, a.Status, "what the old key has signed lives on: %s", a)
	// Ten minutes later, by moving the row: it ends by the clock.
	p.exec(t, `UPDATE signing_keys SET retired_at = now() - interval '13 minutes', expires_at = now() - interval '1 minute' WHERE retired_at IS NOT NULL`)
	require.NoError(t, systest.Until(ctx, "the old key has expired", func(ctx context.Context) (bool, error) {
		a, err := p.me(ctx, 1, first.Access)
		return a.Status == http.StatusUnauthorized, err
	}))
	require.Equal(t, []string{next}, p.published(t, 1))
	clean(t, p.System)
}

// TestKeyRotation_EmergencyEndsOldTokensAndNoSession is the runbook's command.
//
// Proven against: older keys that are retired instead of deleted, and a cache
// of verified tokens that outlives its key.
func TestKeyRotation_EmergencyEndsOldTokensAndNoSession(t *testing.T) {
	t.Parallel()
	p := newPair(t, "leaking")
	ctx := within(t, 3*time.Minute)
	var sessions []tokens
	for i := range 6 {
		got, err := p.login(ctx, i%2)
		require.NoError(t, err)
		sessions = append(sessions, got)
		for host := range p.hosts { // both processes have verified it, and remember
			a, err := p.me(ctx, host, got.Access)
			require.NoError(t, err)
			require.Equal(t, http.StatusOK, a.Status, a.String())
		}
	}

	out, err := p.Output(ctx, "keys", "rotate", "--tenant", p.slug, "--emergency", "--json")
	require.NoError(t, err)
	done := time.Now()
	var printed struct {
		Keys []struct {
			ID       string `json:"id"`
			TenantID string `json:"tenant_id"`
			State    string `json:"state"`
		} `json:"keys"`
	}
	require.NoError(t, json.Unmarshal([]byte(out), &printed))
	require.Len(t, printed.Keys, 1)
	require.Equal(t, p.tenantID, printed.Keys[0].TenantID)
	require.Equal(t, "signing", printed.Keys[0].State)

	var lastTaken time.Duration
	for refusals := 0; refusals < 2*len(sessions); {
		refusals = 0
		for _, s := range sessions {
			for host := range p.hosts {
				asked := time.Since(done)
				require.Less(t, asked, 30*time.Second, "the old key's tokens are still taken")
				a, err := p.me(ctx, host, s.Access)
				require.NoError(t, err)
				if a.Status == http.StatusOK {
					lastTaken = asked
					continue
				}
				require.Equal(t, "CREDENTIAL_INVALID", a.Reason(), a.String())
				refusals++
			}
		}
	}
	require.LessOrEqual(t, lastTaken, time.Second, "the old key's tokens are refused within a second")
	t.Logf("the last old token was taken %s after the command had ended", lastTaken)

	for i, s := range sessions {
		next, err := p.refresh(ctx, i%2, s.Refresh)
		require.NoError(t, err, "every session survives by refresh")
		require.Equal(t, printed.Keys[0].ID, kid(t, next.Access))
		for host := range p.hosts {
			a, err := p.me(ctx, host, next.Access)
			require.NoError(t, err)
			require.Equal(t, http.StatusOK, a.Status, a.String())
		}
	}
	for host := range p.hosts {
		require.Equal(t, []string{printed.Keys[0].ID}, p.published(t, host))
	}
	actions, err := systest.Query[string](ctx, p.System, "", `SELECT action FROM audit_log WHERE target_kind = 'signing_key' AND tenant_id = $1`, p.tenantID)
	require.NoError(t, err)
	require.Equal(t, []string{"signing_key.replaced"}, actions)
	clean(t, p.System)
}
