package client

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect/v2"
	"github.com/stretchr/testify/require"

	authv1 "tenantry/api/gen/tenantry/auth/v1"
	operatorsv1 "tenantry/api/gen/tenantry/operators/v1"
	tenantsv1 "tenantry/api/gen/tenantry/tenants/v1"
	usersv1 "tenantry/api/gen/tenantry/users/v1"
)

// server answers each request by the next of its answers and keeps the headers.
type server struct {
	mu      sync.Mutex
	answers []http.HandlerFunc
	seen    []http.Header
	waits   []time.Duration
	client  *Client
}

func setup(t *testing.T, o Options, answers ...http.HandlerFunc) *server {
	t.Helper()
	s := &server{answers: answers}
	ts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.seen = append(s.seen, r.Header.Clone())
		if len(s.answers) == 0 {
			t.Errorf("an attempt too many: %s", r.URL.Path)
			return
		}
		answer := s.answers[0]
		s.answers = s.answers[1:]
		answer(w, r)
	}))
	t.Cleanup(ts.Close)
	o.BaseURL = ts.URL
	var err error
	s.client, err = New(o)
	require.NoError(t, err)
	sender := newSender(s.client.opts)
	sender.pause = func(ctx context.Context, d time.Duration) error {
		s.waits = append(s.waits, d)
		return ctx.Err()
	}
	s.client.Services = newServices(connectTo(sender, ts.URL))
	return s
}

func cut(w http.ResponseWriter, _ *http.Request) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err == nil {
		_ = conn.Close()
	}
}

func says(status int, body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
}

const busy = `{"code":"unavailable","message":"busy"}`

func TestClient_RepeatsAKeyedCallUnderOneKey(t *testing.T) {
	t.Parallel()
	s := setup(t, Options{Token: "k"}, cut, says(503, busy, "Retry-After", "2"), says(409, `{"code":"aborted"}`, "Retry-After", "1"),
		says(200, `{"id":"op-1"}`), says(200, `{"id":"op-2"}`))
	op, err := s.client.Tenants.CreateTenant(t.Context(), &tenantsv1.CreateTenantRequest{Slug: "acme"})
	require.NoError(t, err)
	require.Equal(t, "op-1", op.GetId())
	_, err = s.client.Tenants.CreateTenant(t.Context(), &tenantsv1.CreateTenantRequest{Slug: "acme"})
	require.NoError(t, err)
	require.Len(t, s.seen, 5)
	key := s.seen[0].Get(headerKey)
	require.NotEmpty(t, key)
	for _, h := range s.seen[:4] {
		require.Equal(t, key, h.Get(headerKey))
		require.Equal(t, "Bearer k", h.Get("Authorization"))
	}
	require.NotEqual(t, key, s.seen[4].Get(headerKey), "another call has another key")
	require.GreaterOrEqual(t, s.waits[1], 2*time.Second, "Retry-After is kept")
}

func TestClient_TakesTheCallersKey(t *testing.T) {
	t.Parallel()
	s := setup(t, Options{}, says(200, `{}`), says(200, `{}`))
	_, err := s.client.Tenants.CreateTenant(WithIdempotencyKey(t.Context(), "order-7"), &tenantsv1.CreateTenantRequest{})
	require.NoError(t, err)
	ctx, info := connect.NewClientContext(t.Context())
	info.RequestHeader().Set(headerKey, "order-8")
	_, err = s.client.Tenants.CreateTenant(ctx, &tenantsv1.CreateTenantRequest{})
	require.NoError(t, err)
	require.Equal(t, "order-7", s.seen[0].Get(headerKey))
	require.Equal(t, "order-8", s.seen[1].Get(headerKey))
}

