package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	authv1 "tenantry/api/gen/tenantry/auth/v1"
	"tenantry/internal/apperr"
	"tenantry/internal/i18n"
	"tenantry/internal/ids"
)

// refusing is an API whose Login answers an error, and three calls that meet
// it: by RPC, by Connect's binary form, by REST.
func refusing(t *testing.T, err error) (*fake, []call) {
	f := setup(t, func(f *fake) {
		f.login = func(context.Context, *authv1.LoginRequest) (*authv1.LoginResponse, error) { return nil, err }
	})
	return f, []call{
		{method: "POST", host: acmeHost, path: loginRPC, body: goodLogin},
		{method: "POST", host: acmeHost, path: loginRPC, body: "\x0a\x01a\x12\x01b", contentType: "application/proto"},
		{method: "POST", host: acmeHost, path: "/v1/auth/login", body: goodLogin},
	}
}

func (c call) with(name, value string) call {
	header := map[string]string{name: value}
	for k, v := range c.header {
		header[k] = v
	}
	c.header = header
	return c
}

func TestLanguages_EveryReasonIsToldInEachAtEveryDoor(t *testing.T) {
	t.Parallel()
	for r, e := range catalogue {
		t.Run(reasonName(r), func(t *testing.T) {
			t.Parallel()
			var err error = apperr.New(e.Kind, reasonName(r), "For developers.").WithStatus(e.Status)
			if e.Kind == apperr.Internal {
				err = errors.New("relation missing")
			}
			f, calls := refusing(t, err)
			for _, l := range i18n.Locales {
				want, ok := i18n.Text(l, "reason."+reasonName(r), nil)
				require.True(t, ok)
				for _, c := range calls {
					a := f.do(t, c.with("Accept-Language", string(l)))
					p := a.problem(t)
					require.Equal(t, string(l), p.Locale)
					require.Equal(t, want, p.Said)
					require.Equal(t, reasonName(r), p.Reason)
					require.NotContains(t, a.body, "relation")
				}
			}
		})
	}
}

func TestLanguages_TheHeaderDecides(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for header, want := range map[string]string{
		"": "en", "de-DE,de;q=0.9,en;q=0.8": "de", "zh, fr;q=0.2": "fr", "es;q=0.1, ja;q=0.2": "ja", "pt": "pt-BR", "*": "en", "de;q=0": "en", "%%%": "en",
	} {
		for _, c := range []call{
			{method: "GET", host: acmeHost, path: "/v1/me"},
			{method: "GET", host: acmeHost, path: "/no/such/path"},
			{method: "PUT", host: acmeHost, path: getMe},
			{method: "POST", host: acmeHost, path: getMe, body: "{}"},
			{method: "GET", host: acmeHost, path: getMe + "?encoding=json&message=" + url.QueryEscape("{}")},
			{method: "POST", host: centralHost, path: hookPath, body: "{}"},
			{method: "GET", host: "nobody.tenantry.test", path: "/v1/me"},
			{method: "POST", host: centralHost, path: jwksPath},
			{method: "POST", host: centralHost, path: "/livez"},
		} {
			a := f.do(t, c.with("Accept-Language", header))
			require.Equal(t, want, a.problem(t).Locale, "%s %s", header, c.path)
			require.Equal(t, want, a.header.Get("Content-Language"))
		}
	}
	ok := f.do(t, call{method: "GET", host: acmeHost, path: "/v1/me", bearer: userToken}.with("Accept-Language", "de"))
	require.Equal(t, http.StatusOK, ok.status)
	require.Empty(t, ok.header.Get("Content-Language"), "data has no language")
	require.Contains(t, strings.Join(ok.header.Values("Vary"), ","), "Accept-Language")
}

