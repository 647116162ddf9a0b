package invitations

import (
	"context"

	"tenantry/internal/apperr"
	"tenantry/internal/auth"
	"tenantry/internal/db"
	"tenantry/internal/mail"
	"tenantry/internal/onetime"
	"tenantry/internal/outbox"
)

// Draft answers the mail of an invitation, or nil when it is not open any
// more.
func (s *Service) Draft(ctx context.Context, tx db.TenantTx, row outbox.Row) (*mail.Draft, error) {
	inv, err := open(ctx, tx, row.SubjectID, s.now(), false)
	if apperr.KindOf(err) == apperr.Invalid {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	k, err := auth.SubjectKey(ctx, tx, inv.subjectKey)
	if err != nil {
		return nil, err
	}
	to, err := k.Open(inv.email, sealEmail)
	if err != nil {
		return nil, err
	}
	return &mail.Draft{
		Template: mail.Invitation, To: to, Locale: inv.locale, Subject: k,
		Purpose: onetime.Invitation, TokenFor: inv.id, Expires: inv.expires, Path: "/m/invitation",
	}, nil
}
