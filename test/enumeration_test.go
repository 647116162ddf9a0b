package test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tenantry/internal/systest"
)

// door is a call that names an address before anybody has logged in. Its
// answer tells nothing about the address (E, security baseline 5): the tests of
// answers and of times walk this table.
type door struct {
	name, path string
	// status is that of every answer.
	status int
	body   func(email string) map[string]string
	// own are fields of the answer that are of the request alone, and differ each
	// time.
	own []string
	// table gets a row that knows the address by the condition, with $1 for its
	// keyed hash: there the timing test plants its leak.
	table, leak string
}

var doors = []door{
	{
		name: "login", path: "/v1/auth/login", status: http.StatusUnauthorized,
		body: func(email string) map[string]string {
			return map[string]string{"email": email, "password": "nobody has this password here"}
		},
		table: "login_events", leak: "NEW.user_id IS NOT NULL",
	},
	{
		name: "register", path: "/v1/auth/register", status: http.StatusOK,
		body: func(email string) map[string]string {
			return map[string]string{"name": "Somebody", "email": email, "password": password}
		},
		table: "registrations", leak: "NEW.address_hash = $1",
	},
	{
		name: "resend", path: "/v1/auth/resend-verification", status: http.StatusOK,
		body:  func(email string) map[string]string { return map[string]string{"email": email} },
		table: "outbox", leak: "NEW.address_hash = $1",
	},
	{
		name: "reset", path: "/v1/auth/request-password-reset", status: http.StatusOK,
		body:  func(email string) map[string]string { return map[string]string{"email": email} },
		table: "outbox", leak: "NEW.address_hash = $1",
	},
	{
		name: "magic link", path: "/v1/auth/magic-link", status: http.StatusOK,
		body: func(email string) map[string]string {
			return map[string]string{"email": email, "code_challenge": challengeOf(verifier)}
		},
		own:   []string{"request_id", "confirmation_code", "expire_time"},
		table: "magic_links", leak: "NEW.address_hash = $1",
	},
}

// TestEnumeration_NoAnswerTellsWhetherAnAccountExists is attack 5, but for the
// times: known, unknown, unverified, deleted and locked addresses get the same
// bytes from every door. The three that cannot log in are tried with their own
// password. Planted: LOGIN_FAILED with "locked" in its text for a blocked one.
func TestEnumeration_NoAnswerTellsWhetherAnAccountExists(t *testing.T) {
	t.Parallel()
	s := shared(t)
	ctx := within(t, 3*time.Minute)
	o := systest.NewOrder("silent").Open()
	g := newGuessed(t, s, o)
	owner, err := s.Login(ctx, o.Slug, o.OwnerEmail, password)
	require.NoError(t, err)
	settings(t, s, o.Slug, owner, map[string]any{"app_url": "https://app.silent.example"})
	const deleted, locked, unverified = "deleted@silent.example", "lockedd@silent.example", "waiting@silent.example"
	for _, email := range []string{deleted, locked} {
		join(t, s, o.Slug, email)
	}
	register(t, s, o.Slug, unverified)
	id, err := systest.Value[string](ctx, s, g.database, `SELECT id::text FROM users WHERE email = $1`, deleted)
	require.NoError(t, err)
	a, err := s.Call(ctx, http.MethodDelete, s.TenantURL(o.Slug, "/v1/users/"+id+"?version=1"), owner, nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, a.Status, a.String())
	for range 6 {
		g.login(guess{email: locked, password: "a guess of the attacker's"})
	}
	g.exec(`UPDATE login_counters SET failures = 100, blocked_until = now() + interval '10 min'`)

	states := []struct{ name, email, password string }{
		{"known", o.OwnerEmail, ""}, {"unknown", "nobodyy@silent.example", ""},
		{"unverified", unverified, password}, {"deleted", deleted, password}, {"locked", locked, password},
	}
	for _, d := range doors {
		var first string
		for _, state := range states {
			body := d.body(state.email)
			if d.name == "login" && state.password != "" {
				body["password"] = state.password
			}
			got := seen(t, s, o.Slug, d, body)
			if first == "" {
				first = got
				require.True(t, strings.HasPrefix(got, fmt.Sprint(d.status)), "%s: %s", d.name, got)
			}
			require.Equal(t, first, got, "%s: %s", d.name, state.name)
		}
	}
}

