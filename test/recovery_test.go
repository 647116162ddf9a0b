package test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tenantry/internal/systest"
)

// verifier is what a browser keeps while it asks for a link (RFC 7636).
const verifier = "a-verifier-of-forty-three-characters-or-more_0~"

func challengeOf(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// settings changes a tenant's settings as their owner.
func settings(t *testing.T, s *systest.System, slug, owner string, changes map[string]any) {
	t.Helper()
	ctx := within(t, 30*time.Second)
	a, err := s.Get(ctx, slug, "/v1/settings", owner)
	require.NoError(t, err)
	var now struct{ Version string }
	require.NoError(t, a.JSON(&now))
	changes["version"] = now.Version
	a, err = s.Call(ctx, http.MethodPatch, s.TenantURL(slug, "/v1/settings"), owner, changes)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, a.Status, a.String())
}

// roleOf answers the id of a role.
func roleOf(t *testing.T, s *systest.System, slug, owner, name string) string {
	t.Helper()
	a, err := s.Get(within(t, 30*time.Second), slug, "/v1/roles?limit=100", owner)
	require.NoError(t, err)
	var list struct{ Roles []struct{ ID, Name string } }
	require.NoError(t, a.JSON(&list))
	for _, r := range list.Roles {
		if r.Name == name {
			return r.ID
		}
	}
	require.Fail(t, "no role "+name)
	return ""
}

func encode(t *testing.T, v any) []byte {
	t.Helper()
	text, err := json.Marshal(v)
	require.NoError(t, err)
	return text
}

// TestOneTimeValues_OfRecoveryRedeemOnce redeems each link and code of recovery
// and of login by mail fifty times at once.
func TestOneTimeValues_OfRecoveryRedeemOnce(t *testing.T) {
	t.Parallel()
	s := shared(t)
	ctx := within(t, 4*time.Minute)
	o := systest.NewOrder("once-more").Open()
	op, owner := tenant(t, s, o)
	settings(t, s, o.Slug, owner, map[string]any{"app_url": "https://app.once-more.example"})
	person := "person@once-more.example"
	register(t, s, o.Slug, person)
	token := func(to, page string) string {
		t.Helper()
		link, err := s.Link(ctx, to, page)
		require.NoError(t, err)
		token, err := systest.Token(link)
		require.NoError(t, err)
		return token
	}
	post := func(path, bearer string, body any) systest.Answer {
		t.Helper()
		a, err := s.Post(ctx, o.Slug, path, bearer, body)
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, a.Status, a.String())
		return a
	}
	once := func(path string, body any) {
		t.Helper()
		onlyOne(t, func(int) (systest.Answer, error) { return s.Post(ctx, o.Slug, path, "", body) })
	}
	post("/v1/auth/verify-email", "", map[string]string{"token": token(person, "/m/verify")})

	for range 2 {
		_, err := s.Login(ctx, o.Slug, person, password)
		require.NoError(t, err)
	}
	notMe := token(person, "/m/not-me")

	// A redirect's code, after the one click of fifty that got it.
	post("/v1/auth/magic-link", "", map[string]string{"email": person, "code_challenge": challengeOf(verifier)})
	link, err := s.Link(ctx, person, "/m/magic")
	require.NoError(t, err)
	form, err := s.OpenPage(ctx, link)
	require.NoError(t, err)
	form.Fields.Set("act", "here")
	var codes []string
	for _, a := range inParallel(t, 50, func(int) (systest.Answer, error) {
		return s.Do(ctx, systest.Request{Method: http.MethodPost, URL: form.Action, Body: []byte(form.Fields.Encode()), Header: http.Header{
			"Content-Type": {"application/x-www-form-urlencoded"}, "Sec-Fetch-Site": {"same-origin"},
		}})
	}) {
		if a.Status == http.StatusSeeOther {
			to, err := url.Parse(a.Header.Get("Location"))
			require.NoError(t, err)
			codes = append(codes, to.Query().Get("code"))
			continue
		}
		require.Equal(t, http.StatusBadRequest, a.Status, a.String())
	}
	require.Len(t, codes, 1)
	once("/v1/auth/exchange-code", map[string]string{"code": codes[0], "code_verifier": verifier})

	post("/v1/auth/request-password-reset", "", map[string]string{"email": person})
	once("/v1/auth/reset-password", map[string]string{"token": token(person, "/m/reset"), "password": password + "!"})
	access, err := s.Login(ctx, o.Slug, person, password+"!")
	require.NoError(t, err)

	post("/v1/me:changeEmail", access, map[string]string{"email": "new@once-more.example"})
	once("/v1/auth/confirm-email-change", map[string]string{"token": token("new@once-more.example", "/m/email")})
	once("/v1/auth/undo-email-change", map[string]string{"token": token(person, "/m/email-undo")})
	once("/v1/auth/not-me", map[string]string{"token": notMe})
	settled(t, s, op.TenantID)
	require.Len(t, lockDownMails(s, person), 2, "one mail for each time the account was locked down")
}

func lockDownMails(s *systest.System, to string) (out []string) {
	for _, m := range s.Mailbox.Messages(to) {
		if strings.Contains(m.Subject, "is locked until you choose") {
			out = append(out, m.Subject)
		}
	}
	return out
}