func TestLanguages_SentencesNameTheLimits(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for name, tt := range map[string]struct {
		call        call
		said, field string
		fieldSaid   string
	}{
		"range of the schema": {call{method: "GET", host: acmeHost, path: "/v1/users?limit=101", bearer: userToken}, "", "limit", "Geben Sie eine Zahl von 0 bis 100 an."},
		"length of the schema": {call{method: "POST", host: acmeHost, path: "/v1/auth/login", body: `{"email":"","password":"x"}`}, "", "email",
			"Verwenden Sie mindestens 1 Zeichen."},
		"list of the schema": {call{method: "POST", host: centralHost, path: "/v1/operator-keys", bearer: operatorKey, body: `{"name":"abc","scopes":["all"]}`}, "", "scopes[0]",
			"Wählen Sie einen dieser Werte: tenants.read, tenants.write, operations.read, hooks.manage, ops."},
		"unknown parameter": {call{method: "GET", host: acmeHost, path: "/v1/users?page=2", bearer: userToken}, "Der Parameter page ist unbekannt; zulässig sind: limit, cursor.", "page",
			"Diesen Parameter gibt es nicht; zulässig sind: limit, cursor."},
		"unknown field": {call{method: "POST", host: acmeHost, path: "/v1/auth/login", body: `{"mail":"a"}`}, "Die Anfrage ist nicht lesbar.", "mail",
			"Dieses Feld gibt es nicht; vorhanden sind: email, password."},
		"type":       {call{method: "GET", host: acmeHost, path: "/v1/users?limit=x", bearer: userToken}, "", "limit", "Dieser Wert lässt sich nicht als int32 lesen."},
		"method":     {call{method: "PUT", host: acmeHost, path: getMe}, "Diese Methode ist hier nicht zulässig; zulässig sind: GET, POST.", "", ""},
		"permission": {call{method: "GET", host: acmeHost, path: "/v1/users", bearer: memberToken}, "Dafür ist die Berechtigung users.read nötig, die Ihnen fehlt.", "", ""},
		"host":       {call{method: "GET", host: centralHost, path: "/v1/me"}, "Dies wird unter einer anderen Adresse angeboten: http://{slug}.tenantry.test.", "", ""},
		"media type": {call{method: "POST", host: acmeHost, path: "/v1/auth/login", body: "x", contentType: "text/plain"}, "Content-Type muss einer dieser Werte sein: application/json.", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := f.do(t, tt.call.with("Accept-Language", "de")).problem(t)
			if tt.said != "" {
				require.Equal(t, tt.said, p.Said)
			}
			if tt.field != "" {
				require.Equal(t, tt.fieldSaid, p.FieldsSaid[tt.field])
			}
		})
	}
}

func TestLanguages_PagesSpeakTheReadersLanguage(t *testing.T) {
	t.Parallel()
	f := setup(t)
	titles := map[string]bool{}
	for _, l := range i18n.Locales {
		for _, path := range []string{invitationPage + "?token=" + goodLink, verifyPage + "?token=" + goodLink, verifyPage + "?token=spent"} {
			a := f.do(t, call{method: "GET", host: acmeHost, path: path}.with("Accept-Language", string(l)+";q=0.9, xx"))
			require.Equal(t, string(l), a.header.Get("Content-Language"))
			require.Contains(t, a.body, `<html lang="`+string(l)+`">`)
			require.Contains(t, strings.Join(a.header.Values("Vary"), ","), "Accept-Language")
			_, rest, _ := strings.Cut(a.body, "<h1>")
			title, _, _ := strings.Cut(rest, "</h1>")
			require.False(t, titles[title], "%s: %s", l, title)
			titles[title] = true
		}
	}
	fields := with(f.open(t, invitationPage), "name", "Jo", "password", "kurz")
	a := f.submit(t, invitationPage, fields, map[string]string{"Origin": origin, "Accept-Language": "de"})
	require.Contains(t, a.body, "Verwenden Sie mindestens 15 Zeichen.")
	a = f.submit(t, invitationPage, with(fields, "form_token", ""), map[string]string{"Origin": origin, "Accept-Language": "fr"})
	require.Contains(t, a.body, "Ce formulaire est resté ouvert trop longtemps.")
}

