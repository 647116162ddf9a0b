package factors

import (
	"context"
	"time"

	"github.com/google/uuid"

	"tenantry/internal/apperr"
	"tenantry/internal/audit"
	"tenantry/internal/db"
	"tenantry/internal/ids"
	"tenantry/internal/notices"
	"tenantry/internal/rbac"
)

// resetTTL is how long a request waits for its second administrator.
const resetTTL = 72 * time.Hour

// mayReset is the permission of whoever asks and of whoever confirms.
const mayReset = "users.update"

// Reset asks to take a lost second factor away: two people agree, neither of
// whom it is about. Where no administrator may ask, its person does, and an
// operator agrees.
type Reset struct {
	ID   uuid.UUID
	User uuid.UUID
	// Requester is an administrator, or the person.
	Requester uuid.UUID
	// Confirmer is the second administrator, or the operator's key; nil until
	// then.
	Confirmer   *uuid.UUID
	ByOperator  bool
	CreatedAt   time.Time
	ExpiresAt   time.Time
	ConfirmedAt *time.Time
	CancelledAt *time.Time
}

func (r Reset) open(now time.Time) bool {
	return r.ConfirmedAt == nil && r.CancelledAt == nil && now.Before(r.ExpiresAt)
}

// own tells whether the person it is about has asked.
func (r Reset) own() bool { return r.Requester == r.User }

func errNotOpen(why string) error {
	return apperr.New(apperr.Precondition, "FACTOR_RESET_NOT_OPEN", "This factor reset is not open any more: "+why+".")
}

func errSamePerson(message string) error {
	return apperr.New(apperr.Forbidden, "FACTOR_RESET_SAME_PERSON", message)
}

// RequestReset asks for somebody's factor to be taken away.
func (s *Service) RequestReset(ctx context.Context, l *db.Lease, by rbac.Actor, user ids.User, mark *db.Mark[Reset]) (Reset, error) {
	if by.User == user {
		return Reset{}, errSamePerson("user_id: whoever has lost the factor cannot ask for it to be taken away. Disable it, or ask another administrator.")
	}
	return db.InTenantOnce(ctx, l, mark, func(tx db.TenantTx) (Reset, error) {
		if err := rbac.LockGrants(ctx, tx); err != nil {
			return Reset{}, err
		}
		a, err := lockTarget(ctx, tx, user.UUID())
		if err != nil {
			return Reset{}, err
		}
		if err := checkAbove(ctx, tx, by, a.id); err != nil {
			return Reset{}, err
		}
		if !a.secondFactor {
			return Reset{}, apperr.New(apperr.Precondition, "FACTOR_MISSING", "user_id: this person has no second factor.")
		}
		return s.ask(ctx, tx, a, by.User.UUID(), by.Actor, by.RequestID)
	})
}

// ask writes a request, unless one is open.
func (s *Service) ask(ctx context.Context, tx db.TenantTx, a account, requester uuid.UUID, by audit.Actor, request string) (Reset, error) {
	now := s.now()
	if _, waiting, err := openReset(ctx, tx, a.id, now); err != nil {
		return Reset{}, err
	} else if waiting {
		return Reset{}, apperr.New(apperr.AlreadyExists, "FACTOR_RESET_EXISTS", "There is an open factor reset for this person. Confirm or cancel that one.")
	}
	r := Reset{ID: ids.New(), User: a.id, Requester: requester, CreatedAt: now, ExpiresAt: now.Add(resetTTL)}
	if err := insertReset(ctx, tx, r); err != nil {
		return Reset{}, err
	}
	return r, s.auditReset(ctx, tx, by, "factor_reset.requested", r, request)
}

// checkAbove refuses to act on somebody who may more than the actor.
func checkAbove(ctx context.Context, tx db.TenantTx, by rbac.Actor, user uuid.UUID) error {
	held, err := rbac.Holding(ctx, tx, user)
	if err != nil {
		return err
	}
	return by.CheckGrant(held)
}

