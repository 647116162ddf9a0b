// Package magiclink is login by mail (A8): the browser that asks keeps a PKCE
// verifier (RFC 7636) and shows a code; the mail's link leads to a page that
// sends its browser to the tenant's application with a one-time code, or takes
// the shown code and so approves the request of the browser that shows it.
// Either way only the holder of the verifier gets a session, and a second
// factor stays required.
//
// Who asks learns nothing about the address: each request leaves a row and a
// mail intent, and the worker decides whether a mail is sent.
//
// What is guessed, a shown code or a verifier, is counted or used up in a
// transaction of its own: no failure gives a guess back.
package magiclink

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"time"

	"github.com/google/uuid"
	"golang.org/x/text/unicode/norm"

	"tenantry/internal/apperr"
	"tenantry/internal/audit"
	"tenantry/internal/auth"
	"tenantry/internal/clock"
	"tenantry/internal/db"
	"tenantry/internal/ids"
	"tenantry/internal/mail"
	"tenantry/internal/onetime"
	"tenantry/internal/outbox"
	"tenantry/internal/secrets"
	"tenantry/internal/settings"
	"tenantry/internal/subjects"
)

const (
	// linkTTL is how long a request and its link live.
	linkTTL = 10 * time.Minute
	// codeTTL is how long a code, or an approval, waits for its exchange.
	codeTTL = time.Minute
	// maxTries is how often a shown code may be typed wrong.
	maxTries = 5
	// pollEvery is how often a browser should ask whether its request is
	// approved.
	pollEvery = 2 * time.Second
	// amrEmail says in tokens that a mailbox was read. RFC 8176 registers no
	// such value and leaves it to the parties; "otp" would read as a second
	// factor to whoever checks for one.
	amrEmail = "email"
)

// alphabet has no vowels, so no words, and nothing that looks like something else.
const (
	alphabet = "23456789BCDFGHJKMNPQRSTVWXYZ"
	codeLen  = 6
)

// Page is where the mail's link leads, Mail the template of that mail.
const (
	Page = "/m/magic"
	Mail = "magic_link"
)

// Deps is what the service uses. The worker, which drafts mails, needs the
// clock alone.
type Deps struct {
	Now  clock.Clock
	Auth *auth.Service
	Bell *outbox.Bell
}

// Service logs people in by mail.
type Service struct{ Deps }

// New makes the service.
func New(d Deps) *Service { return &Service{d} }

// RequestInput asks for a link. CodeChallenge is base64url of the SHA-256 of
// the verifier (RFC 7636, S256).
type RequestInput struct{ Email, CodeChallenge string }

// Requested is a request that waits. Code is for its browser to show.
type Requested struct {
	ID      uuid.UUID
	Code    string
	Expires time.Time
}

// Request asks for a link to be mailed, whoever has the address.
func (s *Service) Request(ctx context.Context, l *db.Lease, in RequestInput, m auth.Meta) (Requested, error) {
	if err := auth.CheckEmail(in.Email); err != nil {
		return Requested{}, err
	}
	challenge, err := base64.RawURLEncoding.Strict().DecodeString(in.CodeChallenge)
	if err != nil || len(challenge) != sha256.Size {
		return Requested{}, apperr.InvalidField("code_challenge", "string.pattern", "must be 43 characters of base64url: the SHA-256 of the verifier")
	}
	now := s.Now()
	r := request{id: ids.New(), addressHash: l.Key.AddressHash(in.Email), challenge: challenge, at: now, expires: now.Add(linkTTL)}
	code := newCode()
	r.codeHash = hashCode(l.Key, r.id, code)
	_, err = db.InTenant(ctx, l, func(tx db.TenantTx) (struct{}, error) {
		if _, err := appURL(ctx, tx); err != nil {
			return struct{}{}, err
		}
		if err := insert(ctx, tx, r); err != nil {
			return struct{}{}, err
		}
		intent := outbox.MailIntent{Template: Mail, Tenant: l.Tenant, SubjectID: r.id, AddressHash: r.addressHash}
		if err := outbox.Mail(ctx, tx, now, intent); err != nil {
			return struct{}{}, err
		}
		return struct{}{}, audit.Write(ctx, tx, now, audit.Entry{
			Actor: audit.Anonymous, Action: "magic_link.requested", TargetKind: "magic_link", TargetID: r.id, TenantID: l.Tenant, RequestID: m.RequestID,
		})
	})
	if err != nil {
		return Requested{}, err
	}
	s.Bell.Ring(ctx, l.Tenant)
	return Requested{ID: r.id, Code: code, Expires: r.expires}, nil
}

// appURL answers where a link ends; without one there is no login by mail.
func appURL(ctx context.Context, tx db.TenantTx) (string, error) {
	doc, err := settings.Load(ctx, tx)
	if err == nil && doc.AppURL == "" {
		err = apperr.New(apperr.Precondition, "MAGIC_LINK_UNAVAILABLE", "This organization has no app_url in its settings, where a link could lead.")
	}
	return doc.AppURL, err
}

// newCode draws each character evenly.
func newCode() string {
	var out strings.Builder
	for out.Len() < codeLen {
		for _, b := range secrets.RandomBytes(2 * codeLen) {
			if i := int(b >> 3); i < len(alphabet) && out.Len() < codeLen {
				out.WriteByte(alphabet[i])
			}
		}
	}
	return out.String()
}

// hashCode is the keyed hash of a code, as people type it: the form of the
// letters, spaces and hyphens do not matter.
func hashCode(key secrets.DataKey, id uuid.UUID, code string) []byte {
	clean := strings.NewReplacer(" ", "", "-", "", "\u3000", "").Replace(strings.ToUpper(norm.NFKC.String(code)))
	m := hmac.New(sha256.New, key.Derive("magic-link/code"))
	m.Write(id[:])
	m.Write([]byte(clean))
	return m.Sum(nil)
}

// Draft answers the mail of a request, nil where the address has no account,
// or has had a link within the minute, or the request is over.
func (s *Service) Draft(ctx context.Context, tx db.TenantTx, row outbox.Row) (*mail.Draft, error) {
	now := s.Now()
	crowded, err := outbox.Crowded(ctx, tx, row, now, auth.MailEvery)
	if err != nil || crowded {
		return nil, err
	}
	r, err := find(ctx, tx, row.SubjectID)
	if err != nil || r == nil || !r.open(now) {
		return nil, err
	}
	a, err := auth.AccountByHash(ctx, tx, r.addressHash)
	if err != nil || a == nil {
		return nil, err
	}
	if err := setUser(ctx, tx, r.id, a.ID); err != nil {
		return nil, err
	}
	k, err := subjects.Key(ctx, tx, a.SubjectKey)
	return &mail.Draft{
		Template: mail.MagicLink, To: a.Email, Locale: a.Locale, Subject: k,
		Purpose: onetime.MagicLink, TokenFor: r.id, Expires: r.expires, Path: Page,
	}, err
}
