package test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tenantry/internal/mailbox"
	"tenantry/internal/systest"
)

// TestAttack_APoisonedHostMovesNoLink is attack 8 of the security baseline.
// Proven against a planted bug: a mailer that puts another base in front of its links.
func TestAttack_APoisonedHostMovesNoLink(t *testing.T) {
	t.Parallel()
	s := shared(t)
	ctx := within(t, 3*time.Minute)
	o := systest.NewOrder("poisoned").Open()
	_, owner := tenant(t, s, o)
	settings(t, s, o.Slug, owner, map[string]any{"app_url": "https://app.poisoned.example"})
	ours, err := url.Parse(s.TenantURL(o.Slug, "/"))
	require.NoError(t, err)
	person := func(name string) string { return name + "@poisoned.example" }
	for _, name := range []string{"known", "changing"} {
		register(t, s, o.Slug, person(name))
		link, err := s.Link(ctx, person(name), "/m/verify")
		require.NoError(t, err)
		_, err = s.Confirm(ctx, link)
		require.NoError(t, err)
	}
	access, err := s.Login(ctx, o.Slug, person("changing"), password)
	require.NoError(t, err)
	member := roleOf(t, s, o.Slug, owner, "member")
	mailed := len(s.Mailbox.Messages(""))

	calls := []struct {
		path, bearer string
		body         map[string]any
		to, page     string
	}{
		{"/v1/auth/register", "", map[string]any{"name": "N", "email": person("new"), "password": password}, person("new"), "/m/verify"},
		{"/v1/auth/resend-verification", "", map[string]any{"email": person("new")}, person("new"), "/m/verify"},
		{"/v1/auth/request-password-reset", "", map[string]any{"email": person("known")}, person("known"), "/m/reset"},
		{"/v1/auth/magic-link", "", map[string]any{"email": person("known"), "code_challenge": challengeOf(verifier)}, person("known"), "/m/magic"},
		{"/v1/me:changeEmail", access, map[string]any{"email": person("changed")}, person("changed"), "/m/email"},
		{"/v1/invitations", owner, map[string]any{"email": person("guest"), "role_ids": []string{member}}, person("guest"), "/m/invitation"},
		{"/v1/me:changePassword", access, map[string]any{"password": password + "!"}, person("changing"), "/m/not-me"},
	}
	for _, c := range calls {
		sendPoisoned(t, s, o.Slug, c.path, c.bearer, c.body)
		// One call may take back what another's mail offers: each mail goes first.
		_, err := s.Link(ctx, c.to, c.page)
		require.NoError(t, err, c.path)
	}
	for _, m := range s.Mailbox.Messages("")[mailed:] {
		if strings.HasSuffix(m.To[0], "@poisoned.example") {
			requireOurs(t, m, ours)
		}
	}
}

// sendPoisoned sends a call whose headers name another host. A Host that is not the
// tenant's reaches no tenant; the tenant's own with poison beside it is served.
func sendPoisoned(t *testing.T, s *systest.System, slug, path, bearer string, body map[string]any) {
	t.Helper()
	ctx := within(t, 30*time.Second)
	for _, evil := range []string{"evil.example", slug + ".evil.example", slug + ".localhost.evil.example", "evil.example/" + slug, slug + ".localhost@evil.example"} {
		a, err := s.Do(ctx, systest.Request{Method: http.MethodPost, URL: s.TenantURL(slug, path), Host: evil, Body: encode(t, body), Header: headers(bearer, nil)})
		require.NoError(t, err)
		require.GreaterOrEqual(t, a.Status, 400, "%s as %s: %s", path, evil, a)
		require.Less(t, a.Status, 500, "%s as %s: %s", path, evil, a)
	}
	a, err := s.Do(ctx, systest.Request{Method: http.MethodPost, URL: s.TenantURL(slug, path), Body: encode(t, body), Header: headers(bearer, map[string]string{
		"X-Forwarded-Host": "evil.example", "X-Forwarded-Server": "evil.example", "Forwarded": "host=evil.example;proto=https", "X-Host": "evil.example",
		"X-Original-Host": "evil.example", "X-Rewrite-Url": "https://evil.example/", "X-Forwarded-Proto": "gopher", "Origin": "https://evil.example", "Referer": "https://evil.example/",
	})})
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, a.Status, "%s: %s", path, a)
	require.NotContains(t, a.String(), "evil.example")
}

