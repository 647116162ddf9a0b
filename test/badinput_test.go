package test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tenantry/internal/systest"
)

// refusal is what a bad request must get.
type refusal struct {
	name string
	send func(t *testing.T, s *systest.System) systest.Answer
	// status, reason and part of the message, which says what is allowed.
	status int
	reason string
	says   string
	allow  string
}

// hook sends a good message that edit has bent, under a fresh id.
func hook(edit func(t *testing.T, h systest.HookSource, m *systest.Message)) func(*testing.T, *systest.System) systest.Answer {
	return func(t *testing.T, s *systest.System) systest.Answer {
		t.Helper()
		m := signed(t, s.Hook, time.Now(), `{"slug":"never","name":"Never","owner_email":"owner@never.example"}`)
		edit(t, s.Hook, &m)
		a, err := s.Send(within(t, 30*time.Second), m)
		require.NoError(t, err)
		return a
	}
}

// order sends a signed body that is not what the hook takes.
func order(body string) func(*testing.T, *systest.System) systest.Answer {
	return hook(func(t *testing.T, h systest.HookSource, m *systest.Message) { *m = signed(t, h, time.Now(), body) })
}

func request(r systest.Request, path string) func(*testing.T, *systest.System) systest.Answer {
	return func(t *testing.T, s *systest.System) systest.Answer {
		t.Helper()
		r.URL = s.URL(path)
		if r.Header == nil {
			r.Header = http.Header{"Content-Type": {"application/json"}}
		}
		r.Header.Set("Authorization", "Bearer "+s.OperatorKey)
		a, err := s.Do(within(t, 30*time.Second), r)
		require.NoError(t, err)
		return a
	}
}

func signed(t *testing.T, h systest.HookSource, at time.Time, body string) systest.Message {
	t.Helper()
	m, err := h.Sign(systest.NewMessageID(), at, []byte(body))
	require.NoError(t, err)
	return m
}

