package magiclink

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"net/url"

	"github.com/google/uuid"

	"tenantry/internal/apperr"
	"tenantry/internal/audit"
	"tenantry/internal/auth"
	"tenantry/internal/db"
	"tenantry/internal/ids"
	"tenantry/internal/onetime"
	"tenantry/internal/tenants"
)

// Check reports whether a link would still be taken; it uses nothing.
func (s *Service) Check(ctx context.Context, l *db.Lease, token string) error {
	_, err := db.InTenantRead(ctx, l, func(tx db.TenantTx) (uuid.UUID, error) {
		return onetime.Check(ctx, tx, onetime.MagicLink, token, s.Now())
	})
	return err
}

// Continue redeems a link in the browser that opened it, and answers where
// that goes on: the tenant's application, with a code for the exchange.
func (s *Service) Continue(ctx context.Context, l *db.Lease, token string, m auth.Meta) (string, error) {
	return db.InTenant(ctx, l, func(tx db.TenantTx) (string, error) {
		now := s.Now()
		app, err := appURL(ctx, tx)
		if err != nil {
			return "", err
		}
		id, err := onetime.Redeem(ctx, tx, onetime.MagicLink, token, now)
		if err != nil {
			return "", err
		}
		code, err := onetime.Mint(ctx, tx, onetime.MagicCode, id, now, now.Add(codeTTL))
		if err != nil {
			return "", err
		}
		to, err := url.Parse(app)
		if err != nil {
			return "", err
		}
		query := to.Query()
		query.Set("code", code)
		to.RawQuery = query.Encode()
		return to.String(), s.audit(ctx, tx, id, "magic_link.continued", m)
	})
}

// Approve redeems a link for the browser that shows the code. Each call is a
// try, counted before the code is looked at; after the fifth wrong one the
// link is dead.
func (s *Service) Approve(ctx context.Context, l *db.Lease, token, code string, m auth.Meta) error {
	r, err := db.InTenant(ctx, l, func(tx db.TenantTx) (*request, error) {
		id, err := onetime.Check(ctx, tx, onetime.MagicLink, token, s.Now())
		if err != nil {
			return nil, err
		}
		return try(ctx, tx, id)
	})
	switch {
	case err != nil:
		return err
	case r == nil:
		return onetime.ErrInvalid()
	case !hmac.Equal(r.codeHash, hashCode(l.Key, r.id, code)):
		return s.mistyped(ctx, l, *r, m)
	}
	_, err = db.InTenant(ctx, l, func(tx db.TenantTx) (struct{}, error) {
		now := s.Now()
		id, err := onetime.Redeem(ctx, tx, onetime.MagicLink, token, now)
		if err != nil {
			return struct{}{}, err
		}
		if err := approve(ctx, tx, id, now); err != nil {
			return struct{}{}, err
		}
		return struct{}{}, s.audit(ctx, tx, id, "magic_link.approved", m)
	})
	return err
}

func (s *Service) mistyped(ctx context.Context, l *db.Lease, r request, m auth.Meta) error {
	_, err := db.InTenant(ctx, l, func(tx db.TenantTx) (struct{}, error) {
		if r.user != nil {
			if err := s.Auth.NoteFailure(ctx, tx, *r.user, auth.MethodMagicLink, m); err != nil {
				return struct{}{}, err
			}
		}
		if r.tries < maxTries {
			return struct{}{}, nil
		}
		if err := onetime.Void(ctx, tx, onetime.MagicLink, r.id, s.Now()); err != nil {
			return struct{}{}, err
		}
		return struct{}{}, s.audit(ctx, tx, r.id, "magic_link.exhausted", m)
	})
	if err != nil {
		return err
	}
	if r.tries >= maxTries {
		return onetime.ErrInvalid()
	}
	e := apperr.InvalidField("code", "magic_link.code", "is not the code that the browser shows in which you asked for the link")
	e.Reason = "MAGIC_LINK_CODE_WRONG"
	return e
}

// ExchangeInput trades what a link gave for a session: the code of the
// redirect, or the id of a request that was approved.
type ExchangeInput struct {
	Code string
	// Request is zero where Code is given.
	Request uuid.UUID
	// Verifier is the one that the request's challenge was made of.
	Verifier string
}

