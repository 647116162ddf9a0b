package auth

import (
	"context"
	"time"

	"github.com/google/uuid"

	"tenantry/internal/audit"
	"tenantry/internal/db"
	"tenantry/internal/settings"
)

// FactorRequired reports whether the tenant, or one of the person's roles,
// requires a second factor (A6), and how long it can be put off.
func FactorRequired(ctx context.Context, tx db.TenantTx, user uuid.UUID) (bool, time.Duration, error) {
	doc, err := settings.Load(ctx, tx)
	if err != nil {
		return false, 0, err
	}
	switch doc.MFAPolicy {
	case settings.MFARequired:
		return true, doc.MFAGrace(), nil
	case settings.MFARoles:
		holds, err := holdsAny(ctx, tx, user, doc.MFARoleIDs)
		return holds, doc.MFAGrace(), err
	}
	return false, 0, nil
}

// factorDue answers until when a person may do without the factor that is
// required of them, and whether that time is over. The first who asks begins
// the days of grace; they end with the requirement. Days that have begun are
// not made longer or shorter by a change of the settings: the person has been
// told the date.
func (s *Service) factorDue(ctx context.Context, tx db.TenantTx, p person, m Meta) (due *time.Time, overdue bool, err error) {
	if p.secondFactor && p.factorDue == nil {
		return nil, false, nil
	}
	required, grace, err := FactorRequired(ctx, tx, p.id)
	if err != nil {
		return nil, false, err
	}
	due, now := p.factorDue, s.now()
	switch {
	case p.secondFactor || !required:
		if due == nil {
			return nil, false, nil
		}
		return nil, false, s.noteDue(ctx, tx, p, nil, m)
	case due == nil:
		at := now.Add(grace)
		due = &at
		if err := s.noteDue(ctx, tx, p, due, m); err != nil {
			return nil, false, err
		}
	}
	return due, !now.Before(*due), nil
}

func (s *Service) noteDue(ctx context.Context, tx db.TenantTx, p person, due *time.Time, m Meta) error {
	changed, err := setFactorDue(ctx, tx, p.id, p.factorDue, due)
	if err != nil || !changed {
		return err
	}
	return audit.Write(ctx, tx, s.now(), audit.Entry{
		Actor: audit.System, Action: "factor.due_changed", TargetKind: "user", TargetID: p.id, TenantID: tx.Tenant(), RequestID: m.RequestID,
		Before: map[string]any{"factor_due_at": p.factorDue}, After: map[string]any{"factor_due_at": due},
	})
}

// endOverdue ends a session of somebody whose days of grace are over: the next
// login makes the factor.
func (s *Service) endOverdue(ctx context.Context, tx db.TenantTx, ses session, m Meta) (bool, error) {
	_, overdue, err := s.factorDue(ctx, tx, ses.owner, m)
	if err != nil || !overdue {
		return false, err
	}
	if err := revokeSession(ctx, tx, ses.id, s.now()); err != nil {
		return false, err
	}
	return true, s.auditSession(ctx, tx, ses, "session.factor_overdue", m)
}
