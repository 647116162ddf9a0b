package recovery

import (
	"context"

	"tenantry/internal/apikeys"
	"tenantry/internal/audit"
	"tenantry/internal/auth"
	"tenantry/internal/db"
	"tenantry/internal/factors"
	"tenantry/internal/ids"
	"tenantry/internal/onetime"
	"tenantry/internal/outbox"
)

// ReportNotMe takes the word of whoever reads the account's mails that what a
// notice told was somebody else: the account is locked down.
func (s *Service) ReportNotMe(ctx context.Context, l *db.Lease, token string, m auth.Meta) error {
	_, err := db.InTenant(ctx, l, func(tx db.TenantTx) (struct{}, error) {
		a, _, err := s.redeem(ctx, tx, onetime.NotMe, token)
		if err != nil {
			return struct{}{}, err
		}
		// The links of other notices would lock out whoever has recovered.
		if err := onetime.Void(ctx, tx, onetime.NotMe, a.id, s.Now()); err != nil {
			return struct{}{}, err
		}
		ended, err := s.lockDown(ctx, tx, a)
		if err != nil {
			return struct{}{}, err
		}
		return struct{}{}, audit.Write(ctx, tx, s.Now(), entry(tx, a.id, "user.locked_down", m, ended))
	})
	s.ring(ctx, l, err)
	return err
}

// lockDown ends everything that opens an account: sessions, API keys, known
// devices, links, waiting changes, a factor reset that was asked for in its
// name, and its password until a reset. A mail with a link for that goes to its
// address. It answers what was ended.
func (s *Service) lockDown(ctx context.Context, tx db.TenantTx, a account) (map[string]any, error) {
	now := s.Now()
	if err := lockPassword(ctx, tx, a.id); err != nil {
		return nil, err
	}
	if err := forgetDevices(ctx, tx, a.id); err != nil {
		return nil, err
	}
	sessions, err := s.endOthers(ctx, tx, a, ids.Session{})
	if err != nil {
		return nil, err
	}
	keys, err := apikeys.EndKeys(ctx, tx, ids.User(a.id), now)
	if err != nil {
		return nil, err
	}
	withdrawn, err := factors.WithdrawOwn(ctx, tx, a.id, now)
	if err != nil {
		return nil, err
	}
	err = outbox.Mail(ctx, tx, now, outbox.MailIntent{Template: MailSecured, Tenant: tx.Tenant(), SubjectID: a.id})
	return map[string]any{"sessions_revoked": sessions, "api_keys_revoked": keys, "factor_reset_withdrawn": withdrawn}, err
}