// rfc9457 decodes a problem and checks what each one has.
func (a answer) rfc9457(t *testing.T) problemBody {
	t.Helper()
	require.Equal(t, "application/problem+json", a.header.Get("Content-Type"), a.body)
	require.Equal(t, "no-store", a.header.Get("Cache-Control"))
	require.Contains(t, strings.Join(a.header.Values("Vary"), ", "), "Accept, Accept-Language")
	var p problemBody
	d := json.NewDecoder(strings.NewReader(a.body))
	d.DisallowUnknownFields()
	require.NoError(t, d.Decode(&p), a.body)
	require.False(t, d.More(), a.body)
	require.Equal(t, a.status, p.Status)
	require.Equal(t, a.header.Get("X-Request-Id"), p.RequestID)
	require.Equal(t, "http://"+centralHost+"/docs/errors#"+p.Reason, p.Type)
	require.NotEmpty(t, p.Title)
	require.NotEmpty(t, p.Detail)
	require.NotEmpty(t, a.header.Get("Content-Language"))
	return p
}

func TestProblem_IsToldAtEachDoorOnRequest(t *testing.T) {
	t.Parallel()
	e := apperr.New(apperr.Invalid, "PASSWORD_TOO_SHORT", "password: too short").WithParams("min_len", "15").
		WithRetryAfter(1500 * time.Millisecond).WithStatus(http.StatusUnprocessableEntity).WithCause(errors.New("secret cause"))
	e.Fields = []apperr.Field{{Path: "password", Rule: "string.min_len", Message: "must have at least 15"}}
	f, calls := refusing(t, e)
	for _, c := range calls {
		a := f.do(t, c.with("Accept", "application/problem+json"))
		require.Equal(t, problemBody{
			Type: "http://" + centralHost + "/docs/errors#PASSWORD_TOO_SHORT", Title: "The password is too short.", Status: 422,
			Detail: "password: too short", Instance: c.path, Code: "invalid_argument", Reason: "PASSWORD_TOO_SHORT", RequestID: a.header.Get("X-Request-Id"),
			Errors: []problemField{{"password", "string.min_len", "must have at least 15"}}, RetryAfter: 2,
		}, a.rfc9457(t))
		require.Equal(t, "2", a.header.Get("Retry-After"))
		require.NotContains(t, a.body, "secret cause")

		german := f.do(t, c.with("Accept", "application/problem+json").with("Accept-Language", "de")).rfc9457(t)
		require.Equal(t, "Das Passwort ist zu kurz.", german.Detail)
		require.Equal(t, "Verwenden Sie mindestens 15 Zeichen.", german.Errors[0].Message)
	}
	for _, c := range []call{
		{method: "GET", host: acmeHost, path: "/v1/me?token=secret"},
		{method: "GET", host: acmeHost, path: "/no/such/path"},
		{method: "GET", host: acmeHost, path: getMe + "?encoding=json&message=" + url.QueryEscape("{}")},
		{method: "PUT", host: acmeHost, path: getMe},
		{method: "POST", host: centralHost, path: hookPath, body: "{}"},
		{method: "GET", host: "nobody.tenantry.test", path: "/" + strings.Repeat("a", 2000)},
		{method: "POST", host: acmeHost, path: "/v1/auth/login", reader: strings.NewReader(strings.Repeat("x", maxBody+1))},
	} {
		p := f.do(t, c.with("Accept", "application/problem+json, */*;q=0.5")).rfc9457(t)
		require.NotContains(t, p.Instance, "secret", "the query stays out")
		require.LessOrEqual(t, len(p.Instance), maxInstance)
	}
	ok := f.do(t, call{method: "GET", host: acmeHost, path: "/v1/me", bearer: userToken}.with("Accept", "application/problem+json"))
	require.Equal(t, "application/json", ok.header.Get("Content-Type"), "a success is no problem")
}

func TestProblem_InternalErrorsSayAFixedText(t *testing.T) {
	t.Parallel()
	f, calls := refusing(t, errors.New("relation missing"))
	for _, l := range i18n.Locales {
		for _, c := range calls {
			a := f.do(t, c.with("Accept", "application/problem+json").with("Accept-Language", string(l)))
			p := a.rfc9457(t)
			fixed, _ := i18n.Text(l, "reason.INTERNAL", nil)
			require.Equal(t, problemBody{
				Type: p.Type, Title: fixed, Status: 500, Detail: fixed, Instance: c.path, Code: "internal", Reason: "INTERNAL", RequestID: p.RequestID,
			}, p)
			require.NotContains(t, a.body, "relation")
		}
	}
	english, _ := i18n.Text(i18n.English, "reason.INTERNAL", nil)
	require.Equal(t, internalMessage, english)
}

