package api

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tenantry/api/pages"
	"tenantry/internal/apperr"
	"tenantry/internal/auth"
	"tenantry/internal/db"
	"tenantry/internal/ids"
	"tenantry/internal/invitations"
	"tenantry/internal/tenants"
)

const (
	invitationPage = "/m/invitation"
	verifyPage     = "/m/verify"
	origin         = "http://" + acmeHost
	goodPassword   = "correct horse battery"
)

var hidden = regexp.MustCompile(`<input type="hidden" name="([^"]+)" value="([^"]*)">`)

// open shows a form and answers the fields that it brings along.
func (f *fake) open(t *testing.T, path string) url.Values {
	t.Helper()
	a := f.do(t, call{method: "GET", host: acmeHost, path: path + "?token=" + goodLink})
	require.Equal(t, http.StatusOK, a.status, a.body)
	fields := url.Values{}
	for _, m := range hidden.FindAllStringSubmatch(a.body, -1) {
		fields.Set(m[1], html.UnescapeString(m[2]))
	}
	require.Equal(t, goodLink, fields.Get("token"))
	require.NotEmpty(t, fields.Get("form_token"))
	return fields
}

func (f *fake) submit(t *testing.T, path string, fields url.Values, header map[string]string) answer {
	t.Helper()
	if header == nil {
		header = map[string]string{"Origin": origin}
	}
	return f.do(t, call{
		method: "POST", host: acmeHost, path: path, body: fields.Encode(), contentType: "application/x-www-form-urlencoded", header: header,
	})
}

func with(fields url.Values, pairs ...string) url.Values {
	out := url.Values{}
	for k, v := range fields {
		out[k] = v
	}
	for i := 0; i < len(pairs); i += 2 {
		out.Set(pairs[i], pairs[i+1])
	}
	return out
}

func TestPages_GETAndHEADConsumeNothingAndPOSTActs(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for _, path := range pages.Paths {
		head := f.do(t, call{method: "HEAD", host: acmeHost, path: path + "?token=" + goodLink})
		require.Equal(t, http.StatusOK, head.status)
		f.open(t, path)
	}
	require.Zero(t, f.effects.Load())

	a := f.submit(t, verifyPage, f.open(t, verifyPage), nil)
	require.Equal(t, http.StatusOK, a.status, a.body)
	require.Contains(t, a.body, "confirmed")
	require.EqualValues(t, 1, f.effects.Load())

	a = f.submit(t, invitationPage, with(f.open(t, invitationPage), "name", "Jo", "password", goodPassword), nil)
	require.Equal(t, http.StatusOK, a.status, a.body)
	require.Contains(t, a.body, "Log in")
	require.Contains(t, a.body, `href="https://app.acme.example/start"`)
	require.EqualValues(t, 2, f.effects.Load())

	for i, path := range []string{"/m/reset", "/m/email", "/m/email-undo", "/m/not-me"} {
		a = f.submit(t, path, with(f.open(t, path), "password", goodPassword), nil)
		require.Equal(t, http.StatusOK, a.status, a.body)
		require.EqualValues(t, 3+i, f.effects.Load())
		// Only where logging in comes next, the page leads there.
		require.Equal(t, path == "/m/reset" || path == "/m/email", strings.Contains(a.body, "app.acme.example"), path)
	}
	a = f.submit(t, "/m/magic", with(f.open(t, "/m/magic"), "act", "here"), nil)
	require.Equal(t, http.StatusSeeOther, a.status, a.body)
	require.Equal(t, "https://app.acme.example/start?code=c", a.header.Get("Location"))
	require.Equal(t, "no-referrer", a.header.Get("Referrer-Policy"))
	require.Equal(t, "no-store", a.header.Get("Cache-Control"))
}

