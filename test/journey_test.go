package test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tenantry/internal/systest"
)

var provisioningSteps = []string{
	"take_reservation", "create_role", "create_database", "grant_and_open", "seed_roles", "invite_owner", "create_signing_key", "activate",
}

type me struct {
	User struct {
		ID         string `json:"id"`
		Name       string `json:"name"`
		Email      string `json:"email"`
		LoginCount string `json:"login_count"`
	} `json:"user"`
	Roles       []string `json:"roles"`
	Permissions []string `json:"permissions"`
	SessionID   string   `json:"session_id"`
}

func whoAmI(t *testing.T, s *systest.System, slug, token string) me {
	t.Helper()
	a, err := s.Get(within(t, 30*time.Second), slug, "/v1/me", token)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, a.Status, a.String())
	var m me
	require.NoError(t, a.JSON(&m))
	return m
}

// looking opens a link as a mail scanner does: nothing may be used up.
func looking(t *testing.T, s *systest.System, link string) {
	t.Helper()
	for _, method := range []string{http.MethodHead, http.MethodGet, http.MethodGet} {
		a, err := s.Do(within(t, 30*time.Second), systest.Request{Method: method, URL: link})
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, a.Status, a.String())
		require.Contains(t, a.Header.Get("Content-Type"), "text/html")
		require.Equal(t, "no-referrer", a.Header.Get("Referrer-Policy"), "the address of the page holds a token")
		require.Equal(t, "no-store", a.Header.Get("Cache-Control"))
	}
}

// TestJourney is the main job as a stranger does it.
func TestJourney(t *testing.T) {
	t.Parallel()
	s := own(t, systest.Options{})
	acme, globex := systest.NewOrder("acme").Open(), systest.NewOrder("globex")

	ctx := within(t, time.Minute)
	op, err := s.Order(ctx, acme)
	require.NoError(t, err)
	op, err = s.WaitOperation(ctx, op.ID)
	require.NoError(t, err)
	whole(t, s, op, acme.Slug)
	require.True(t, op.ProgressAvailable)
	var names []string
	for _, step := range op.Steps {
		require.Equal(t, "done", step.State, step.Name)
		names = append(names, step.Name)
	}
	require.Equal(t, provisioningSteps, names)

	token := ownersWay(t, s, acme)
	secondPerson(t, s, acme)
	people(t, s, acme, token)

	other, otherToken := tenant(t, s, globex)
	foreignTokens(t, s, token, otherToken)
	inviteOnly(t, s, other, op)
	clean(t, s)
	aDayLater(t, s)
}

// aDayLater: what provisioning has left behind for good looks right for good,
// not only in the minutes after it.
func aDayLater(t *testing.T, s *systest.System) {
	t.Helper()
	ctx := within(t, time.Minute)
	conn, err := s.Connect(ctx, "")
	require.NoError(t, err)
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	for _, sql := range []string{
		`UPDATE outbox SET created_at = created_at - interval '1 day', due_at = due_at - interval '1 day'`,
		`UPDATE operations SET created_at = created_at - interval '1 day', ended_at = ended_at - interval '1 day'`,
		`UPDATE hook_receipts SET received_at = received_at - interval '1 day'`,
		`UPDATE outbox_dirty SET until = until - interval '1 day'`,
	} {
		_, err := conn.Exec(ctx, sql)
		require.NoError(t, err)
	}
	clean(t, s)
}

func ownersWay(t *testing.T, s *systest.System, o systest.Order) string {
	t.Helper()
	ctx := within(t, time.Minute)
	link, err := s.Link(ctx, o.OwnerEmail, "/m/invitation")
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(link, s.TenantURL(o.Slug, "/m/invitation?token=")), "the link leads to the tenant's host")
	looking(t, s, link)
	_, err = s.Login(ctx, o.Slug, o.OwnerEmail, password)
	require.ErrorContains(t, err, "LOGIN_FAILED", "nobody has accepted yet")

	_, err = s.Accept(ctx, link, "Ada Acme", "too short")
	require.ErrorContains(t, err, "400")
	_, err = s.Accept(ctx, link, "Ada Acme", password)
	require.NoError(t, err)
	_, err = s.OpenPage(ctx, link)
	require.ErrorContains(t, err, "not valid any more", "the link works once")

	token, err := s.Login(ctx, o.Slug, o.OwnerEmail, password)
	require.NoError(t, err)
	m := whoAmI(t, s, o.Slug, token)
	require.Equal(t, "Ada Acme", m.User.Name)
	require.Equal(t, o.OwnerEmail, m.User.Email)
	require.Equal(t, "1", m.User.LoginCount)
	require.Equal(t, []string{"owner"}, m.Roles)
	require.Contains(t, m.Permissions, "tenant.manage")
	require.NotEmpty(t, m.SessionID)
	return token
}