func badHooks() []refusal {
	type m = systest.Message
	dated := func(d time.Duration) func(*testing.T, systest.HookSource, *m) {
		return func(t *testing.T, h systest.HookSource, msg *m) {
			*msg = signed(t, h, time.Now().Add(d), string(msg.Body))
		}
	}
	const invalid, missing, stale = "HOOK_SIGNATURE_INVALID", "HOOK_SIGNATURE_MISSING", "HOOK_TIMESTAMP_INVALID"
	return []refusal{
		{"no signature", hook(func(_ *testing.T, _ systest.HookSource, msg *m) { msg.Signature = "" }), 401, missing, "webhook-signature", ""},
		{"no id", hook(func(_ *testing.T, _ systest.HookSource, msg *m) { msg.ID = "" }), 401, missing, "webhook-id", ""},
		{"no timestamp", hook(func(_ *testing.T, _ systest.HookSource, msg *m) { msg.Timestamp = "" }), 401, missing, "webhook-timestamp", ""},
		{"another secret", hook(func(t *testing.T, h systest.HookSource, msg *m) {
			h.Secret = "whsec_" + strings.Repeat("QUFB", 11)
			*msg = signed(t, h, time.Now(), string(msg.Body))
		}), 401, invalid, "raw body", ""},
		{"a signature without its version", hook(func(_ *testing.T, _ systest.HookSource, msg *m) {
			msg.Signature = strings.TrimPrefix(msg.Signature, "v1,")
		}), 401, invalid, "", ""},
		{"re-serialized body", hook(func(t *testing.T, _ systest.HookSource, msg *m) {
			var v any
			require.NoError(t, json.Unmarshal(msg.Body, &v))
			body, err := json.MarshalIndent(v, "", "  ")
			require.NoError(t, err)
			msg.Body = body
		}), 401, invalid, "bytes as sent", ""},
		{"another timestamp than signed", hook(func(_ *testing.T, _ systest.HookSource, msg *m) {
			msg.Timestamp = strconv.FormatInt(time.Now().Unix()-1, 10)
		}), 401, invalid, "", ""},
		{"another id than signed", hook(func(_ *testing.T, _ systest.HookSource, msg *m) { msg.ID += "x" }), 401, invalid, "", ""},
		{"six minutes old", hook(dated(-6 * time.Minute)), 401, stale, "within 5 minutes", ""},
		{"six minutes ahead", hook(dated(6 * time.Minute)), 401, stale, "within 5 minutes", ""},
		{"unknown source", hook(func(_ *testing.T, _ systest.HookSource, msg *m) { msg.Source = "nobody" }), 401, invalid, "", ""},
		{"impossible source", hook(func(_ *testing.T, _ systest.HookSource, msg *m) { msg.Source = "No%20Body" }), 404, "UNKNOWN_PATH", "{source}", ""},
		{"content type", hook(func(_ *testing.T, _ systest.HookSource, msg *m) { msg.Header.Set("Content-Type", "text/plain") }), 415, "UNSUPPORTED_MEDIA_TYPE", "application/json", ""},
		{"no content type", hook(func(_ *testing.T, _ systest.HookSource, msg *m) { msg.Header.Del("Content-Type") }), 415, "UNSUPPORTED_MEDIA_TYPE", "application/json", ""},
		{"2 MiB", order(`{"slug":"` + strings.Repeat("x", 2<<20) + `"}`), 413, "BODY_TOO_LARGE", "1048576", ""},
		{"no JSON", order(`slug=never`), 400, "MALFORMED_BODY", "", ""},
		{"empty", order(``), 400, "MALFORMED_BODY", "", ""},
		{"unknown field", order(`{"slug":"never","name":"Never","owner_email":"owner@never.example","plan":"gold"}`), 400, "MALFORMED_BODY", "plan", ""},
		{"mass assignment", order(`{"slug":"never","name":"Never","owner_email":"owner@never.example","state":"active"}`), 400, "MALFORMED_BODY", "state", ""},
		{"reserve only", order(`{"slug":"never","name":"Never","owner_email":"owner@never.example","reserve_only":true}`), 400, "INVALID_ARGUMENT", "reserve_only", ""},
		{"reserved slug", order(`{"slug":"admin","name":"Never","owner_email":"owner@never.example"}`), 400, "SLUG_RESERVED", "reserved", ""},
		{"malformed slug", order(`{"slug":"Not A Slug","name":"Never","owner_email":"owner@never.example"}`), 400, "INVALID_ARGUMENT", "slug", ""},
		{"short slug", order(`{"slug":"ab","name":"Never","owner_email":"owner@never.example"}`), 400, "INVALID_ARGUMENT", "slug", ""},
		{"no slug", order(`{"name":"Never","owner_email":"owner@never.example"}`), 400, "INVALID_ARGUMENT", "slug", ""},
		{"no address", order(`{"slug":"never","name":"Never"}`), 400, "INVALID_ARGUMENT", "owner_email", ""},
		{"bad setting", order(`{"slug":"never","name":"Never","owner_email":"owner@never.example","settings":{"time_zone":"Mars/Olympus"}}`), 400, "INVALID_ARGUMENT", "time_zone", ""},
	}
}

