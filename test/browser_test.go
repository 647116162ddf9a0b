package test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/audits"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"tenantry/internal/devstack"
	"tenantry/internal/systest"
)

// TestBrowser opens every page that a mail links to in a real browser, in two
// languages, sends its form, and keeps a picture of each step. A page that
// breaks its own policy, speaks another language or lacks a label is an error.
func TestBrowser_EveryPageWorksInTwoLanguages(t *testing.T) {
	t.Parallel()
	s := shared(t)
	executable, err := devstack.EnsureChromium(within(t, 5*time.Minute), os.Stderr)
	require.NoError(t, err)
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte(`<!DOCTYPE html><html lang="en"><title>App</title><h1>The application</h1>`))
	}))
	t.Cleanup(app.Close)
	o := systest.NewOrder("browser").Open()
	_, owner := tenant(t, s, o)
	settings(t, s, o.Slug, owner, map[string]any{"app_url": app.URL + "/in"})

	for _, l := range []struct {
		language string
		titles   map[string]string
	}{
		{"en", map[string]string{
			"/m/invitation": "Accept your invitation", "/m/verify": "Confirm your e-mail address", "/m/reset": "Choose a new password", "/m/magic": "Log in",
			"/m/email": "Confirm your new address", "/m/email-undo": "Take the change of address back", "/m/not-me": "This was not me", "gone": "This link is not valid any more",
		}},
		{"de", map[string]string{
			"/m/invitation": "Einladung annehmen", "/m/verify": "E-Mail-Adresse bestätigen", "/m/reset": "Neues Passwort wählen", "/m/magic": "Anmelden",
			//nolint:misspell // German
			"/m/email": "Neue Adresse bestätigen", "/m/email-undo": "Adressänderung rückgängig machen", "/m/not-me": "Das war ich nicht", "gone": "Dieser Link ist nicht mehr gültig",
		}},
	} {
		t.Run(l.language, func(t *testing.T) {
			b := &browser{system: s, slug: o.Slug, language: l.language, titles: l.titles, app: app.URL}
			b.start(t, executable)
			b.walk(t, owner)
		})
	}
}

// browser is a window in one language.
type browser struct {
	system         *systest.System
	slug, language string
	titles         map[string]string
	app            string

	ctx context.Context

	mu sync.Mutex
	// problems is what the browser has complained about.
	problems []string
}

func (b *browser) start(t *testing.T, executable string) {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(executable), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.UserDataDir(t.TempDir()), chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-dev-shm-usage", true), chromedp.WindowSize(900, 900))
	ctx, cancel := chromedp.NewExecAllocator(within(t, 4*time.Minute), options...)
	t.Cleanup(cancel)
	b.ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	require.NoError(t, chromedp.Listen(b.ctx, func(event any) {
		if e, ok := event.(*audits.EventIssueAdded); ok && e.Issue.Code == audits.InspectorIssueCodeContentSecurityPolicyIssue {
			d := e.Issue.Details.ContentSecurityPolicyIssueDetails
			b.complain(string(d.ContentSecurityPolicyViolationType) + " " + d.ViolatedDirective + " " + d.BlockedURL)
		}
	}))
	_, err := chromedp.Call(b.ctx, audits.Enable, cdp.Empty{})
	require.NoError(t, err)
	_, err = chromedp.Call(b.ctx, network.Enable, network.EnableParams{})
	require.NoError(t, err)
	_, err = chromedp.Call(b.ctx, network.SetExtraHTTPHeaders, network.SetExtraHTTPHeadersParams{Headers: network.Headers{"Accept-Language": b.language}})
	require.NoError(t, err)
}

func (b *browser) complain(what string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.problems = append(b.problems, what)
}

// walk takes one person through every page.
func (b *browser) walk(t *testing.T, owner string) {
	t.Helper()
	s, ctx := b.system, within(t, 4*time.Minute)
	at := func(name string) string { return name + "-" + b.language + "@browser.example" }
	link := func(to, page string) string {
		t.Helper()
		found, err := s.Link(ctx, to, page)
		require.NoError(t, err)
		return found
	}
	call := func(path, bearer string, body any) systest.Answer {
		t.Helper()
		a, err := s.Post(ctx, b.slug, path, bearer, body)
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, a.Status, a.String())
		return a
	}

	call("/v1/invitations", owner, map[string]any{"email": at("guest"), "role_ids": []string{roleOf(t, s, b.slug, owner, "member")}})
	b.open(t, link(at("guest"), "/m/invitation"), "/m/invitation")
	b.send(t, "invitation-sent", map[string]string{"#name": "Jo <b>", "#password": password}, "here", http.StatusOK)

	person := at("person")
	register(t, s, b.slug, person)
	verify := link(person, "/m/verify")
	b.open(t, verify, "/m/verify")
	b.send(t, "verify-sent", nil, "here", http.StatusOK)
	b.open(t, verify, "gone")

	b.magic(t, call, link, person)

	call("/v1/auth/request-password-reset", "", map[string]string{"email": person})
	b.open(t, link(person, "/m/reset"), "/m/reset")
	b.send(t, "reset-refused", map[string]string{"#password": "qwertyuiop"}, "here", http.StatusBadRequest)
	b.send(t, "reset-sent", map[string]string{"#password": password + "!"}, "here", http.StatusOK)

	access, err := s.Login(ctx, b.slug, person, password+"!")
	require.NoError(t, err)
	call("/v1/me:changeEmail", access, map[string]string{"email": at("new")})
	b.open(t, link(at("new"), "/m/email"), "/m/email")
	b.send(t, "email-sent", nil, "here", http.StatusOK)
	b.open(t, link(person, "/m/email-undo"), "/m/email-undo")
	b.send(t, "email-undo-sent", nil, "here", http.StatusOK)

	guest := at("guest")
	for range 2 { // the first login needs no notice
		_, err := s.Login(ctx, b.slug, guest, password)
		require.NoError(t, err)
	}
	b.open(t, link(guest, "/m/not-me"), "/m/not-me")
	b.send(t, "not-me-sent", nil, "here", http.StatusOK)
	a, err := s.Post(ctx, b.slug, "/v1/auth/login", "", map[string]string{"email": guest, "password": password})
	require.NoError(t, err)
	require.Equal(t, "LOGIN_FAILED", a.Reason(), "locked down by the page")
}