func secondPerson(t *testing.T, s *systest.System, o systest.Order) {
	t.Helper()
	const email = "ben@acme.example"
	ctx := within(t, time.Minute)
	register(t, s, o.Slug, email)
	link, err := s.Link(ctx, email, "/m/verify")
	require.NoError(t, err)
	looking(t, s, link)
	_, err = s.Login(ctx, o.Slug, email, password)
	require.ErrorContains(t, err, "LOGIN_FAILED", "an unverified address has no account")
	_, err = s.Confirm(ctx, link)
	require.NoError(t, err)
	_, err = s.Confirm(ctx, link)
	require.Error(t, err, "the link works once")

	token, err := s.Login(ctx, o.Slug, email, password)
	require.NoError(t, err)
	m := whoAmI(t, s, o.Slug, token)
	require.Equal(t, email, m.User.Email)
	require.Empty(t, m.Permissions)
	a, err := s.Get(ctx, o.Slug, "/v1/users", token)
	require.NoError(t, err)
	require.Equal(t, http.StatusForbidden, a.Status, a.String())
	require.Equal(t, "PERMISSION_MISSING", a.Reason())
	require.Contains(t, a.Message(), "users.read")
}

// people walks the list of users page by page.
func people(t *testing.T, s *systest.System, o systest.Order, token string) {
	t.Helper()
	ctx := within(t, time.Minute)
	want := []string{o.OwnerEmail, "ben@acme.example"}
	for _, email := range []string{"cleo@acme.example", "dan@acme.example", "eve@acme.example"} {
		register(t, s, o.Slug, email)
		link, err := s.Link(ctx, email, "/m/verify")
		require.NoError(t, err)
		_, err = s.Confirm(ctx, link)
		require.NoError(t, err)
		want = append(want, email)
	}
	var found []string
	cursor := ""
	for range 10 {
		a, err := s.Get(ctx, o.Slug, "/v1/users?limit=2&cursor="+cursor, token)
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, a.Status, a.String())
		var page struct {
			Users []struct {
				Email string `json:"email"`
			} `json:"users"`
			NextCursor string `json:"next_cursor"`
		}
		require.NoError(t, a.JSON(&page))
		require.LessOrEqual(t, len(page.Users), 2)
		for _, u := range page.Users {
			found = append(found, u.Email)
		}
		if cursor = page.NextCursor; cursor == "" {
			break
		}
	}
	require.Equal(t, want, found, "everybody once, in the order they came")
	a, err := s.Get(ctx, o.Slug, "/v1/users?cursor=AAAA", token)
	require.NoError(t, err)
	require.Equal(t, "CURSOR_INVALID", a.Reason(), a.String())
}

// foreignTokens: a token is worth nothing at another tenant's host.
func foreignTokens(t *testing.T, s *systest.System, acme, globex string) {
	t.Helper()
	ctx := within(t, 30*time.Second)
	garbage, err := s.Get(ctx, "acme", "/v1/me", "garbage")
	require.NoError(t, err)
	for slug, token := range map[string]string{"acme": globex, "globex": acme} {
		a, err := s.Get(ctx, slug, "/v1/me", token)
		require.NoError(t, err)
		require.Equal(t, http.StatusUnauthorized, a.Status, a.String())
		require.Equal(t, garbage.Reason(), a.Reason())
		require.Equal(t, garbage.Message(), a.Message())
	}
	a, err := s.Get(ctx, "", "/v1/tenants", acme)
	require.NoError(t, err)
	require.Equal(t, http.StatusUnauthorized, a.Status, "a person's token at the central host: %s", a)
	a, err = s.Get(ctx, "acme", "/v1/me", s.OperatorKey)
	require.NoError(t, err)
	require.Equal(t, http.StatusUnauthorized, a.Status, "an operator key at a tenant: %s", a)
}

// inviteOnly: who asks for an account hears the same everywhere, and only who
// may have one gets a mail.
func inviteOnly(t *testing.T, s *systest.System, closed, open systest.Operation) {
	t.Helper()
	register(t, s, "globex", "stranger@example.com")
	register(t, s, "globex", "owner@globex.example")
	settled(t, s, closed.TenantID)
	require.Empty(t, s.Mailbox.Messages("stranger@example.com"))
	require.Len(t, s.Mailbox.Messages("owner@globex.example"), 1, "the invitation alone")

	register(t, s, "acme", "Owner@Acme.example")
	settled(t, s, open.TenantID)
	var notices int
	for _, m := range s.Mailbox.Messages("owner@acme.example") {
		if strings.Contains(strings.Join(m.Links, " "), "token=") {
			continue // the invitation
		}
		notices++
	}
	require.Equal(t, 1, notices, "who has an account is told so, without a link that acts")
}