// ConfirmReset takes the factor away. The rights of both administrators are
// those of this moment: nobody's wish outlives their right to it.
func (s *Service) ConfirmReset(ctx context.Context, l *db.Lease, by rbac.Actor, id uuid.UUID, mark *db.Mark[Reset]) (Reset, error) {
	r, err := db.InTenantOnce(ctx, l, mark, func(tx db.TenantTx) (Reset, error) {
		if err := rbac.LockGrants(ctx, tx); err != nil {
			return Reset{}, err
		}
		r, err := s.lockOpen(ctx, tx, id)
		if err != nil {
			return Reset{}, err
		}
		if r.own() {
			return Reset{}, errSamePerson("The person it is about has asked for this factor reset: an operator confirms it. Or cancel it and ask for one yourself.")
		}
		if who := by.User.UUID(); who == r.Requester || who == r.User {
			return Reset{}, errSamePerson("A factor reset is confirmed by a second administrator, whom it is not about.")
		}
		if err := checkAbove(ctx, tx, by, r.User); err != nil {
			return Reset{}, err
		}
		confirmer := by.User.UUID()
		r.Confirmer = &confirmer
		return s.carryOut(ctx, tx, r, by.Actor, by.RequestID)
	})
	s.ring(ctx, l, err)
	return r, err
}

// CancelReset withdraws a request.
func (s *Service) CancelReset(ctx context.Context, l *db.Lease, by rbac.Actor, id uuid.UUID, mark *db.Mark[Reset]) (Reset, error) {
	return db.InTenantOnce(ctx, l, mark, func(tx db.TenantTx) (Reset, error) {
		r, err := s.lockOpen(ctx, tx, id)
		if err != nil {
			return Reset{}, err
		}
		if by.User.UUID() != r.Requester {
			if err := checkAbove(ctx, tx, by, r.User); err != nil {
				return Reset{}, err
			}
		}
		now := s.now()
		r.CancelledAt = &now
		if err := saveReset(ctx, tx, r); err != nil {
			return Reset{}, err
		}
		return r, s.auditReset(ctx, tx, by.Actor, "factor_reset.cancelled", r, by.RequestID)
	})
}

func (s *Service) lockOpen(ctx context.Context, tx db.TenantTx, id uuid.UUID) (Reset, error) {
	r, err := findReset(ctx, tx, id, true)
	if err != nil {
		return Reset{}, err
	}
	switch now := s.now(); {
	case r.ConfirmedAt != nil:
		return r, errNotOpen("it has been confirmed")
	case r.CancelledAt != nil:
		return r, errNotOpen("it has been cancelled")
	case !r.open(now):
		return r, errNotOpen("it has expired")
	}
	return r, nil
}

// carryOut takes the factor away and ends what it had opened. The requester
// must still be somebody who may ask.
func (s *Service) carryOut(ctx context.Context, tx db.TenantTx, r Reset, by audit.Actor, request string) (Reset, error) {
	holds, err := rbac.Holding(ctx, tx, r.Requester)
	if err != nil {
		return Reset{}, err
	}
	asker := rbac.Actor{User: ids.User(r.Requester), Permissions: holds}
	if !asker.Can(mayReset) || checkAbove(ctx, tx, asker, r.User) != nil {
		return Reset{}, errNotOpen("whoever asked for it may not any more")
	}
	a, err := lockTarget(ctx, tx, r.User)
	if err != nil {
		return Reset{}, err
	}
	now := s.now()
	r.ConfirmedAt = &now
	if err := saveReset(ctx, tx, r); err != nil {
		return Reset{}, err
	}
	if err := remove(ctx, tx, a); err != nil {
		return Reset{}, err
	}
	ended, err := shutOut(ctx, tx, a, now)
	if err != nil {
		return Reset{}, err
	}
	if err := s.clear(ctx, tx, a.id); err != nil {
		return Reset{}, err
	}
	if err := notices.Write(ctx, tx, now, notices.FactorRemoved, a.id); err != nil {
		return Reset{}, err
	}
	if err := s.audit(ctx, tx, by, "factor.removed", a.id, request, map[string]any{
		"factor_reset_id": r.ID, "sessions_revoked": ended, "password_locked": a.passwordShort,
	}); err != nil {
		return Reset{}, err
	}
	return r, s.auditReset(ctx, tx, by, "factor_reset.confirmed", r, request)
}

func (s *Service) auditReset(ctx context.Context, tx db.TenantTx, by audit.Actor, action string, r Reset, request string) error {
	return audit.Write(ctx, tx, s.now(), audit.Entry{
		Actor: by, Action: action, TargetKind: "factor_reset", TargetID: r.ID, TenantID: tx.Tenant(), RequestID: request,
		After: map[string]any{"user_id": r.User, "requester_id": r.Requester},
	})
}
