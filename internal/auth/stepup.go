package auth

import (
	"context"
	"slices"
	"time"

	"tenantry/internal/apperr"
	"tenantry/internal/attempts"
	"tenantry/internal/db"
	"tenantry/internal/ids"
	"tenantry/internal/tenants"
)

// Proof is a password that somebody who is logged in has shown again.
type Proof struct {
	Entrance
	// subject is of the counter that a success clears.
	subject []byte
}

// Prove checks the password of a session's person (A13). The attempt counts
// among those from known devices: whoever holds a session is no stranger, and
// cannot lock strangers' count for the owner.
func (s *Service) Prove(ctx context.Context, l *db.Lease, user ids.User, password string, m Meta) (Proof, error) {
	a, subject, err := findByID(ctx, l, user.UUID())
	if err != nil {
		return Proof{}, err
	}
	v, err := attempts.Reserve(ctx, l, s.now(), attempts.Known, subject, &a.id)
	if err != nil {
		return Proof{}, err
	}
	if !v.Allowed {
		return Proof{}, errLogin()
	}
	ok, _, err := s.hasher.Verify(ctx, a.passwordHash, password)
	if err != nil {
		return Proof{}, err
	}
	if !ok {
		if err := s.Failed(ctx, l, user, MethodPassword, m); err != nil {
			return Proof{}, err
		}
		return Proof{}, errLogin()
	}
	return Proof{
		Entrance: Entrance{User: a.id, Revision: a.revision, Method: MethodPassword, AMR: []string{"pwd"}, AAL: OneFactor}, subject: subject,
	}, nil
}

// Failed writes the login event of an attempt that was checked and was wrong.
func (s *Service) Failed(ctx context.Context, l *db.Lease, user ids.User, method string, m Meta) error {
	_, err := db.InTenant(ctx, l, func(tx db.TenantTx) (struct{}, error) {
		return struct{}{}, s.failed(ctx, tx, user, method, m)
	})
	return err
}

func (s *Service) failed(ctx context.Context, tx db.TenantTx, user ids.User, method string, m Meta) error {
	id, now := user.UUID(), s.now()
	return insertEvent(ctx, tx, event{at: now, outcome: outcomeFailure, method: method, user: &id, ipHash: ipHash(tx.DataKey(), m.IP, now)})
}

// Raise authenticates a session anew, in the transaction of what was checked:
// its time is now, its level what the proof reaches. An account that has a
// second factor is raised by nothing less.
func (s *Service) Raise(ctx context.Context, tx db.TenantTx, e tenants.Entry, id ids.Session, p Proof, m Meta) (Tokens, error) {
	now := s.now()
	who, err := lockPerson(ctx, tx, p.Entrance)
	if err != nil {
		return Tokens{}, err
	}
	if who.secondFactor && p.AAL < TwoFactors {
		return Tokens{}, errLogin() // one was added meanwhile
	}
	ses, err := lockOwn(ctx, tx, id, now)
	if err != nil {
		return Tokens{}, err
	}
	ses.authenticated, ses.amr, ses.aal = now, p.AMR, p.AAL
	if err := saveLevel(ctx, tx, ses); err != nil {
		return Tokens{}, err
	}
	if err := attempts.Clear(ctx, tx, attempts.Known, p.subject, now); err != nil {
		return Tokens{}, err
	}
	ev := event{at: now, outcome: outcomeSuccess, method: p.Method, user: &who.id, ipHash: ipHash(tx.DataKey(), m.IP, now)}
	if err := insertEvent(ctx, tx, ev); err != nil {
		return Tokens{}, err
	}
	if err := s.auditSession(ctx, tx, ses, "session.stepped_up", m); err != nil {
		return Tokens{}, err
	}
	return s.issue(e, ses, "")
}

// AddFactor notes at a session that it has shown a second factor beside what
// it had. The time of its authentication stays: the password is no fresher.
func (s *Service) AddFactor(ctx context.Context, tx db.TenantTx, e tenants.Entry, id ids.Session) (Tokens, error) {
	ses, err := lockOwn(ctx, tx, id, s.now())
	if err != nil {
		return Tokens{}, err
	}
	ses.amr, ses.aal = WithFactor(ses.amr), TwoFactors
	if err := saveLevel(ctx, tx, ses); err != nil {
		return Tokens{}, err
	}
	return s.issue(e, ses, "")
}

// lockOwn answers the session that a request came with, if it is still alive.
func lockOwn(ctx context.Context, tx db.TenantTx, id ids.Session, now time.Time) (session, error) {
	ses, err := lockSession(ctx, tx, id.UUID(), now)
	if apperr.ReasonOf(err) == "REFRESH_INVALID" {
		err = errToken("CREDENTIAL_INVALID", "The access token is not valid here.")
	}
	return ses, err
}

// WithFactor adds a code of a second factor to what was checked (RFC 8176).
func WithFactor(amr []string) []string {
	out := slices.Clone(amr)
	for _, method := range []string{"otp", "mfa"} {
		if !slices.Contains(out, method) {
			out = append(out, method)
		}
	}
	return out
}
