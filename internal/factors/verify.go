package factors

import (
	"context"

	"github.com/google/uuid"

	"tenantry/internal/apperr"
	"tenantry/internal/audit"
	"tenantry/internal/auth"
	"tenantry/internal/db"
	"tenantry/internal/ids"
	"tenantry/internal/notices"
	"tenantry/internal/onetime"
	"tenantry/internal/tenants"
)

func errChallenge() error {
	return apperr.New(apperr.Unauthenticated, "CHALLENGE_INVALID", "challenge_token: the login is not open any more, or asks for something else. Log in again.")
}

// VerifyInput ends a login.
type VerifyInput struct {
	Challenge string
	Code      Code
}

// Verify ends a login that waits for its second factor. A wrong code leaves
// the challenge as it is, a right one uses both, in one transaction.
func (s *Service) Verify(ctx context.Context, l *db.Lease, e tenants.Entry, in VerifyInput, m auth.Meta) (auth.SignIn, error) {
	if err := in.Code.Validate(); err != nil {
		return auth.SignIn{}, err
	}
	c, err := s.openChallenge(ctx, l, in.Challenge, false)
	if err != nil {
		return auth.SignIn{}, err
	}
	check, err := s.prepare(ctx, l, c.user, in.Code, m)
	if err != nil {
		return auth.SignIn{}, err
	}
	r, err := db.InTenant(ctx, l, func(tx db.TenantTx) (auth.SignIn, error) {
		if err := s.useChallenge(ctx, tx, in.Challenge, c, true); err != nil {
			return auth.SignIn{}, err
		}
		if err := s.take(ctx, tx, check, m); err != nil {
			return auth.SignIn{}, err
		}
		return s.admit(ctx, tx, e, c, in.Code.method(), m)
	})
	s.ring(ctx, l, err)
	return r, s.settle(ctx, l, check, err, m)
}

// openChallenge answers the login that a token names, using nothing up.
func (s *Service) openChallenge(ctx context.Context, l *db.Lease, token string, enrolling bool) (challenge, error) {
	c, err := db.InTenantRead(ctx, l, func(tx db.TenantTx) (challenge, error) {
		id, err := onetime.Check(ctx, tx, onetime.MFAChallenge, token, s.now())
		if err != nil {
			return challenge{}, err
		}
		return findChallenge(ctx, tx, id)
	})
	if err == nil && c.enrolling != enrolling {
		err = errChallenge()
	}
	return c, asChallenge(err)
}

// useChallenge redeems the token of a login, whose account must be as it was
// when the first factor was checked, and have a second one or not.
func (s *Service) useChallenge(ctx context.Context, tx db.TenantTx, token string, c challenge, second bool) error {
	if _, err := lockWaiting(ctx, tx, c, second); err != nil {
		return err
	}
	_, err := onetime.Redeem(ctx, tx, onetime.MFAChallenge, token, s.now())
	return asChallenge(err)
}

// lockWaiting answers the account of a login, which must be as it was when the
// first factor was checked, and have a second one or not.
func lockWaiting(ctx context.Context, tx db.TenantTx, c challenge, second bool) (account, error) {
	a, err := lockAccount(ctx, tx, c.user)
	if err == nil && (a.revision != c.revision || a.secondFactor != second) || apperr.ReasonOf(err) == "CREDENTIAL_INVALID" {
		err = errChallenge()
	}
	return a, err
}

// admit lets somebody in who has shown both factors. Whatever refuses them now
// has changed since the password was checked.
func (s *Service) admit(ctx context.Context, tx db.TenantTx, e tenants.Entry, c challenge, method string, m auth.Meta) (auth.SignIn, error) {
	in := auth.Entrance{User: c.user, Revision: c.revision, Method: method, AMR: auth.WithFactor(c.amr), AAL: auth.TwoFactors}
	r, err := s.auth.Admit(ctx, tx, e, in, m)
	return r, asChallenge(err)
}

// asChallenge says of a login what the parts say of their tokens and accounts.
func asChallenge(err error) error {
	if reason := apperr.ReasonOf(err); reason == "TOKEN_INVALID" || reason == "LOGIN_FAILED" {
		return errChallenge()
	}
	return err
}

// checked is a code on its way: counted, and, where a hash was to be made,
// compared.
type checked struct {
	user uuid.UUID
	code Code
	// backup is the code whose hash matched.
	backup uuid.UUID
}