// The redirect of a form is held against form-action: the page of a magic link
// names the application and every other page names nobody.
func TestPages_OnlyTheMagicLinkMayLeadToTheApplication(t *testing.T) {
	t.Parallel()
	for app, want := range map[string]string{
		"https://app.acme.example/start":  "form-action 'self' https://app.acme.example; ",
		"http://localhost:3000/a?b=c":     "form-action 'self' http://localhost:3000; ",
		"":                                "form-action 'self'; ",
		"https://a.example;script-src */": "form-action 'self'; ",
		"https://*/":                      "form-action 'self'; ",
	} {
		f := setup(t, func(f *fake) {
			f.wiring.pages.AppURL = func(context.Context, *db.Lease) (string, error) { return app, nil }
		})
		for _, path := range pages.Paths {
			a := f.do(t, call{method: "GET", host: acmeHost, path: path + "?token=" + goodLink})
			policy := a.header.Get("Content-Security-Policy")
			if path != "/m/magic" {
				require.Contains(t, policy, "form-action 'self'; ", path)
				continue
			}
			require.Contains(t, policy, want, app)
		}
	}
}

func TestPages_CarryStrictHeadersAndOnlyTheirOwnStyle(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for _, path := range []string{invitationPage + "?token=" + goodLink, invitationPage + "?token=spent", verifyPage} {
		a := f.do(t, call{method: "GET", host: acmeHost, path: path})
		policy := a.header.Get("Content-Security-Policy")
		for _, part := range []string{"default-src 'none'", "form-action 'self'", "frame-ancestors 'none'", "base-uri 'none'"} {
			require.Contains(t, policy, part)
		}
		_, rest, _ := strings.Cut(a.body, "<style>")
		style, _, found := strings.Cut(rest, "</style>")
		require.True(t, found)
		sum := sha256.Sum256([]byte(style))
		require.Contains(t, policy, "'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'", "a browser would refuse the style")
		require.NotContains(t, a.body, "<script")
		require.NotContains(t, a.body, "style=")
		require.Equal(t, "no-referrer", a.header.Get("Referrer-Policy"))
		require.Equal(t, "no-store", a.header.Get("Cache-Control"))
		require.Contains(t, a.header.Get("X-Robots-Tag"), "noindex")
		require.Contains(t, a.body, `<html lang="en">`)
		require.Contains(t, a.body, "Acme &amp; Sons &lt;Ltd&gt;")
	}
}

func TestPages_UnknownUsedAndExpiredLinksReadTheSame(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id := map[string]string{"X-Request-Id": "same"}
	var bodies []string
	for _, path := range []string{invitationPage + "?token=used", invitationPage + "?token=expired", verifyPage + "?token=x", verifyPage, verifyPage + "?token=" + strings.Repeat("a", 300)} {
		a := f.do(t, call{method: "GET", host: acmeHost, path: path, header: id})
		require.Equal(t, http.StatusBadRequest, a.status)
		bodies = append(bodies, a.body)
	}
	for _, b := range bodies[1:] {
		require.Equal(t, bodies[0], b)
	}
}

func TestPages_RefuseAFormThatIsNotOurs(t *testing.T) {
	t.Parallel()
	f := setup(t)
	fields := with(f.open(t, invitationPage), "name", "Jo", "password", goodPassword)
	verify := f.open(t, verifyPage)
	for name, tt := range map[string]struct {
		fields url.Values
		header map[string]string
	}{
		"no origin":             {fields, map[string]string{"X-Nothing": "1"}},
		"another origin":        {fields, map[string]string{"Origin": "http://evil.example"}},
		"another tenant":        {fields, map[string]string{"Origin": "http://globex.tenantry.test"}},
		"null origin":           {fields, map[string]string{"Origin": "null"}},
		"cross site":            {fields, map[string]string{"Origin": origin, "Sec-Fetch-Site": "cross-site"}},
		"same site":             {fields, map[string]string{"Sec-Fetch-Site": "same-site"}},
		"lying fetch metadata":  {fields, map[string]string{"Origin": "http://evil.example", "Sec-Fetch-Site": "same-origin"}},
		"no form token":         {with(fields, "form_token", ""), nil},
		"garbage form token":    {with(fields, "form_token", "1.a"), nil},
		"token of another link": {with(fields, "token", "other-link"), nil},
		"token of another page": {with(fields, "form_token", verify.Get("form_token")), nil},
		"token with more life":  {with(fields, "form_token", "9"+fields.Get("form_token")), nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := f.submit(t, invitationPage, tt.fields, tt.header)
			require.Equal(t, http.StatusForbidden, a.status, a.body)
			require.Contains(t, a.header.Get("Content-Type"), "text/html")
		})
	}
	t.Cleanup(func() { require.Zero(t, f.effects.Load()) })
}

