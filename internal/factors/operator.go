package factors

import (
	"context"

	"github.com/google/uuid"

	"tenantry/internal/apperr"
	"tenantry/internal/audit"
	"tenantry/internal/db"
	"tenantry/internal/ids"
	"tenantry/internal/rbac"
)

// Operator is who acts from the central host.
type Operator struct {
	audit.Actor
	RequestID string
}

// ConfirmResetAsOperator confirms a request in a tenant that has no second
// administrator who could.
//
// Two databases take part, and no transaction spans them. What the operator
// wants is written to the central log first, so nothing happens in a tenant
// that the central log does not know of; the effect and its own row share the
// tenant's transaction. When that one fails, the central log holds a wish
// ("…_requested") that had no effect. When the answer's mark fails after it,
// the repetition finds the reset confirmed by this operator and answers it.
func (s *Service) ConfirmResetAsOperator(ctx context.Context, t ids.Tenant, id uuid.UUID, by Operator, mark *db.Mark[Reset]) (Reset, error) {
	l, err := s.router.Lease(ctx, t)
	if err != nil {
		return Reset{}, err
	}
	// What is refused leaves no wish behind.
	r, err := db.InTenantRead(ctx, l, func(tx db.TenantTx) (Reset, error) {
		r, err := findReset(ctx, tx, id, false)
		if err == nil && !r.confirmedBy(by) {
			err = s.operatorMay(ctx, tx, r)
		}
		return r, err
	})
	if err != nil {
		return Reset{}, err
	}
	_, err = db.InCentral(ctx, s.central, func(tx db.CentralTx) (struct{}, error) {
		return struct{}{}, audit.Write(ctx, tx, s.now(), audit.Entry{
			Actor: by.Actor, Action: "tenant.factor_reset_confirm_requested", TargetKind: "tenant", TargetID: t.UUID(), TenantID: t,
			RequestID: by.RequestID, After: map[string]any{"factor_reset_id": id},
		})
	})
	if err != nil {
		return Reset{}, err
	}
	if !r.confirmedBy(by) {
		if r, err = s.confirmAsOperator(ctx, l, id, by); err != nil {
			return Reset{}, err
		}
	}
	return db.InCentralOnce(ctx, s.central, mark, func(db.CentralTx) (Reset, error) { return r, nil })
}

func (r Reset) confirmedBy(by Operator) bool {
	return r.ConfirmedAt != nil && r.ByOperator && *r.Confirmer == by.ID
}

func (s *Service) confirmAsOperator(ctx context.Context, l *db.Lease, id uuid.UUID, by Operator) (Reset, error) {
	r, err := db.InTenant(ctx, l, func(tx db.TenantTx) (Reset, error) {
		if err := rbac.LockGrants(ctx, tx); err != nil {
			return Reset{}, err
		}
		r, err := s.lockOpen(ctx, tx, id)
		if r.confirmedBy(by) { // by the same call in parallel
			return r, nil
		}
		if err != nil {
			return Reset{}, err
		}
		if err := s.operatorMay(ctx, tx, r); err != nil {
			return Reset{}, err
		}
		r.Confirmer, r.ByOperator = &by.ID, true
		return s.carryOut(ctx, tx, r, by.Actor, by.RequestID)
	})
	s.ring(ctx, l, err)
	return r, err
}

// operatorMay refuses what the tenant's own people can do.
func (s *Service) operatorMay(ctx context.Context, tx db.TenantTx, r Reset) error {
	if !r.open(s.now()) {
		return errNotOpen("it has been confirmed or cancelled, or has expired")
	}
	n, err := otherAdmins(ctx, tx, r)
	if err != nil {
		return err
	}
	if n > 0 {
		return apperr.New(apperr.Precondition, "FACTOR_RESET_SECOND_ADMIN", "The organization has a second administrator who can confirm this reset: an operator does so only where there is none.")
	}
	return nil
}