// prepare counts a guess and does what costs time, outside any transaction.
func (s *Service) prepare(ctx context.Context, l *db.Lease, user uuid.UUID, code Code, m auth.Meta) (checked, error) {
	c := checked{user: user, code: code}
	err := s.reserve(ctx, l, user, errMFA(), m)
	if err != nil || code.Backup == "" {
		return c, err
	}
	// What cannot be a code, and a row that is used or unknown, cost the hash
	// that a right one costs.
	parsed, _ := parseBackup(code.Backup)
	type found struct {
		id   uuid.UUID
		hash string
	}
	f, err := db.InTenantRead(ctx, l, func(tx db.TenantTx) (found, error) {
		id, hash, err := findCode(ctx, tx, user, parsed.row)
		return found{id, hash}, err
	})
	if err != nil {
		return c, err
	}
	ok, _, err := s.hasher.Verify(ctx, f.hash, parsed.whole)
	if ok {
		c.backup = f.id
	}
	return c, err
}

// take uses the code up, in the transaction of what it opens. The account is
// locked by the caller.
func (s *Service) take(ctx context.Context, tx db.TenantTx, c checked, m auth.Meta) error {
	ok, err := s.takeEither(ctx, tx, c, m)
	if err != nil {
		return err
	}
	if !ok {
		return errMFA()
	}
	return s.clear(ctx, tx, c.user)
}

func (s *Service) takeEither(ctx context.Context, tx db.TenantTx, c checked, m auth.Meta) (bool, error) {
	if c.code.Backup != "" {
		return s.takeBackup(ctx, tx, c, m)
	}
	f, there, err := findFactor(ctx, tx, c.user)
	if err != nil || !there {
		return false, err
	}
	step, ok, err := match(f.secret, c.code.TOTP, s.now())
	if err != nil || !ok {
		return false, err
	}
	return takeStep(ctx, tx, c.user, step)
}

func (s *Service) takeBackup(ctx context.Context, tx db.TenantTx, c checked, m auth.Meta) (bool, error) {
	if c.backup == uuid.Nil {
		return false, nil
	}
	ok, err := takeCode(ctx, tx, c.backup, s.now())
	if err != nil || !ok {
		return false, err
	}
	left, err := countCodes(ctx, tx, c.user)
	if err != nil {
		return false, err
	}
	if err := notices.Write(ctx, tx, s.now(), notices.BackupCodeUsed, c.user); err != nil {
		return false, err
	}
	return true, s.audit(ctx, tx, audit.User(ids.User(c.user)), "backup_code.used", c.user, m.RequestID, map[string]any{"left": left})
}

// settle notes a wrong code once its transaction is gone.
func (s *Service) settle(ctx context.Context, l *db.Lease, c checked, err error, m auth.Meta) error {
	if apperr.ReasonOf(err) != "MFA_FAILED" {
		return err
	}
	if err := s.auth.Failed(ctx, l, ids.User(c.user), c.code.method(), m); err != nil {
		return err
	}
	return errMFA()
}

// StepUpInput authenticates a session anew.
type StepUpInput struct {
	User     ids.User
	Session  ids.Session
	Password string
	// Code is nil without a second factor.
	Code *Code
	// SecondFactor says whether the account has one.
	SecondFactor bool
}

// Validate refuses what cannot be enough, before the password is looked at:
// the answer tells nothing of it.
func (in StepUpInput) Validate() error {
	switch {
	case in.SecondFactor && in.Code == nil:
		return apperr.InvalidField("totp_code", "required", "give totp_code or backup_code: the account has a second factor")
	case !in.SecondFactor && in.Code != nil:
		return errMissing()
	case in.Code != nil:
		return in.Code.Validate()
	}
	return nil
}

// StepUp authenticates a session anew (A13).
func (s *Service) StepUp(ctx context.Context, l *db.Lease, e tenants.Entry, in StepUpInput, m auth.Meta) (auth.Tokens, error) {
	if err := in.Validate(); err != nil {
		return auth.Tokens{}, err
	}
	p, err := s.auth.Prove(ctx, l, in.User, in.Password, m)
	if err != nil {
		return auth.Tokens{}, err
	}
	var check checked
	if in.Code != nil {
		if check, err = s.prepare(ctx, l, in.User.UUID(), *in.Code, m); err != nil {
			return auth.Tokens{}, err
		}
		p.Method, p.AMR, p.AAL = in.Code.method(), auth.WithFactor(p.AMR), auth.TwoFactors
	}
	t, err := db.InTenant(ctx, l, func(tx db.TenantTx) (auth.Tokens, error) {
		if in.Code != nil {
			if _, err := lockAccount(ctx, tx, in.User.UUID()); err != nil {
				return auth.Tokens{}, err
			}
			if err := s.take(ctx, tx, check, m); err != nil {
				return auth.Tokens{}, err
			}
		}
		return s.auth.Raise(ctx, tx, e, in.Session, p, m)
	})
	s.ring(ctx, l, err)
	return t, s.settle(ctx, l, check, err, m)
}
