// Package pages is what the links in mails open: small forms, rendered here,
// without scripts. A GET or HEAD shows and consumes nothing, because mail
// scanners follow links; only the POST of the form acts.
package pages

import (
	"bytes"
	"context"
	"maps"
	"math"
	"net/http"
	"slices"
	"strconv"

	"tenantry/api/edge"
	"tenantry/internal/apperr"
	"tenantry/internal/auth"
	"tenantry/internal/clock"
	"tenantry/internal/db"
	"tenantry/internal/i18n"
	"tenantry/internal/ids"
	"tenantry/internal/invitations"
	"tenantry/internal/tenants"
)

// Paths is every page, sorted.
var Paths = slices.Sorted(maps.Keys(kinds))

// Serves reports whether a path is a page.
func Serves(path string) bool { return slices.Contains(Paths, path) }

// maxForm bounds a form's body in bytes.
const maxForm = 16 << 10

// Deps is what the pages use.
type Deps struct {
	URLs tenants.URLs
	Now  clock.Clock

	CheckInvitation   Look
	AcceptInvitation  func(context.Context, *db.Lease, tenants.Entry, invitations.AcceptInput, auth.Meta) (ids.User, error)
	CheckVerification Look
	VerifyEmail       Act
	Recovery          Recovery
	MagicLinks        MagicLinks
	// AppURL answers where the tenant's people log in; may be empty.
	AppURL func(context.Context, *db.Lease) (string, error)
}

// Pages serves the pages.
type Pages struct{ Deps }

// New makes the pages.
func New(d Deps) (*Pages, error) { return &Pages{d}, nil }

// view is what the template shows.
type view struct {
	Locale              i18n.Locale
	Title, Organization string
	// Form is the kind of form: "invitation", "reset", "magic", "confirm" for a
	// button alone, or none. Intro stands above it, Submit on its button.
	Form, Intro, Submit string
	// Grave is a form that locks an account.
	Grave bool
	// Action is the form's path, Token the link's, FormToken ours.
	Action, Token, FormToken string
	Name                     string
	// Alert is about the whole form, Errors about a field.
	Alert  string
	Errors map[string]string
	// MinPassword is the least of characters.
	MinPassword string
	// Paragraphs are shown when there is no form.
	Paragraphs []string
	AppURL     string
	RequestID  string
}

// Text answers a text of the page in its language.
func (v view) Text(key string) string { return v.Locale.Page(key, nil) }

// Hint says how long a password must be.
func (v view) Hint() string {
	if v.Form == "reset" {
		return v.Locale.Page("reset.hint", i18n.Params{"min_len": strconv.Itoa(auth.MinPassword), "least": v.MinPassword})
	}
	return v.Locale.Page("invitation.hint", i18n.Params{"min_len": v.MinPassword})
}

// Request is the line with the request id.
func (v view) Request() string { return v.Locale.Page("request_id", i18n.Params{"id": v.RequestID}) }

// Read reads the form of a POST, whole, and refuses one that is not our own. An
// error has not been answered: the caller knows its status and shows Trouble.
func (p *Pages) Read(w http.ResponseWriter, r *http.Request) error {
	headers(w)
	if r.Method != http.MethodPost {
		return nil
	}
	return p.readForm(w, r)
}

// Serve answers a page at a tenant's host, after Read. Its errors are like
// Read's.
func (p *Pages) Serve(w http.ResponseWriter, r *http.Request) error {
	post := r.Method == http.MethodPost
	token := r.URL.Query().Get("token")
	if post {
		token = r.PostForm.Get("token")
	}
	if token == "" || len(token) > 200 {
		p.gone(w, r)
		return nil
	}
	k := kinds[r.URL.Path]
	if post {
		return k.act(p, w, r, k, token)
	}
	return p.show(w, r, k, token)
}

