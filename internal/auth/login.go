package auth

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"net/netip"
	"time"

	"github.com/google/uuid"

	"tenantry/internal/apperr"
	"tenantry/internal/audit"
	"tenantry/internal/db"
	"tenantry/internal/ids"
	"tenantry/internal/secrets"
	"tenantry/internal/tenants"
)

// sessionTTL is how long a session lives at the most.
const sessionTTL = 30 * 24 * time.Hour

// LoginInput is a password login.
type LoginInput struct{ Email, Password string }

// LoginResult is a session and its access token.
type LoginResult struct {
	AccessToken    string
	ExpiresIn      time.Duration
	Session        ids.Session
	SessionExpires time.Time
}

func errLogin() error {
	return apperr.New(apperr.Unauthenticated, "LOGIN_FAILED", "The address or the password is not right.")
}

// Login answers an access token for a password. Every failure reads the same
// and costs one hash.
func (s *Service) Login(ctx context.Context, l *db.Lease, e tenants.Entry, in LoginInput, m Meta) (LoginResult, error) {
	a, err := findAccount(ctx, l, secrets.NormalizeEmail(in.Email))
	if err != nil {
		return LoginResult{}, err
	}
	ok, renew, err := s.hasher.Verify(ctx, a.passwordHash, in.Password)
	if err != nil {
		return LoginResult{}, err
	}
	if !ok {
		return LoginResult{}, s.refuse(ctx, l, a, in, m)
	}
	var rehashed string
	if renew {
		if rehashed, err = s.hasher.Hash(ctx, in.Password); err != nil {
			return LoginResult{}, err
		}
	}
	return s.admit(ctx, l, e, a, rehashed, m)
}

func (s *Service) refuse(ctx context.Context, l *db.Lease, a account, in LoginInput, m Meta) error {
	_, err := db.InTenant(ctx, l, func(tx db.TenantTx) (struct{}, error) {
		ev := event{at: s.now(), outcome: "failure", ipHash: ipHash(l.Key, m.IP, s.now())}
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

func (s *Service) admit(ctx context.Context, l *db.Lease, e tenants.Entry, a account, rehashed string, m Meta) (LoginResult, error) {
	now := s.now()
	ses := session{id: ids.New(), user: a.id, at: now, expires: now.Add(sessionTTL)}
	revision, err := db.InTenant(ctx, l, func(tx db.TenantTx) (int64, error) {
		// Between the hash and here the account may have changed.
		revision, err := countLogin(ctx, tx, a, rehashed, now)
		if err != nil {
			return 0, err
		}
		if err := insertSession(ctx, tx, ses); err != nil {
			return 0, err
		}
		if err := insertEvent(ctx, tx, event{at: now, outcome: "success", user: &a.id, ipHash: ipHash(l.Key, m.IP, now)}); err != nil {
			return 0, err
		}
		return revision, audit.Write(ctx, tx, now, audit.Entry{
			Actor: audit.User(ids.User(a.id)), Action: "session.created", TargetKind: "session", TargetID: ses.id,
			TenantID: l.Tenant, RequestID: m.RequestID, After: map[string]any{"amr": []string{"pwd"}},
		})
	})
	if err != nil {
		return LoginResult{}, err
	}
	c := Claims{User: ids.User(a.id), Session: ids.Session(ses.id), Version: revision, AAL: 1, AuthTime: now}
	token, err := s.tokens.sign(e, c, []string{"pwd"})
	if err != nil {
		return LoginResult{}, err
	}
	return LoginResult{AccessToken: token, ExpiresIn: accessTTL, Session: c.Session, SessionExpires: ses.expires}, nil
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
