package pages

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"tenantry/api/edge"
	"tenantry/internal/auth"
	"tenantry/internal/db"
	"tenantry/internal/invitations"
	"tenantry/internal/magiclink"
	"tenantry/internal/notices"
	"tenantry/internal/recovery"
	"tenantry/internal/tenants"
)

// The pages.
const (
	invitationPath = "/m/invitation"
	verifyPath     = "/m/verify"
)

// Look reports whether a link would work; Act uses it.
type (
	Look func(ctx context.Context, l *db.Lease, token string) error
	Act  func(ctx context.Context, l *db.Lease, token string, m auth.Meta) error
)

// Recovery are the pages of internal/recovery.
type Recovery struct {
	CheckReset, CheckEmailChange, CheckEmailUndo, CheckNotMe Look

	ResetPassword                                    func(context.Context, *db.Lease, tenants.Entry, recovery.ResetInput, auth.Meta) error
	ConfirmEmailChange, UndoEmailChange, ReportNotMe Act
}

// MagicLinks is the page of internal/magiclink.
type MagicLinks struct {
	Check Look
	// Continue answers where the browser goes on, with its code.
	Continue func(ctx context.Context, l *db.Lease, token string, m auth.Meta) (string, error)
	Approve  func(ctx context.Context, l *db.Lease, token, code string, m auth.Meta) error
}

// kind is a page: what it says, and what stands behind it.
type kind struct {
	// form is the name of its form in the template; "confirm" has a button alone.
	form string
	// Keys of its texts.
	title, intro, submit, done, next string
	// login shows the way to the application in the end.
	login bool
	// grave locks an account: its button looks so.
	grave bool
	check func(*Pages) Look
	act   action
}

// action answers a form that was sent.
type action func(p *Pages, w http.ResponseWriter, r *http.Request, k kind, token string) error

// confirming acts by a link alone.
func confirming(act func(*Pages) Act) action {
	return func(p *Pages, w http.ResponseWriter, r *http.Request, k kind, token string) error {
		call := edge.From(r.Context())
		if err := act(p)(r.Context(), call.Lease, token, call.Meta()); err != nil {
			return p.again(w, r, p.form(r, k, token), err)
		}
		p.done(w, r, k)
		return nil
	}
}

// kinds is every page by its path.
var kinds = map[string]kind{
	invitationPath: {
		form: "invitation", title: "invitation.title", intro: "invitation.intro", submit: "invitation.submit", done: "invitation.done", next: "invitation.next", login: true,
		check: func(p *Pages) Look { return p.CheckInvitation },
		act:   (*Pages).accept,
	},
	verifyPath: {
		form: "confirm", title: "verify.title", intro: "verify.intro", submit: "verify.submit", done: "verify.done", next: "verify.next", login: true,
		check: func(p *Pages) Look { return p.CheckVerification },
		act:   confirming(func(p *Pages) Act { return p.VerifyEmail }),
	},
	recovery.ResetPage: {
		form: "reset", title: "reset.title", intro: "reset.intro", submit: "reset.submit", done: "reset.done", next: "reset.next", login: true,
		check: func(p *Pages) Look { return p.Recovery.CheckReset },
		act:   (*Pages).reset,
	},
	recovery.EmailPage: {
		form: "confirm", title: "email.title", intro: "email.intro", submit: "email.submit", done: "email.done", next: "email.next", login: true,
		check: func(p *Pages) Look { return p.Recovery.CheckEmailChange },
		act:   confirming(func(p *Pages) Act { return p.Recovery.ConfirmEmailChange }),
	},
	recovery.EmailUndoPage: {
		form: "confirm", title: "undo.title", intro: "undo.intro", submit: "undo.submit", done: "undo.done", next: "undo.next", grave: true,
		check: func(p *Pages) Look { return p.Recovery.CheckEmailUndo },
		act:   confirming(func(p *Pages) Act { return p.Recovery.UndoEmailChange }),
	},
	notices.NotMePage: {
		form: "confirm", title: "notme.title", intro: "notme.intro", submit: "notme.submit", done: "notme.done", next: "notme.next", grave: true,
		check: func(p *Pages) Look { return p.Recovery.CheckNotMe },
		act:   confirming(func(p *Pages) Act { return p.Recovery.ReportNotMe }),
	},
	magiclink.Page: {
		form: "magic", title: "magic.title", intro: "magic.intro", submit: "magic.submit", done: "magic.done", next: "magic.next",
		check: func(p *Pages) Look { return p.MagicLinks.Check },
		act:   (*Pages).magic,
	},
}

func (p *Pages) accept(w http.ResponseWriter, r *http.Request, k kind, token string) error {
	call := edge.From(r.Context())
	// What is not UTF-8 cannot be stored, nor shown again.
	name := strings.TrimSpace(strings.ToValidUTF8(r.PostForm.Get("name"), "�"))
	_, err := p.AcceptInvitation(r.Context(), call.Lease, call.Tenant, invitations.AcceptInput{
		Token: token, Name: name, Password: r.PostForm.Get("password"),
	}, call.Meta())
	if err != nil {
		v := p.form(r, k, token)
		v.Name = name
		return p.again(w, r, v, err)
	}
	p.done(w, r, k)
	return nil
}

func (p *Pages) reset(w http.ResponseWriter, r *http.Request, k kind, token string) error {
	call := edge.From(r.Context())
	in := recovery.ResetInput{Token: token, Password: r.PostForm.Get("password")}
	if err := p.Recovery.ResetPassword(r.Context(), call.Lease, call.Tenant, in, call.Meta()); err != nil {
		return p.again(w, r, p.form(r, k, token), err)
	}
	p.done(w, r, k)
	return nil
}

// magic goes on to the application in this browser, or approves the other one
// whose code was typed: the page cannot tell by itself which of the two it is
// in (docs/decisions/0010).
func (p *Pages) magic(w http.ResponseWriter, r *http.Request, k kind, token string) error {
	call := edge.From(r.Context())
	if r.PostForm.Get("act") == "code" {
		code := strings.ToValidUTF8(r.PostForm.Get("code"), "�")
		if err := p.MagicLinks.Approve(r.Context(), call.Lease, token, code, call.Meta()); err != nil {
			v := p.form(r, k, token)
			p.allowApp(w, r)
			return p.again(w, r, v, err)
		}
		p.done(w, r, k)
		return nil
	}
	to, err := p.MagicLinks.Continue(r.Context(), call.Lease, token, call.Meta())
	if err != nil {
		return p.again(w, r, p.form(r, k, token), err)
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
	return nil
}

// allowApp lets the form lead to the tenant's application: browsers hold a
// form's redirects against form-action too (CSP level 3, 6.4.1).
func (p *Pages) allowApp(w http.ResponseWriter, r *http.Request) {
	app, err := p.AppURL(r.Context(), edge.From(r.Context()).Lease)
	if err != nil {
		return // the link answers that by itself
	}
	if u, err := url.Parse(app); err == nil && u.Host != "" && !strings.ContainsAny(u.Host, "; ,'\"*") {
		w.Header().Set("Content-Security-Policy", policy("'self' "+u.Scheme+"://"+u.Host))
	}
}