func TestClient_NeverRepeatsAMutationWithoutAKey(t *testing.T) {
	t.Parallel()
	for _, answer := range []http.HandlerFunc{cut, says(503, busy), says(429, busy)} {
		s := setup(t, Options{}, answer, answer)
		_, err := s.client.Auth.Login(t.Context(), &authv1.LoginRequest{Email: "a", Password: "b"})
		require.Error(t, err)
		_, err = s.client.Operators.CreateOperatorKey(t.Context(), &operatorsv1.CreateOperatorKeyRequest{})
		require.Error(t, err)
		require.Len(t, s.seen, 2)
		require.Empty(t, s.seen[0].Get(headerKey))
		require.Empty(t, s.seen[1].Get(headerKey))
	}
}

func TestClient_RepeatsAReadAndGivesUp(t *testing.T) {
	t.Parallel()
	s := setup(t, Options{Attempts: 3}, cut, says(502, "<html>"), says(503, busy))
	_, err := s.client.Users.GetMe(t.Context(), &usersv1.GetMeRequest{})
	require.Equal(t, connect.CodeUnavailable, connect.CodeOf(err))
	require.Len(t, s.seen, 3)

	s = setup(t, Options{MaxWait: 3 * time.Second}, says(429, busy, "Retry-After", "60"))
	_, err = s.client.Users.GetMe(t.Context(), &usersv1.GetMeRequest{})
	require.Error(t, err)
	require.Empty(t, s.waits, "a minute is not waited for")

	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	s = setup(t, Options{}, says(503, busy, "Retry-After", "4"))
	_, err = s.client.Users.GetMe(ctx, &usersv1.GetMeRequest{})
	require.Equal(t, connect.CodeUnavailable, connect.CodeOf(err), "the answer itself, not a deadline")
	require.Empty(t, s.waits)
}

func TestClient_DoesNotRepeatARefusal(t *testing.T) {
	t.Parallel()
	for _, status := range []int{400, 401, 403, 404, 409, 412, 422, 500} {
		s := setup(t, Options{}, says(status, `{"code":"aborted","message":"no"}`))
		_, err := s.client.Tenants.CreateTenant(t.Context(), &tenantsv1.CreateTenantRequest{})
		require.Error(t, err)
		require.Len(t, s.seen, 1)
	}
}

func TestNew_RefusesAnAddressThatCannotBeMeant(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"", "acme.example", "ftp://acme.example", "https://", "https://acme.example/v1", "https://acme.example?x=1", "://"} {
		_, err := New(Options{BaseURL: bad})
		require.ErrorContains(t, err, "https://acme.tenantry.example", bad)
	}
	_, err := New(Options{BaseURL: "http://acme.example", Token: "t"})
	require.ErrorContains(t, err, "plain http")
	for _, o := range []Options{
		{BaseURL: "http://acme.example", Token: "t", Plain: true}, {BaseURL: "http://acme.example"}, {BaseURL: "http://acme.localhost:8080/", Token: "t"},
		{BaseURL: "http://127.0.0.1:8080", Token: "t"}, {BaseURL: "https://acme.example", Token: "t"},
	} {
		_, err := New(o)
		require.NoError(t, err)
	}
	at, err := TenantURL("https://tenantry.example:8443", "acme")
	require.NoError(t, err)
	require.Equal(t, "https://acme.tenantry.example:8443", at)
}

// A redirect would carry the token to whom it names.
func TestClient_FollowsNoRedirect(t *testing.T) {
	t.Parallel()
	s := setup(t, Options{Token: "t"}, says(307, `{}`, "Location", "/elsewhere"))
	_, err := s.client.Users.GetMe(t.Context(), &usersv1.GetMeRequest{})
	require.Error(t, err)
	require.Len(t, s.seen, 1)
}

func TestAsError_TellsTheAPIFromTheWayThere(t *testing.T) {
	t.Parallel()
	s := setup(t, Options{Attempts: 1}, says(502, "<html>bad gateway</html>"), cut)
	for range 2 {
		_, err := s.client.Users.GetMe(t.Context(), &usersv1.GetMeRequest{})
		require.Error(t, err)
		_, ours := AsError(err)
		require.False(t, ours)
	}
	_, ours := AsError(context.Canceled)
	require.False(t, ours)
}