// seen is all that a client sees of an answer but its time.
func seen(t *testing.T, s *systest.System, slug string, d door, in map[string]string) string {
	t.Helper()
	body, err := json.Marshal(in)
	require.NoError(t, err)
	a, err := s.Do(within(t, time.Minute), systest.Request{
		Method: http.MethodPost, URL: s.TenantURL(slug, d.path), Body: body,
		Header: http.Header{"Content-Type": {"application/json"}, "X-Request-Id": {"the-same-for-all"}},
	})
	require.NoError(t, err)
	h := a.Header.Clone()
	h.Del("Date")
	h.Del("RateLimit") // what is left goes down with each
	if d.own != nil {
		h.Del("Content-Length") // a moment has as many digits as it needs
	}
	headers, err := json.Marshal(h)
	require.NoError(t, err)
	return fmt.Sprintf("%d\n%s\n%s", a.Status, headers, masked(t, d, a))
}

// masked is the body with what is the request's own made alike: its form stays,
// and its length but for the fraction of a second.
func masked(t *testing.T, d door, a systest.Answer) string {
	t.Helper()
	if d.own == nil {
		return string(a.Body)
	}
	var fields map[string]string
	require.NoError(t, a.JSON(&fields))
	body := string(a.Body)
	for _, name := range d.own {
		require.NotEmpty(t, fields[name], name)
		body = strings.Replace(body, fields[name], fraction.ReplaceAllString(form.ReplaceAllString(fields[name], "x"), ""), 1)
	}
	return body
}

var form, fraction = regexp.MustCompile(`[A-Za-z0-9]`), regexp.MustCompile(`\.x+$`)

// join makes an account with the tests' password.
func join(t *testing.T, s *systest.System, slug, email string) {
	t.Helper()
	ctx := within(t, time.Minute)
	register(t, s, slug, email)
	link, err := s.Link(ctx, email, "/m/verify")
	require.NoError(t, err)
	_, err = s.Confirm(ctx, link)
	require.NoError(t, err)
}

// TestPasswords_BadOnesAreRefusedClearly: whatever is sent as a password gets
// an answer that names the field, or the one refusal of a login.
func TestPasswords_BadOnesAreRefusedClearly(t *testing.T) {
	t.Parallel()
	s := shared(t)
	ctx := within(t, 2*time.Minute)
	o := systest.NewOrder("spelled").Open()
	_, owner := tenant(t, s, o)
	a, err := s.Call(ctx, http.MethodPatch, s.TenantURL(o.Slug, "/v1/settings"), owner, map[string]any{"password_words": map[string]any{"values": []string{"nordstern"}}, "version": 1})
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, a.Status, a.String())
	for password, want := range map[string]struct {
		status int
		reason string
	}{
		"short":                           {http.StatusBadRequest, "PASSWORD_TOO_SHORT"},
		strings.Repeat("a long one ", 91): {http.StatusBadRequest, "PASSWORD_TOO_LONG"},
		strings.Repeat("x", 1025):         {http.StatusBadRequest, "INVALID_ARGUMENT"},
		"a quiet harbour\x00at four":      {http.StatusBadRequest, "INVALID_ARGUMENT"},
		"aaaaaaaaaaaaaaaaaaaa":            {http.StatusBadRequest, "PASSWORD_COMMON"},
		"qwertyuiopasdfghjkl":             {http.StatusBadRequest, "PASSWORD_COMMON"},
		"Password1234567890!":             {http.StatusBadRequest, "PASSWORD_COMMON"},
		"Nordstern 2024 2025":             {http.StatusBadRequest, "PASSWORD_COMMON"},
		"organization spelled":            {http.StatusBadRequest, "PASSWORD_COMMON"},
		"Zoe.Zimmermann.1984!":            {http.StatusBadRequest, "PASSWORD_COMMON"},
		"zz-reply.2024-12345":             {http.StatusBadRequest, "PASSWORD_COMMON"},
		"🦊🌲🚲🎻🥐🌍🔭🧵🪐🧩🎲🪁🧯🪴🛶":                                                     {http.StatusOK, ""},
		strings.Repeat("sixty four characters ", 2) + "are allowed, and more": {http.StatusOK, ""},
	} {
		a, err := s.Post(ctx, o.Slug, "/v1/auth/register", "", map[string]string{"name": "Zoe Zimmermann", "email": "zz-reply@spelled.example", "password": password})
		require.NoError(t, err)
		require.Equal(t, want.status, a.Status, "%q: %s", password, a)
		require.Equal(t, want.reason, a.Reason(), "%q: %s", password, a)
		a, err = s.Post(ctx, o.Slug, "/v1/auth/login", "", map[string]string{"email": "zz-reply@spelled.example", "password": password})
		require.NoError(t, err)
		require.Contains(t, []int{http.StatusUnauthorized, http.StatusBadRequest}, a.Status, "login with %q: %s", password, a)
	}
}