// Under no-referrer a browser sends "Origin: null" with its own form.
func TestPages_TakeTheFormOfABrowser(t *testing.T) {
	t.Parallel()
	f := setup(t)
	a := f.submit(t, verifyPage, f.open(t, verifyPage), map[string]string{"Origin": "null", "Sec-Fetch-Site": "same-origin"})
	require.Equal(t, http.StatusOK, a.status, a.body)
}

func TestPages_AFormIsGoodForAnHour(t *testing.T) {
	t.Parallel()
	var ahead atomic.Int64
	f := setup(t, func(f *fake) {
		f.wiring.pages.Now = func() time.Time { return time.Unix(1_800_000_000, 0).Add(time.Duration(ahead.Load())) }
	})
	fields := f.open(t, verifyPage)
	ahead.Store(int64(time.Hour))
	require.Equal(t, http.StatusForbidden, f.submit(t, verifyPage, fields, nil).status)
	ahead.Store(int64(time.Hour - time.Second))
	require.Equal(t, http.StatusOK, f.submit(t, verifyPage, fields, nil).status)
}

func TestPages_AnErrorKeepsTheNameAndSaysWhatIsAllowed(t *testing.T) {
	t.Parallel()
	f := setup(t)
	fields := f.open(t, invitationPage)
	a := f.submit(t, invitationPage, with(fields, "name", `Jo "<b>`, "password", "short"), nil)
	require.Equal(t, http.StatusBadRequest, a.status)
	require.Contains(t, a.body, `value="Jo &#34;&lt;b&gt;"`)
	require.Contains(t, a.body, `aria-describedby="password-hint password-error"`)
	require.Contains(t, a.body, "15")
	require.NotContains(t, a.body, `value="short"`)
	a = f.submit(t, invitationPage, with(fields, "name", "", "password", goodPassword), nil)
	require.Equal(t, http.StatusBadRequest, a.status)
	require.Contains(t, a.body, "Use 1 to 100 printable characters.")
	require.Zero(t, f.effects.Load())
}

func TestPages_OtherTroubleIsAPageWithTheRequestID(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		err    error
		status int
		says   string
	}{
		"limit":    {apperr.New(apperr.Precondition, "USER_LIMIT", "This organization has reached its limit."), 400, "reached its limit"},
		"account":  {apperr.New(apperr.AlreadyExists, "ACCOUNT_EXISTS", "This address has an account already."), 409, "already"},
		"busy":     {apperr.New(apperr.Unavailable, "BUSY", "Too many."), 503, "try again in a few seconds"},
		"internal": {context.Canceled, 499, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := setup(t, func(f *fake) {
				f.wiring.pages.AcceptInvitation = func(context.Context, *db.Lease, tenants.Entry, invitations.AcceptInput, auth.Meta) (ids.User, error) {
					return ids.User{}, tt.err
				}
			})
			a := f.submit(t, invitationPage, with(f.open(t, invitationPage), "name", "Jo", "password", goodPassword), nil)
			require.Equal(t, tt.status, a.status, a.body)
			require.Contains(t, a.body, tt.says)
			require.Contains(t, a.header.Get("Content-Type"), "text/html")
			if name != "busy" {
				require.Contains(t, a.body, a.header.Get("X-Request-Id"))
			}
		})
	}
}

func TestPages_LargeAndForeignBodiesAreRefused(t *testing.T) {
	t.Parallel()
	f := setup(t)
	fields := with(f.open(t, invitationPage), "name", strings.Repeat("x", 20_000))
	require.Equal(t, http.StatusRequestEntityTooLarge, f.submit(t, invitationPage, fields, nil).status)
	a := f.do(t, call{method: "POST", host: acmeHost, path: verifyPage, body: "{}", header: map[string]string{"Origin": origin}})
	require.Equal(t, http.StatusUnsupportedMediaType, a.status)
}