func TestProblem_AcceptDecides(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for accept, want := range map[string]bool{
		"":                                       false,
		"*/*":                                    false,
		"application/*":                          false,
		"application/json":                       false,
		"application/problem+json":               true,
		"Application/Problem+JSON":               true,
		"application/problem+json;charset=utf-8": true,
		"application/json, application/problem+json":                  true,
		"application/problem+json;q=0.9, application/json":            false,
		"application/problem+json, application/json;q=0.9":            true,
		"application/problem+json;q=0.5, */*;q=0.4":                   true,
		"application/problem+json;q=0.5, */*":                         false,
		"application/problem+json;q=0.5, */*, application/json;q=0.1": true,
		"application/problem+json;q=0":                                false,
		"application/problem+json;q=2":                                false,
		"application/problem+json;q=NaN":                              false,
		"application/problem+xml":                                     false,
		"text/html, ;;, application/problem+json":                     true,
		strings.Repeat("text/html,", 200) + contentProblem:            false,
	} {
		for _, c := range []call{{method: "GET", host: acmeHost, path: "/v1/me"}, {method: "POST", host: acmeHost, path: getMe, body: "{}"}} {
			a := f.do(t, c.with("Accept", accept))
			require.Equal(t, want, a.header.Get("Content-Type") == contentProblem, "%s %s: %s", c.path, accept, a.header.Get("Content-Type"))
			require.True(t, json.Valid([]byte(a.body)))
		}
	}
	grpc := f.do(t, call{method: "POST", host: acmeHost, path: getMe, contentType: "application/grpc", reader: strings.NewReader("\x00\x00\x00\x00\x00")}.with("Accept", contentProblem).with("Accept-Language", "ja"))
	require.Equal(t, "application/grpc", grpc.header.Get("Content-Type"), "gRPC has no Accept")
	require.Equal(t, http.StatusOK, grpc.status)
	require.Empty(t, grpc.body)
}

// A mail is in the language of the request that caused it, else in the
// organization's.
func TestLanguages_MailsSpeakTheRequestsOrTheOrganizationsLanguage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	body := strings.Replace(order("acme"), `"registration_policy"`, `"language":"fr","registration_policy"`, 1)
	a := w.do(t, call{method: "POST", host: centralHost, path: "/v1/tenants", bearer: w.operator, body: body}.with("Accept-Language", "ja"))
	id, err := ids.ParseTenant(a.get(t, http.StatusAccepted, "tenant_id"))
	require.NoError(t, err)
	w.birth(t, id)
	subject := func(to string) string {
		w.link(t, id, to)
		found := w.mailbox.Messages(to)
		return found[len(found)-1].Subject
	}
	require.Equal(t, "Invitation à rejoindre acme Inc", subject("owner@acme.example"))
	for header, want := range map[string]string{
		"": "Confirmez votre adresse pour acme Inc", "zh": "Confirmez votre adresse pour acme Inc",
		"de-AT": "Bestätigen Sie Ihre Adresse für acme Inc", "ja,en;q=0.5": "acme Inc：メールアドレスの確認", "en": "Confirm your address for acme Inc",
	} {
		to := "jo" + header[:min(2, len(header))] + "@acme.example"
		c := call{method: "POST", host: acmeHost, path: "/v1/auth/register", body: `{"name":"Jo","email":"` + to + `","password":"` + goodPassword + `"}`}
		require.Eventually(t, func() bool { return w.do(t, c.with("Accept-Language", header)).status == http.StatusOK }, 5*time.Second, 50*time.Millisecond)
		require.Equal(t, want, subject(to))
		c = call{method: "POST", host: acmeHost, path: "/v1/auth/resend-verification", body: `{"email":"` + to + `"}`}
		require.Equal(t, http.StatusOK, w.do(t, c.with("Accept-Language", "es")).status)
		require.Equal(t, "Confirme su dirección para acme Inc", subject(to))
	}
}
