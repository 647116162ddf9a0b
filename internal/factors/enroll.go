package factors

import (
	"context"
	"time"

	"github.com/google/uuid"

	"tenantry/internal/apperr"
	"tenantry/internal/audit"
	"tenantry/internal/auth"
	"tenantry/internal/db"
	"tenantry/internal/ids"
	"tenantry/internal/notices"
	"tenantry/internal/secrets"
	"tenantry/internal/tenants"
)

// pendingTTL is how long a secret waits to be confirmed.
const pendingTTL = 15 * time.Minute

// Enrollment is a new secret, shown once.
type Enrollment struct {
	Secret string
	URI    string
	// PNG is the URI as a QR code.
	PNG     []byte
	Expires time.Time
}

// Enroll makes a secret that waits to be confirmed, in the place of the one
// that waits.
func (s *Service) Enroll(ctx context.Context, l *db.Lease, e tenants.Entry, user ids.User, m auth.Meta) (Enrollment, error) {
	return s.enroll(ctx, l, e, user.UUID(), func(db.TenantTx) error { return nil }, m)
}

// EnrollWithChallenge is Enroll inside a login that cannot end without a
// factor. The challenge is not used up: the secret may be asked for again.
func (s *Service) EnrollWithChallenge(ctx context.Context, l *db.Lease, e tenants.Entry, token string, m auth.Meta) (Enrollment, error) {
	c, err := s.openChallenge(ctx, l, token, true)
	if err != nil {
		return Enrollment{}, err
	}
	same := func(tx db.TenantTx) error {
		_, err := lockWaiting(ctx, tx, c, false)
		return err
	}
	return s.enroll(ctx, l, e, c.user, same, m)
}

func (s *Service) enroll(ctx context.Context, l *db.Lease, e tenants.Entry, user uuid.UUID, allowed func(db.TenantTx) error, m auth.Meta) (Enrollment, error) {
	secret, now := secrets.RandomBytes(secretSize), s.now()
	email, err := db.InTenant(ctx, l, func(tx db.TenantTx) (string, error) {
		if err := allowed(tx); err != nil {
			return "", err
		}
		a, err := lockAccount(ctx, tx, user)
		if err != nil {
			return "", err
		}
		if a.secondFactor {
			return "", errExists()
		}
		if err := replacePending(ctx, tx, a, secret, now); err != nil {
			return "", err
		}
		// Guesses at the secret before are none at this one.
		if err := s.clear(ctx, tx, user); err != nil {
			return "", err
		}
		return a.email, s.audit(ctx, tx, audit.User(ids.User(user)), "factor.enrolled", user, m.RequestID, nil)
	})
	if err != nil {
		return Enrollment{}, err
	}
	out := Enrollment{Secret: base32Plain.EncodeToString(secret), URI: keyURI(e.Name, email, secret), Expires: now.Add(pendingTTL)}
	out.PNG, err = qrPNG(out.URI)
	return out, err
}

// Confirmed is a factor that counts from now on.
type Confirmed struct {
	// BackupCodes are shown once.
	BackupCodes []string
	Tokens      auth.Tokens
	// SignIn ends the login of ConfirmWithChallenge.
	SignIn auth.SignIn
}

// ConfirmInput shows that an app has the secret.
type ConfirmInput struct {
	User    ids.User
	Session ids.Session
	Code    string
}

// Confirm makes the pending factor count. The session it is done in has shown
// both factors from here on.
func (s *Service) Confirm(ctx context.Context, l *db.Lease, e tenants.Entry, in ConfirmInput, m auth.Meta) (Confirmed, error) {
	return s.confirm(ctx, l, in.User.UUID(), in.Code, func(tx db.TenantTx, out *Confirmed) (err error) {
		out.Tokens, err = s.auth.AddFactor(ctx, tx, e, in.Session)
		return err
	}, m)
}