func headers(bearer string, more map[string]string) http.Header {
	h := http.Header{"Content-Type": {"application/json"}}
	if bearer != "" {
		h.Set("Authorization", "Bearer "+bearer)
	}
	for name, value := range more {
		h.Set(name, value)
	}
	return h
}

func requireOurs(t *testing.T, m mailbox.Message, ours *url.URL) {
	t.Helper()
	require.NotContains(t, m.Text+m.HTML+m.Subject, "evil.example")
	require.NotEmpty(t, m.Links, m.Subject)
	for _, link := range m.Links {
		u, err := url.Parse(link)
		require.NoError(t, err)
		require.Equal(t, ours.Scheme+"://"+ours.Host, u.Scheme+"://"+u.Host, "%s: %s", m.Subject, link)
	}
}

// TestAttack_MailIsNoSecondFactor is attack 7: whoever reads the mail of an
// account that has enrolled a second factor sets its password and redeems its
// magic link, and still has no session; whoever has the factor too, has one
// either way.
// Proven against planted bugs: a magic link that counts as two factors; a reset
// that takes the factor away.
func TestAttack_MailIsNoSecondFactor(t *testing.T) {
	t.Parallel()
	s := shared(t)
	ctx := within(t, 2*time.Minute)
	victim := secured(t, s, "two-factors")
	o := victim.order
	settings(t, s, o.Slug, victim.access, map[string]any{"app_url": "https://app.two-factors.example"})
	database, err := s.Database(ctx, o.Slug)
	require.NoError(t, err)
	sessions := func() int64 {
		n, err := systest.Value[int64](ctx, s, database, `SELECT count(*) FROM sessions WHERE revoked_at IS NULL`)
		require.NoError(t, err)
		return n
	}
	link := func(page string) string {
		t.Helper()
		link, err := s.Link(ctx, o.OwnerEmail, page)
		require.NoError(t, err)
		return link
	}

	const taken = "the attacker's own password"
	victim.ok(t, "/v1/auth/request-password-reset", "", map[string]string{"email": o.OwnerEmail})
	token, err := systest.Token(link("/m/reset"))
	require.NoError(t, err)
	a := victim.ok(t, "/v1/auth/reset-password", "", map[string]string{"token": token, "password": taken})
	require.JSONEq(t, `{}`, string(a.Body), "no session comes with a reset")
	require.Zero(t, sessions(), "and the owner's have ended")
	byPassword := victim.challenged(t, victim.ok(t, "/v1/auth/login", "", map[string]string{"email": o.OwnerEmail, "password": taken}))

	victim.ok(t, "/v1/auth/magic-link", "", map[string]string{"email": o.OwnerEmail, "code_challenge": challengeOf(verifier)})
	form, err := s.OpenPage(ctx, link("/m/magic"))
	require.NoError(t, err)
	form.Fields.Set("act", "here")
	a, err = s.Submit(ctx, form)
	require.NoError(t, err)
	to, err := url.Parse(a.Header.Get("Location"))
	require.NoError(t, err)
	byLink := victim.challenged(t, victim.ok(t, "/v1/auth/exchange-code", "", map[string]string{"code": to.Query().Get("code"), "code_verifier": verifier}))
	require.Zero(t, sessions())
	for _, challenge := range []string{byPassword, byLink} {
		require.Equal(t, "MFA_FAILED", victim.verify(t, challenge, victim.first).Reason(), "a code that was used")
		require.Equal(t, "CHALLENGE_INVALID", victim.post(t, "/v1/auth/mfa:enroll", "", map[string]string{"challenge_token": challenge}).Reason(), "no factor of one's own")
	}
	require.Zero(t, sessions())

	a = victim.ok(t, "/v1/auth/mfa:verify", "", map[string]string{"challenge_token": byPassword, "backup_code": victim.backup[7]})
	victim.opens(t, a)
	require.EqualValues(t, 1, sessions())
	a = victim.verify(t, byLink, victim.phone.code(t, time.Now(), 1))
	require.Equal(t, http.StatusOK, a.Status, a.String())
	victim.opens(t, a)
	require.EqualValues(t, 2, sessions())
}
