package auth

import (
	"context"
	"time"

	"tenantry/internal/apperr"
	"tenantry/internal/audit"
	"tenantry/internal/db"
	"tenantry/internal/ids"
	"tenantry/internal/notices"
	"tenantry/internal/onetime"
	"tenantry/internal/tenants"
)

// graceTTL is how long a used refresh token still answers its successor, while
// nobody has used that: an answer that was lost, or two tabs at once (A4).
const graceTTL = 10 * time.Second

// inGrace reports whether a used token may answer its successor again. The
// clocks of two processes differ, so a use may lie a little in the future; a
// clock that was stepped by more than the grace, either way, gives none: who
// repeats a token then has to log in again, and a thief has won no time.
func inGrace(v onetime.Value, now time.Time) bool {
	return now.Sub(*v.UsedAt).Abs() <= graceTTL && !v.SuccessorUsed
}

func errRefresh() error {
	return apperr.New(apperr.Unauthenticated, "REFRESH_INVALID", "refresh_token: it is not valid any more. Log in again.")
}

// Refresh changes a refresh token for its successor and a new access token.
// A token that comes a second time, outside the grace, is in two hands: the
// session ends and the person is told, whoever of the two came first.
func (s *Service) Refresh(ctx context.Context, l *db.Lease, e tenants.Entry, token string, m Meta) (Tokens, error) {
	type outcome struct {
		tokens Tokens
		reused bool
		// overdue: a required factor is missing for too long.
		overdue bool
	}
	r, err := db.InTenant(ctx, l, func(tx db.TenantTx) (outcome, error) {
		now := s.now()
		ses, v, err := lockFamily(ctx, tx, token, now)
		if err != nil {
			return outcome{}, err
		}
		if over, err := s.endOverdue(ctx, tx, ses, m); err != nil || over {
			return outcome{overdue: over}, err
		}
		var next string
		ends := ses.idle(now)
		switch {
		case v.UsedAt == nil && now.Before(v.ExpiresAt):
			next, err = s.rotate(ctx, tx, ses, v, now, m)
		case v.UsedAt == nil:
			return outcome{}, errRefresh()
		case inGrace(v, now):
			ends = v.SuccessorExpiresAt
			next, err = v.Successor()
		default:
			return outcome{reused: true}, s.endFamily(ctx, tx, ses, now, m)
		}
		if err != nil {
			return outcome{}, err
		}
		t, err := s.issue(e, ses, next)
		t.RefreshExpires = ends
		return outcome{tokens: t}, err
	})
	if err != nil {
		return Tokens{}, err
	}
	if r.overdue {
		return Tokens{}, errRefresh()
	}
	if r.reused {
		s.bell.Ring(ctx, l.Tenant)
		return Tokens{}, errRefresh()
	}
	return r.tokens, nil
}

// lockFamily answers the live session that a refresh token belongs to, and the
// token's state, which nobody else changes until the transaction ends.
func lockFamily(ctx context.Context, tx db.TenantTx, token string, now time.Time) (session, onetime.Value, error) {
	v, err := onetime.Find(ctx, tx, onetime.Refresh, token)
	if apperr.KindOf(err) == apperr.Invalid {
		err = errRefresh()
	}
	if err != nil {
		return session{}, v, err
	}
	ses, err := lockSession(ctx, tx, v.Subject, now)
	if err != nil {
		return session{}, v, err
	}
	// What was read before the lock may be old.
	v, err = onetime.Find(ctx, tx, onetime.Refresh, token)
	return ses, v, err
}

func (s *Service) rotate(ctx context.Context, tx db.TenantTx, ses session, v onetime.Value, now time.Time, m Meta) (string, error) {
	next, err := v.Succeed(ctx, tx, onetime.Refresh, now, ses.idle(now))
	if err != nil {
		return "", err
	}
	if err := touchSession(ctx, tx, ses.id, now); err != nil {
		return "", err
	}
	return next, s.auditSession(ctx, tx, ses, "session.refreshed", m)
}

func (s *Service) endFamily(ctx context.Context, tx db.TenantTx, ses session, now time.Time, m Meta) error {
	if err := revokeSession(ctx, tx, ses.id, now); err != nil {
		return err
	}
	if err := notices.Write(ctx, tx, now, notices.SessionReused, ses.id); err != nil {
		return err
	}
	return s.auditSession(ctx, tx, ses, "session.reuse_detected", m)
}

// Logout ends the session of a refresh token. Like RFC 7009 it answers alike
// for a token that is worth nothing: there is nothing left to end.
func (s *Service) Logout(ctx context.Context, l *db.Lease, token string, m Meta) error {
	_, err := db.InTenant(ctx, l, func(tx db.TenantTx) (struct{}, error) {
		ses, _, err := lockFamily(ctx, tx, token, s.now())
		if err != nil {
			return struct{}{}, err
		}
		if err := revokeSession(ctx, tx, ses.id, s.now()); err != nil {
			return struct{}{}, err
		}
		return struct{}{}, s.auditSession(ctx, tx, ses, "session.ended", m)
	})
	if apperr.ReasonOf(err) == "REFRESH_INVALID" {
		return nil
	}
	return err
}

func (s *Service) auditSession(ctx context.Context, tx db.TenantTx, ses session, action string, m Meta) error {
	return audit.Write(ctx, tx, s.now(), audit.Entry{
		Actor: audit.User(ids.User(ses.user)), Action: action, TargetKind: "session", TargetID: ses.id,
		TenantID: tx.Tenant(), RequestID: m.RequestID,
	})
}
