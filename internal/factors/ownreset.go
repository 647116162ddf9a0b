package factors

import (
	"context"

	"tenantry/internal/apperr"
	"tenantry/internal/audit"
	"tenantry/internal/auth"
	"tenantry/internal/db"
	"tenantry/internal/ids"
	"tenantry/internal/notices"
	"tenantry/internal/onetime"
	"tenantry/internal/rbac"
)

// RequestOwnReset asks for the caller's own factor to be taken away, inside a
// login that waits for it: an organization's only owner has nobody who may ask
// for them. The challenge is not used up; an operator confirms the request, whose
// id the person tells them, so a repetition answers the one that is open.
func (s *Service) RequestOwnReset(ctx context.Context, l *db.Lease, token string, m auth.Meta) (Reset, error) {
	c, err := s.openChallenge(ctx, l, token, false)
	if err != nil {
		return Reset{}, err
	}
	r, err := db.InTenant(ctx, l, func(tx db.TenantTx) (Reset, error) {
		if err := rbac.LockGrants(ctx, tx); err != nil {
			return Reset{}, err
		}
		a, err := lockWaiting(ctx, tx, c, true)
		if err != nil {
			return Reset{}, err
		}
		if _, err := onetime.Check(ctx, tx, onetime.MFAChallenge, token, s.now()); err != nil {
			return Reset{}, asChallenge(err)
		}
		n, err := otherAdmins(ctx, tx, Reset{User: a.id, Requester: a.id})
		if err != nil {
			return Reset{}, err
		}
		if n > 0 {
			return Reset{}, apperr.New(apperr.Precondition, "FACTOR_RESET_ADMIN_EXISTS", "The organization has an administrator who may ask for this: turn to them.")
		}
		if open, there, err := openReset(ctx, tx, a.id, s.now()); err != nil || there && open.own() {
			return open, err
		}
		r, err := s.ask(ctx, tx, a, a.id, audit.User(ids.User(a.id)), m.RequestID)
		if err != nil {
			return Reset{}, err
		}
		return r, notices.Write(ctx, tx, s.now(), notices.FactorResetAsked, a.id)
	})
	s.ring(ctx, l, err)
	return r, err
}