// ConfirmWithChallenge makes the pending factor count and ends the login.
func (s *Service) ConfirmWithChallenge(ctx context.Context, l *db.Lease, e tenants.Entry, token, code string, m auth.Meta) (Confirmed, error) {
	c, err := s.openChallenge(ctx, l, token, true)
	if err != nil {
		return Confirmed{}, err
	}
	return s.confirm(ctx, l, c.user, code, func(tx db.TenantTx, out *Confirmed) (err error) {
		if err := s.useChallenge(ctx, tx, token, c, true); err != nil {
			return err
		}
		out.SignIn, err = s.admit(ctx, tx, e, c, auth.MethodTOTP, m)
		return err
	}, m)
}

func errCode() error {
	e := apperr.InvalidField("code", "string.totp", "must be the code that the new secret makes now")
	e.Reason = "FACTOR_CODE_INVALID"
	return e
}

// confirm checks the code before it makes ten hashes, and again in the
// transaction that uses it; then ends what it was for.
func (s *Service) confirm(ctx context.Context, l *db.Lease, user uuid.UUID, code string, end func(db.TenantTx, *Confirmed) error, m auth.Meta) (Confirmed, error) {
	if err := s.reserve(ctx, l, user, errCode(), m); err != nil {
		return Confirmed{}, err
	}
	_, err := db.InTenantRead(ctx, l, func(tx db.TenantTx) (pending, error) { return s.checkPending(ctx, tx, user, code) })
	if apperr.ReasonOf(err) == "FACTOR_CODE_INVALID" {
		if err := s.auth.Failed(ctx, l, ids.User(user), auth.MethodTOTP, m); err != nil {
			return Confirmed{}, err
		}
	}
	if err != nil {
		return Confirmed{}, err
	}
	codes, err := s.makeCodes(ctx)
	if err != nil {
		return Confirmed{}, err
	}
	out := Confirmed{BackupCodes: shown(codes)}
	_, err = db.InTenant(ctx, l, func(tx db.TenantTx) (struct{}, error) {
		if err := s.establish(ctx, tx, user, code, codes, m); err != nil {
			return struct{}{}, err
		}
		return struct{}{}, end(tx, &out)
	})
	s.ring(ctx, l, err)
	if err != nil {
		return Confirmed{}, err
	}
	return out, nil
}

func (s *Service) establish(ctx context.Context, tx db.TenantTx, user uuid.UUID, code string, codes []hashed, m auth.Meta) error {
	a, err := lockAccount(ctx, tx, user)
	if err != nil {
		return err
	}
	if a.secondFactor {
		return errExists()
	}
	p, err := s.checkPending(ctx, tx, user, code)
	if err != nil {
		return err
	}
	now := s.now()
	if err := confirm(ctx, tx, a, p.factor, p.step, now); err != nil {
		return err
	}
	if err := replaceCodes(ctx, tx, user, codes, now); err != nil {
		return err
	}
	if err := s.clear(ctx, tx, user); err != nil {
		return err
	}
	if err := notices.Write(ctx, tx, now, notices.FactorAdded, user); err != nil {
		return err
	}
	return s.audit(ctx, tx, audit.User(ids.User(user)), "factor.confirmed", user, m.RequestID, nil)
}

// pending is a factor whose code was shown.
type pending struct {
	factor factor
	step   int64
}

func (s *Service) checkPending(ctx context.Context, tx db.TenantTx, user uuid.UUID, code string) (pending, error) {
	f, there, err := findFactor(ctx, tx, user)
	if err != nil {
		return pending{}, err
	}
	now := s.now()
	switch {
	case there && f.confirmed:
		return pending{}, errExists()
	case !there || now.Sub(f.createdAt) > pendingTTL:
		return pending{}, errMissing()
	}
	step, ok, err := match(f.secret, code, now)
	if err == nil && !ok {
		err = errCode()
	}
	return pending{f, step}, err
}