func badRequests() []refusal {
	text := http.Header{"Content-Type": {"text/xml"}}
	host := func(h string) systest.Request { return systest.Request{Method: http.MethodGet, Host: h} }
	return []refusal{
		{"the hook's method", request(systest.Request{Method: http.MethodGet}, "/v1/hooks/provisioning/billing"), 405, "METHOD_NOT_ALLOWED", "POST", "POST"},
		{"a path's method", request(systest.Request{Method: http.MethodDelete}, "/v1/tenants"), 405, "METHOD_NOT_ALLOWED", "POST", "GET, POST"},
		{"an RPC's method", request(systest.Request{Method: http.MethodPut}, "/tenantry.tenants.v1.TenantService/CreateTenant"), 405, "METHOD_NOT_ALLOWED", "POST", "POST"},
		{"unknown path", request(systest.Request{Method: http.MethodGet}, "/v1/nothing"), 404, "UNKNOWN_PATH", "/v1/", ""},
		{"unknown RPC", request(systest.Request{Method: http.MethodPost, Body: []byte("{}")}, "/tenantry.tenants.v1.TenantService/DropTenant"), 404, "UNKNOWN_PATH", "", ""},
		{"unknown tenant", request(host("nobody.localhost"), "/v1/me"), 404, "UNKNOWN_HOST", "{slug}", ""},
		{"unknown domain", request(host("tenantry.attacker.example"), "/v1/me"), 404, "UNKNOWN_HOST", "", ""},
		{"a tenant's path at the central host", request(systest.Request{Method: http.MethodGet}, "/v1/me"), 404, "WRONG_HOST", "{slug}", ""},
		{"content type", request(systest.Request{Method: http.MethodPost, Header: text, Body: []byte("<a/>")}, "/v1/tenants"), 415, "UNSUPPORTED_MEDIA_TYPE", "application/json", ""},
		{"an RPC's content type", request(systest.Request{Method: http.MethodPost, Header: text, Body: []byte("<a/>")}, "/tenantry.tenants.v1.TenantService/CreateTenant"), 415, "UNSUPPORTED_MEDIA_TYPE", "application/json", ""},
		{"2 MiB", request(systest.Request{Method: http.MethodPost, Body: []byte(`{"name":"` + strings.Repeat("x", 2<<20) + `"}`)}, "/v1/tenants"), 413, "BODY_TOO_LARGE", "1048576", ""},
		{"an RPC's 2 MiB", request(systest.Request{Method: http.MethodPost, Body: []byte(`{"name":"` + strings.Repeat("x", 2<<20) + `"}`)}, "/tenantry.tenants.v1.TenantService/CreateTenant"), 413, "BODY_TOO_LARGE", "1048576", ""},
		{"nested deep", request(systest.Request{Method: http.MethodPost, Body: []byte(strings.Repeat(`{"settings":`, 10_000))}, "/v1/tenants"), 400, "MALFORMED_BODY", "", ""},
		{"unknown field", request(systest.Request{Method: http.MethodPost, Body: []byte(`{"slug":"never","colour":"x"}`)}, "/v1/tenants"), 400, "MALFORMED_BODY", "colour", ""},
		{"an RPC's unknown field", request(systest.Request{Method: http.MethodPost, Body: []byte(`{"slug":"never","colour":"x"}`)}, "/tenantry.tenants.v1.TenantService/CreateTenant"), 400, "MALFORMED_BODY", "colour", ""},
		{"unknown parameter", request(systest.Request{Method: http.MethodGet}, "/v1/tenants?limt=2"), 400, "UNKNOWN_PARAMETER", "limit", ""},
		{"out of range", request(systest.Request{Method: http.MethodGet}, "/v1/tenants?limit=1000"), 400, "INVALID_ARGUMENT", "limit", ""},
		{"reserved slug", request(systest.Request{Method: http.MethodPost, Body: []byte(`{"slug":"www","name":"x","owner_email":"a@never.example"}`)}, "/v1/tenants"), 400, "SLUG_RESERVED", "reserved", ""},
	}
}