// magic lets the page lead to the application, which Chromium allows only
// where form-action names it.
func (b *browser) magic(t *testing.T, call func(string, string, any) systest.Answer, link func(string, string) string, person string) {
	t.Helper()
	call("/v1/auth/magic-link", "", map[string]string{"email": person, "code_challenge": challengeOf(verifier)})
	page := link(person, "/m/magic")
	b.open(t, page, "/m/magic")
	b.send(t, "magic-refused", map[string]string{"#code": "222222"}, "code", http.StatusBadRequest)
	b.open(t, page, "/m/magic") // the policy of the page as the mail opens it
	response, err := chromedp.RunResponse(b.ctx, chromedp.Click(`button[value="here"]`))
	require.NoError(t, err)
	require.EqualValues(t, http.StatusOK, response.Status)
	location, err := chromedp.Run(b.ctx, chromedp.Location())
	require.NoError(t, err)
	b.quiet(t, "magic-sent")
	to, err := url.Parse(location)
	require.NoError(t, err)
	require.Equal(t, b.app+"/in", to.Scheme+"://"+to.Host+to.Path)
	a := call("/v1/auth/exchange-code", "", map[string]string{"code": to.Query().Get("code"), "code_verifier": verifier})
	require.Contains(t, a.String(), "access_token")
}

// open shows a page: its title, its language, and what it must have.
func (b *browser) open(t *testing.T, link, page string) {
	t.Helper()
	_, err := chromedp.RunResponse(b.ctx, chromedp.Navigate(link))
	require.NoError(t, err)
	name := filepath.Base(page)
	b.look(t, name)
	title, err := chromedp.Run(b.ctx, chromedp.Text("h1"))
	require.NoError(t, err)
	require.Equal(t, b.titles[page], title)
}

// send fills fields in, presses a button, and looks at what comes.
func (b *browser) send(t *testing.T, name string, fields map[string]string, button string, status int) {
	t.Helper()
	for field, value := range fields {
		require.NoError(t, chromedp.Do(b.ctx, chromedp.SendKeys(field, value)))
	}
	response, err := chromedp.RunResponse(b.ctx, chromedp.Click(`button[value="`+button+`"]`))
	require.NoError(t, err, name)
	require.EqualValues(t, status, response.Status, name)
	b.look(t, name)
}

// sound is what each page must be like, as the browser has rendered it.
const sound = `({
	language: document.documentElement.lang,
	labelled: [...document.querySelectorAll("input:not([type=hidden])")].every(i => i.labels.length === 1 && i.labels[0].innerText.trim() !== ""),
	described: [...document.querySelectorAll("[aria-describedby]")].every(i => i.getAttribute("aria-describedby").split(" ").every(id => document.getElementById(id))),
	headings: document.querySelectorAll("h1").length, mains: document.querySelectorAll("main").length,
	scripts: document.scripts.length, styled: getComputedStyle(document.querySelector("main")).borderRadius === "12px",
	fits: document.documentElement.scrollWidth <= document.documentElement.clientWidth,
	ids: new Set([...document.querySelectorAll("[id]")].map(e => e.id)).size === document.querySelectorAll("[id]").length,
})`

func (b *browser) look(t *testing.T, name string) {
	t.Helper()
	type rendered struct {
		Language  string `json:"language"`
		Labelled  bool   `json:"labelled"`
		Described bool   `json:"described"`
		Styled    bool   `json:"styled"`
		Fits      bool   `json:"fits"`
		IDs       bool   `json:"ids"`
		Headings  int    `json:"headings"`
		Mains     int    `json:"mains"`
		Scripts   int    `json:"scripts"`
	}
	require.NoError(t, chromedp.Do(b.ctx, chromedp.WaitReady("main")), name)
	is, err := chromedp.Run(b.ctx, chromedp.Evaluate[rendered](sound))
	require.NoError(t, err, name)
	require.Equal(t, b.language, is.Language, name)
	require.True(t, is.Labelled && is.Described && is.Styled && is.Fits && is.IDs, "%s: %+v", name, is)
	require.Equal(t, []int{1, 1, 0}, []int{is.Headings, is.Mains, is.Scripts}, name)
	b.quiet(t, name)
	b.keep(t, name)
}

func (b *browser) quiet(t *testing.T, name string) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	require.Empty(t, b.problems, "%s breaks its own policy", name)
}

// keep stores a picture, beside the source unless TENANTRY_ARTIFACTS says where.
func (b *browser) keep(t *testing.T, name string) {
	t.Helper()
	picture, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	require.NoError(t, err)
	dir := os.Getenv("TENANTRY_ARTIFACTS")
	if dir == "" {
		dir = filepath.Join("..", "artifacts")
	}
	dir = filepath.Join(dir, "pages")
	require.NoError(t, os.MkdirAll(dir, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, name+"."+b.language+".png"), picture, 0o600))
}