func (p *Pages) show(w http.ResponseWriter, r *http.Request, k kind, token string) error {
	err := k.check(p)(r.Context(), edge.From(r.Context()).Lease, token)
	if spent(err) {
		p.gone(w, r)
		return nil
	}
	if err != nil {
		return err
	}
	if k.form == "magic" {
		p.allowApp(w, r)
	}
	p.render(w, r, http.StatusOK, p.form(r, k, token))
	return nil
}

// again shows the form with what was wrong, if trying again can help.
func (p *Pages) again(w http.ResponseWriter, r *http.Request, v view, err error) error {
	e, ok := apperr.As(err)
	switch {
	case !ok:
		return err
	case spent(err):
		p.gone(w, r)
	case e.Kind == apperr.Invalid && len(e.Fields) > 0:
		v.Errors = map[string]string{}
		for _, f := range e.Fields {
			v.Errors[f.Path] = v.Locale.Field(e, f)
		}
		p.render(w, r, http.StatusBadRequest, v)
	case e.Reason == "BUSY":
		v.Alert = v.Text("busy")
		w.Header().Set("Retry-After", "2")
		p.render(w, r, http.StatusServiceUnavailable, v)
	default:
		return err
	}
	return nil
}

// spent reports whether the link itself is what failed.
func spent(err error) bool { return err != nil && apperr.ReasonOf(err) == "TOKEN_INVALID" }

// gone is the one page for a link that is unknown, used or expired: it does
// not say which.
func (p *Pages) gone(w http.ResponseWriter, r *http.Request) {
	v := blank(r)
	v.Title, v.Paragraphs = v.Text("gone.title"), []string{v.Text("gone.why"), v.Text("gone.next")}
	p.render(w, r, http.StatusBadRequest, v)
}

// blank is a page in the language of the request.
func blank(r *http.Request) view { return view{Locale: edge.From(r.Context()).Locale} }

func (p *Pages) done(w http.ResponseWriter, r *http.Request, k kind) {
	v := blank(r)
	v.Title, v.Paragraphs = v.Text(k.done), []string{v.Text(k.next)}
	// Not knowing the address of the application spoils nothing that was done.
	if at, err := p.AppURL(r.Context(), edge.From(r.Context()).Lease); err == nil && k.login {
		v.AppURL = at
	}
	p.render(w, r, http.StatusOK, v)
}

// Trouble shows an error that trying the same form again would not mend.
func (p *Pages) Trouble(w http.ResponseWriter, r *http.Request, status int, e *apperr.Error) {
	headers(w)
	v := blank(r)
	v.Title, v.RequestID, v.Paragraphs = v.Text("trouble.title"), edge.From(r.Context()).RequestID, []string{v.Locale.Reason(e)}
	if e.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(e.RetryAfter.Seconds()))))
	}
	p.render(w, r, status, v)
}

func (p *Pages) form(r *http.Request, k kind, token string) view {
	v := blank(r)
	v.Form, v.Grave, v.Title, v.Intro, v.Submit = k.form, k.grave, v.Text(k.title), v.Text(k.intro), v.Text(k.submit)
	v.MinPassword = strconv.Itoa(auth.MinPassword)
	if k.form == "reset" {
		v.MinPassword = strconv.Itoa(auth.MinPasswordBesideFactor) // whether a second factor is there, the answer says
	}
	v.Action, v.Token, v.FormToken = r.URL.Path, token, p.formToken(r, token)
	return v
}

func (p *Pages) render(w http.ResponseWriter, r *http.Request, status int, v view) {
	call := edge.From(r.Context())
	v.Organization = call.Tenant.Name
	if v.Form == "" && status >= http.StatusBadRequest {
		v.RequestID = call.RequestID
	}
	var page bytes.Buffer
	if err := layout.Execute(&page, v); err != nil {
		panic(err) // a broken template: the recovery answers
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Language", string(v.Locale))
	w.WriteHeader(status)
	_, _ = page.WriteTo(w) // the client has left; nobody to tell
}