// TestBadInput_IsExplainedAndWritesNothing: every refusal is JSON with a
// reason, the request's id and what is allowed, and leaves no row.
func TestBadInput_IsExplainedAndWritesNothing(t *testing.T) {
	t.Parallel()
	s := own(t, systest.Options{})
	before, err := s.CentralRows(within(t, time.Minute))
	require.NoError(t, err)
	for _, c := range append(badHooks(), badRequests()...) {
		t.Run(c.name, func(t *testing.T) {
			a := c.send(t, s)
			require.Equal(t, c.status, a.Status, "%.300s", a)
			require.Equal(t, c.reason, a.Reason(), "%.300s", a)
			require.Contains(t, a.Message(), c.says)
			require.Equal(t, "application/json", a.Header.Get("Content-Type"))
			require.Equal(t, "nosniff", a.Header.Get("X-Content-Type-Options"))
			require.NotEmpty(t, a.RequestID())
			require.Equal(t, a.Header.Get("X-Request-Id"), a.RequestID())
			require.Equal(t, c.allow, a.Header.Get("Allow"))
			require.NotContains(t, string(a.Body), "SQLSTATE")
			require.False(t, bytes.Contains(a.Body, []byte("goroutine")))
		})
	}
	after, err := s.CentralRows(within(t, time.Minute))
	require.NoError(t, err)
	require.Equal(t, before, after, "nothing was written")
	op, err := s.Provision(within(t, time.Minute), systest.NewOrder("never"))
	require.NoError(t, err, "the slug of all these is free, and the system works")
	whole(t, s, op, "never")
}

// TestHookSecrets_RetiredOnesAreWorthless rotates a source's secret.
func TestHookSecrets_RetiredOnesAreWorthless(t *testing.T) {
	t.Parallel()
	s := shared(t)
	ctx := within(t, time.Minute)
	old, err := s.CreateHookSource(ctx, "rotating")
	require.NoError(t, err)
	out, err := s.Output(ctx, "hook", "add-secret", "--source", "rotating", "--json")
	require.NoError(t, err)
	renewed := old
	var added struct{ ID, Secret string }
	require.NoError(t, json.Unmarshal([]byte(out), &added), out)
	renewed.Secret = added.Secret
	for i, h := range []systest.HookSource{old, renewed} {
		slug := "rotated-" + strconv.Itoa(i)
		a, err := s.Send(ctx, signed(t, h, time.Now(), `{"slug":"`+slug+`","name":"Rotated","owner_email":"owner@rotated.example"}`))
		require.NoError(t, err)
		require.Equal(t, http.StatusAccepted, a.Status, "with overlap both sign: %s", a)
	}
	first, err := systest.Value[string](ctx, s, "", `
		SELECT x.id::text FROM hook_secrets x JOIN hook_sources s ON s.id = x.source_id WHERE s.name = 'rotating' AND x.id <> $1`, added.ID)
	require.NoError(t, err)
	_, err = s.Output(ctx, "hook", "retire-secret", "--source", "rotating", "--secret-id", first)
	require.NoError(t, err)
	a, err := s.Send(ctx, signed(t, old, time.Now(), `{"slug":"too-late","name":"Late","owner_email":"owner@late.example"}`))
	require.NoError(t, err)
	require.Equal(t, http.StatusUnauthorized, a.Status, a.String())
	require.Equal(t, "HOOK_SIGNATURE_INVALID", a.Reason())
	// The key that came with the source reads its own operations and no more.
	a, err = s.Get(ctx, "", "/v1/operations", old.OperatorKey)
	require.NoError(t, err)
	var list struct {
		Operations []systest.Operation `json:"operations"`
	}
	require.NoError(t, a.JSON(&list))
	require.Len(t, list.Operations, 2)
	for _, o := range list.Operations {
		_, err := s.WaitOperationAs(ctx, o.ID, old.OperatorKey)
		require.NoError(t, err)
	}
	a, err = s.Get(ctx, "", "/v1/tenants", old.OperatorKey)
	require.NoError(t, err)
	require.Equal(t, "SCOPE_MISSING", a.Reason(), a.String())
	a, err = s.Get(ctx, "", "/v1/operations/"+list.Operations[0].ID, s.Hook.OperatorKey)
	require.NoError(t, err)
	require.Equal(t, "OPERATION_NOT_FOUND", a.Reason(), "another source's operation")
}
