package auth

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"net/netip"
	"time"

	"github.com/google/uuid"

	"tenantry/internal/apperr"
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
// same and costs one hash.
func (s *Service) Login(ctx context.Context, l *db.Lease, e tenants.Entry, in LoginInput, m Meta) (SignIn, error) {
	a, err := findAccount(ctx, l, secrets.NormalizeEmail(in.Email))
	if err != nil {
		return SignIn{}, err
	}
	ok, renew, err := s.hasher.Verify(ctx, a.passwordHash, in.Password)
	if err != nil {
		return SignIn{}, err
	}
	if !ok {
		return SignIn{}, s.refuse(ctx, l, a, in, m)
	}
	entrance := Entrance{User: a.id, Revision: a.revision, Method: MethodPassword, AMR: []string{"pwd"}, AAL: OneFactor}
	if renew {
		if entrance.Rehashed, err = s.hasher.Hash(ctx, in.Password); err != nil {
			return SignIn{}, err
		}
	}
	r, err := db.InTenant(ctx, l, func(tx db.TenantTx) (SignIn, error) { return s.Admit(ctx, tx, e, entrance, m) })
	s.ring(ctx, l, err)
	return r, err
}

func (s *Service) refuse(ctx context.Context, l *db.Lease, a account, in LoginInput, m Meta) error {
	_, err := db.InTenant(ctx, l, func(tx db.TenantTx) (struct{}, error) {
		ev := event{at: s.now(), outcome: outcomeFailure, method: MethodPassword, ipHash: ipHash(l.Key, m.IP, s.now())}
		if a.id != uuid.Nil {
			ev.user = &a.id
		} else {
			ev.addressHash = l.Key.AddressHash(in.Email)
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
