package auth

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"net/netip"
	"time"

	"tenantry/internal/apperr"
	"tenantry/internal/attempts"
	"tenantry/internal/db"
	"tenantry/internal/secrets"
	"tenantry/internal/tenants"
)

// LoginInput is a password login.
type LoginInput struct{ Email, Password string }

func errLogin() error {
	return apperr.New(apperr.Unauthenticated, "LOGIN_FAILED", "The address or the password is not right.")
}

// Login answers tokens for a password, or a challenge. Every failure reads the
// same and costs the same: one look for the account, one count, one hash, one
// event, whether the account is known, unknown, deleted, locked or waiting.
func (s *Service) Login(ctx context.Context, l *db.Lease, e tenants.Entry, in LoginInput, m Meta) (SignIn, error) {
	// Whoever is turned away for lack of room has not guessed.
	leave, err := s.hasher.Enter(ctx)
	if err != nil {
		return SignIn{}, err
	}
	defer leave()
	try := attempt{subject: l.Key.AddressHash(in.Email), kind: attempts.Stranger}
	a, err := findAccount(ctx, l, secrets.NormalizeEmail(in.Email))
	if err != nil {
		return SignIn{}, err
	}
	if d, ok := readDevice(l.Key, m.DeviceToken, s.now()); ok && d.of(a.id, a.deviceEpoch) {
		try.kind = attempts.Known
	}
	// Counted before it is checked: a hundred guesses at once are a hundred.
	verdict, err := attempts.Reserve(ctx, l, s.now(), try.kind, try.subject, a.user())
	if err != nil {
		return SignIn{}, err
	}
	stored := a.passwordHash
	if !verdict.Allowed {
		stored = ""
	}
	ok, renew, err := s.hasher.Verify(ctx, stored, in.Password)
	if err != nil {
		return SignIn{}, err
	}
	if !ok {
		try.outcome = outcomeFailure
		if !verdict.Allowed {
			try.outcome = outcomeBlocked
		}
		return SignIn{}, s.refuse(ctx, l, a, try, m)
	}
	entrance := Entrance{User: a.id, Revision: a.revision, Method: MethodPassword, AMR: []string{"pwd"}, AAL: OneFactor}
	if renew {
		if entrance.Rehashed, err = s.hasher.Hash(ctx, in.Password); err != nil {
			return SignIn{}, err
		}
	}
	r, err := db.InTenant(ctx, l, func(tx db.TenantTx) (SignIn, error) {
		r, err := s.Admit(ctx, tx, e, entrance, m)
		if err != nil {
			return r, err
		}
		return r, attempts.Clear(ctx, tx, try.kind, try.subject, s.now())
	})
	s.ring(ctx, l, err)
	return r, err
}

// attempt is one guess at a password.
type attempt struct {
	subject []byte
	kind    string
	outcome string
}

func (s *Service) refuse(ctx context.Context, l *db.Lease, a account, try attempt, m Meta) error {
	_, err := db.InTenant(ctx, l, func(tx db.TenantTx) (struct{}, error) {
		ev := event{at: s.now(), outcome: try.outcome, method: MethodPassword, user: a.user(), ipHash: ipHash(l.Key, m.IP, s.now())}
		if ev.user == nil {
			ev.addressHash = try.subject
		}
		return struct{}{}, insertEvent(ctx, tx, ev)
	})
	if err != nil {
		return err
	}
	return errLogin()
}

// ipHash is the keyed hash of an address's prefix (IPv4 /24, IPv6 /64) under a
// key that changes each month: who came from where cannot be joined for ever.
func ipHash(key secrets.DataKey, ip netip.Addr, now time.Time) []byte {
	if !ip.IsValid() {
		return nil
	}
	bits := 64
	if ip = ip.Unmap(); ip.Is4() {
		bits = 24
	}
	p, err := ip.Prefix(bits)
	if err != nil {
		return nil
	}
	m := hmac.New(sha256.New, key.Derive("ip-hash/"+now.Format("2006-01")))
	m.Write([]byte(p.String()))
	return m.Sum(nil)[:16]
}