// errExchange is the one refusal, whatever is wrong.
func errExchange() error {
	return apperr.New(apperr.Unauthenticated, "MAGIC_CODE_INVALID", "The code or the request is not valid any more, or the verifier is not the one it was made with. Ask for a new link.")
}

// Exchange answers tokens, or the challenge of a second factor.
func (s *Service) Exchange(ctx context.Context, l *db.Lease, e tenants.Entry, in ExchangeInput, m auth.Meta) (auth.SignIn, error) {
	sum := sha256.Sum256([]byte(in.Verifier))
	if in.Code == "" {
		return s.exchangeRequest(ctx, l, e, in.Request, sum[:], m)
	}
	// The code is used up even by a wrong verifier: it may have been stolen.
	r, err := db.InTenant(ctx, l, func(tx db.TenantTx) (*request, error) {
		id, err := onetime.Redeem(ctx, tx, onetime.MagicCode, in.Code, s.Now())
		if err != nil {
			return nil, err
		}
		r, err := find(ctx, tx, id)
		if err != nil || r == nil || r.user == nil {
			return nil, err
		}
		if !hmac.Equal(r.challenge, sum[:]) {
			return r, s.Auth.NoteFailure(ctx, tx, *r.user, auth.MethodMagicLink, m)
		}
		return r, nil
	})
	if apperr.KindOf(err) == apperr.Invalid || (err == nil && (r == nil || !hmac.Equal(r.challenge, sum[:]))) {
		return auth.SignIn{}, errExchange()
	}
	if err != nil {
		return auth.SignIn{}, err
	}
	return db.InTenant(ctx, l, func(tx db.TenantTx) (auth.SignIn, error) { return s.admit(ctx, tx, e, *r, m) })
}

// exchangeRequest is what the browser that shows the code asks again and
// again. Nothing is told about a request to whoever lacks its verifier.
func (s *Service) exchangeRequest(ctx context.Context, l *db.Lease, e tenants.Entry, id uuid.UUID, challenge []byte, m auth.Meta) (auth.SignIn, error) {
	return db.InTenant(ctx, l, func(tx db.TenantTx) (auth.SignIn, error) {
		now := s.Now()
		r, err := find(ctx, tx, id)
		if err != nil {
			return auth.SignIn{}, err
		}
		if r == nil || !hmac.Equal(r.challenge, challenge) || !r.open(now) {
			return auth.SignIn{}, errExchange()
		}
		if r.approvedAt == nil || r.user == nil {
			return auth.SignIn{}, apperr.New(apperr.Precondition, "MAGIC_LINK_PENDING", "Nobody has typed the code yet. Ask again in a few seconds.").WithRetryAfter(pollEvery)
		}
		return s.admit(ctx, tx, e, *r, m)
	})
}

// admit makes a sign-in of a request, once.
func (s *Service) admit(ctx context.Context, tx db.TenantTx, e tenants.Entry, r request, m auth.Meta) (auth.SignIn, error) {
	first, err := exchanged(ctx, tx, r.id, s.Now())
	if err != nil {
		return auth.SignIn{}, err
	}
	revision, err := revisionOf(ctx, tx, r)
	if err != nil {
		return auth.SignIn{}, err
	}
	if !first || revision == 0 {
		return auth.SignIn{}, errExchange()
	}
	in, err := s.Auth.Admit(ctx, tx, e, auth.Entrance{
		User: *r.user, Revision: revision, Method: auth.MethodMagicLink, AMR: []string{amrEmail}, AAL: auth.OneFactor,
	}, m)
	if apperr.ReasonOf(err) == "LOGIN_FAILED" {
		err = errExchange()
	}
	return in, err
}

func (s *Service) audit(ctx context.Context, tx db.TenantTx, id uuid.UUID, action string, m auth.Meta) error {
	r, err := find(ctx, tx, id)
	if err != nil || r == nil || r.user == nil {
		return err
	}
	return audit.Write(ctx, tx, s.Now(), audit.Entry{
		Actor: audit.User(ids.User(*r.user)), Action: action, TargetKind: "magic_link", TargetID: id, TenantID: tx.Tenant(), RequestID: m.RequestID,
	})
}
