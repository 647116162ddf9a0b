package auth

import (
	"context"
	"time"

	"tenantry/internal/db"
	"tenantry/internal/mail"
	"tenantry/internal/onetime"
	"tenantry/internal/outbox"
	"tenantry/internal/secrets"
	"tenantry/internal/settings"
	"tenantry/internal/subjects"
)

// MailEvery is how often at the most one address gets a mail of a kind that
// anybody can ask for. More are dropped where nobody can see it.
const MailEvery = time.Minute

// DraftVerification answers the mail of a registration: the link, a notice
// where the address has an account, or nil where the tenant takes invited
// people only or nothing waits. It runs in the worker, so nobody who asks can
// see which.
func (s *Service) DraftVerification(ctx context.Context, tx db.TenantTx, row outbox.Row) (*mail.Draft, error) {
	if row.Name == MailResend {
		crowded, err := outbox.Crowded(ctx, tx, row, s.now(), MailEvery)
		if err != nil || crowded {
			return nil, err
		}
	}
	r, err := findRegistration(ctx, tx, row, s.now())
	if err != nil || r == nil {
		return nil, err
	}
	doc, err := settings.Load(ctx, tx)
	if err != nil {
		return nil, err
	}
	k, err := subjects.Key(ctx, tx, r.SubjectKeyID)
	if err != nil {
		return nil, err
	}
	to, err := k.Open(r.Email, "registration/email")
	if err != nil {
		return nil, err
	}
	if !doc.MayRegister(to) {
		return nil, nil
	}
	d := &mail.Draft{Template: mail.VerifyEmail, To: to, Locale: row.Locale, Subject: k}
	exists, err := accountExists(ctx, tx, secrets.NormalizeEmail(to))
	if err != nil {
		return nil, err
	}
	if exists {
		d.Template = mail.AccountExists
		return d, nil
	}
	d.Purpose, d.TokenFor, d.Expires, d.Path = onetime.VerifyEmail, r.ID, r.ExpiresAt, "/m/verify"
	return d, nil
}
