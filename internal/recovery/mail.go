package recovery

import (
	"context"

	"tenantry/internal/apperr"
	"tenantry/internal/auth"
	"tenantry/internal/db"
	"tenantry/internal/mail"
	"tenantry/internal/onetime"
	"tenantry/internal/outbox"
	"tenantry/internal/subjects"
)

// DraftReset answers the mail of a reset, nil where the address has no account
// or has had one within the minute. Links in mails before stay good, or whoever
// asks once a minute would keep the owner from ever using one; using one ends
// the others. The link of a mail that could not be sent yet stays, while it
// works.
func (s *Service) DraftReset(ctx context.Context, tx db.TenantTx, row outbox.Row) (*mail.Draft, error) {
	a, err := s.addressee(ctx, tx, row)
	if err != nil || a == nil {
		return nil, err
	}
	k, err := subjects.Key(ctx, tx, a.SubjectKey)
	if err != nil {
		return nil, err
	}
	d := &mail.Draft{
		Template: mail.Template(row.Name), To: a.Email, Locale: a.Locale, Subject: k,
		Purpose: onetime.Reset, TokenFor: a.ID, Expires: s.Now().Add(resetTTL), Path: ResetPage,
	}
	if row.SealedToken == nil {
		return d, nil
	}
	return s.redraft(ctx, tx, row, d)
}

// redraft is a draft whose link was minted at an earlier try. Once that is
// dead, whoever has asked asks again; who was locked out has no other way in
// and gets another link.
func (s *Service) redraft(ctx context.Context, tx db.TenantTx, row outbox.Row, d *mail.Draft) (*mail.Draft, error) {
	token, err := d.Subject.Open(row.SealedToken, row.TokenPurpose())
	if err != nil {
		return nil, err
	}
	expires, open, err := onetime.Expiry(ctx, tx, onetime.Reset, token, s.Now())
	if err != nil {
		return nil, err
	}
	if open {
		d.Expires = expires
		return d, nil
	}
	if row.AddressHash != nil {
		return nil, nil
	}
	locked, err := passwordLocked(ctx, tx, d.TokenFor)
	if err != nil || !locked {
		return nil, err
	}
	d.Anew = true
	return d, nil
}

func (s *Service) addressee(ctx context.Context, tx db.TenantTx, row outbox.Row) (*auth.Account, error) {
	if row.AddressHash == nil {
		return auth.AccountByID(ctx, tx, row.SubjectID)
	}
	crowded, err := outbox.Crowded(ctx, tx, row, s.Now(), auth.MailEvery)
	if err != nil || crowded {
		return nil, err
	}
	return auth.AccountByHash(ctx, tx, row.AddressHash)
}

// DraftEmailChange answers the mail to the new address: the link, or a notice
// where somebody else has that address; nil for a change that was cancelled.
func (s *Service) DraftEmailChange(ctx context.Context, tx db.TenantTx, row outbox.Row) (*mail.Draft, error) {
	c, d, err := s.draftChange(ctx, tx, row)
	if err != nil || d == nil || !c.waits(s.Now()) {
		return nil, err
	}
	if d.To, err = d.Subject.Open(c.newEmail, sealNew); err != nil {
		return nil, err
	}
	taken, err := auth.AddressTaken(ctx, tx, c.user, d.To)
	if err != nil {
		return nil, err
	}
	if taken {
		d.Template = mail.AddressTaken
		return d, nil
	}
	d.Template, d.Purpose, d.TokenFor, d.Expires, d.Path = mail.EmailChange, onetime.EmailChange, c.id, c.expires, EmailPage
	return d, nil
}

// DraftEmailChanged answers the mail to the old address, with the link that
// takes the change back.
func (s *Service) DraftEmailChanged(ctx context.Context, tx db.TenantTx, row outbox.Row) (*mail.Draft, error) {
	c, d, err := s.draftChange(ctx, tx, row)
	if err != nil || d == nil || !c.undoable(s.Now()) {
		return nil, err
	}
	if d.To, err = d.Subject.Open(c.oldEmail, sealOld); err != nil {
		return nil, err
	}
	d.Template, d.Purpose, d.TokenFor, d.Expires, d.Path = mail.EmailChanged, onetime.EmailUndo, c.id, c.confirmedAt.Add(undoTTL), EmailUndoPage
	d.At = *c.confirmedAt
	return d, nil
}

func (s *Service) draftChange(ctx context.Context, tx db.TenantTx, row outbox.Row) (*change, *mail.Draft, error) {
	c, err := findChange(ctx, tx, row.SubjectID)
	if apperr.KindOf(err) == apperr.Invalid {
		return nil, nil, nil // it was cancelled
	}
	if err != nil {
		return nil, nil, err
	}
	a, err := auth.AccountByID(ctx, tx, c.user)
	if err != nil || a == nil {
		return nil, nil, err
	}
	k, err := subjects.Key(ctx, tx, a.SubjectKey)
	return &c, &mail.Draft{Locale: a.Locale, Subject: k}, err
}
