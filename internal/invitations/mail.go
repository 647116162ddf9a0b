package invitations

import (
	"context"

	"github.com/google/uuid"

	"tenantry/internal/apperr"
	"tenantry/internal/db"
	"tenantry/internal/mail"
	"tenantry/internal/onetime"
	"tenantry/internal/outbox"
	"tenantry/internal/subjects"
)

// Draft answers the mail of an invitation: the link, a notice where the
// address has an account, or nil where the account is deleted or the invitation
// is not valid any more. It runs in the worker, so an inviter who may not see
// people cannot see which.
func (s *Service) Draft(ctx context.Context, tx db.TenantTx, row outbox.Row) (*mail.Draft, error) {
	inv, err := valid(ctx, tx, row.SubjectID, s.now(), false)
	if apperr.KindOf(err) == apperr.Invalid {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	k, err := subjects.Key(ctx, tx, inv.subjectKey)
	if err != nil {
		return nil, err
	}
	to, err := k.Open(inv.email, sealEmail)
	if err != nil {
		return nil, err
	}
	a, err := accountOf(ctx, tx, to)
	if err != nil {
		return nil, err
	}
	switch {
	case a.deleted:
		return nil, nil
	case a.id != uuid.Nil:
		return &mail.Draft{Template: mail.AccountExists, To: to, Locale: inv.locale, Subject: k}, nil
	}
	return &mail.Draft{
		Template: mail.Invitation, To: to, Locale: inv.locale, Subject: k,
		Purpose: onetime.Invitation, TokenFor: inv.id, Expires: inv.expires, Path: "/m/invitation",
	}, nil
}
