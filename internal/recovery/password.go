package recovery

import (
	"context"
	"time"

	"tenantry/internal/apperr"
	"tenantry/internal/attempts"
	"tenantry/internal/audit"
	"tenantry/internal/auth"
	"tenantry/internal/db"
	"tenantry/internal/ids"
	"tenantry/internal/magiclink"
	"tenantry/internal/notices"
	"tenantry/internal/onetime"
	"tenantry/internal/outbox"
	"tenantry/internal/rbac"
	"tenantry/internal/tenants"
)

// checkPassword refuses a new password of an account, and says whether it is
// good only beside a second factor.
func checkPassword(ctx context.Context, tx db.TenantTx, e tenants.Entry, a account, password string) (short bool, err error) {
	words, err := auth.PasswordWords(ctx, tx, e, a.name, a.email)
	if err != nil {
		return false, err
	}
	short = auth.PasswordLength(password) < auth.MinPassword
	return short, auth.CheckNewPassword(password, auth.PasswordContext{SecondFactor: a.secondFactor, Words: words})
}

// RequestReset asks for a mail to choose a new password. The intent carries
// only the keyed hash of the address.
func (s *Service) RequestReset(ctx context.Context, l *db.Lease, email string, m auth.Meta) error {
	if err := auth.CheckEmail(email); err != nil {
		return err
	}
	now := s.Now()
	_, err := db.InTenant(ctx, l, func(tx db.TenantTx) (struct{}, error) {
		intent := outbox.MailIntent{Template: MailReset, Tenant: l.Tenant, AddressHash: l.Key.AddressHash(email)}
		if err := outbox.Mail(ctx, tx, now, intent); err != nil {
			return struct{}{}, err
		}
		return struct{}{}, audit.Write(ctx, tx, now, audit.Entry{
			Actor: audit.Anonymous, Action: "password.reset_requested", TargetKind: "tenant", TargetID: l.Tenant.UUID(), TenantID: l.Tenant, RequestID: m.RequestID,
		})
	})
	s.ring(ctx, l, err)
	return err
}

// ResetInput redeems a link of a reset mail.
type ResetInput struct{ Token, Password string }

// Reset sets the password of whoever holds the link. It opens no session and
// takes no second factor away; it ends every session, makes every device a
// stranger, and unlocks a password that guesses or its owner had locked.
func (s *Service) Reset(ctx context.Context, l *db.Lease, e tenants.Entry, in ResetInput, m auth.Meta) error {
	// What will not be taken is refused before it costs a hash.
	_, err := db.InTenantRead(ctx, l, func(tx db.TenantTx) (bool, error) {
		a, err := holder(ctx, tx, onetime.Reset, in.Token, s.Now())
		if err != nil {
			return false, err
		}
		return checkPassword(ctx, tx, e, a, in.Password)
	})
	if err != nil {
		return err
	}
	hash, err := s.Hasher.Hash(ctx, in.Password)
	if err != nil {
		return err
	}
	_, err = db.InTenant(ctx, l, func(tx db.TenantTx) (struct{}, error) {
		a, _, err := s.redeem(ctx, tx, onetime.Reset, in.Token)
		if err != nil {
			return struct{}{}, err
		}
		// The factor may have gone since.
		short, err := checkPassword(ctx, tx, e, a, in.Password)
		if err != nil {
			return struct{}{}, err
		}
		return struct{}{}, s.reset(ctx, tx, a, newPassword{hash: hash, short: short}, m)
	})
	s.ring(ctx, l, err)
	return err
}

func (s *Service) reset(ctx context.Context, tx db.TenantTx, a account, p newPassword, m auth.Meta) error {
	now := s.Now()
	if err := setPassword(ctx, tx, a.id, p); err != nil {
		return err
	}
	if err := forgetDevices(ctx, tx, a.id); err != nil {
		return err
	}
	ended, err := s.endOthers(ctx, tx, a, ids.Session{})
	if err != nil {
		return err
	}
	for _, kind := range []string{attempts.Stranger, attempts.Known} {
		if err := attempts.Clear(ctx, tx, kind, tx.DataKey().AddressHash(a.email), now); err != nil {
			return err
		}
	}
	if err := notices.Write(ctx, tx, now, notices.PasswordChanged, a.id); err != nil {
		return err
	}
	return audit.Write(ctx, tx, now, entry(tx, a.id, "password.reset", m, map[string]any{"sessions_revoked": ended}))
}

// endOthers ends what opens the account beside one session, or beside none:
// sessions, mailed links, and changes of address that wait. Whoever knew the old
// password may have begun them.
func (s *Service) endOthers(ctx context.Context, tx db.TenantTx, a account, keep ids.Session) (int, error) {
	now := s.Now()
	if err := endPending(ctx, tx, a, now); err != nil {
		return 0, err
	}
	return auth.EndSessions(ctx, tx, ids.User(a.id), keep, now)
}

// endLinks ends the mailed links that open the account: of resets and of logins.
func endLinks(ctx context.Context, tx db.TenantTx, a account, now time.Time) error {
	if err := onetime.Void(ctx, tx, onetime.Reset, a.id, now); err != nil {
		return err
	}
	return magiclink.End(ctx, tx, a.id, tx.DataKey().AddressHash(a.email), now)
}

// endPending ends what was begun by mail: links, and changes of address that wait.
func endPending(ctx context.Context, tx db.TenantTx, a account, now time.Time) error {
	if err := cancelChanges(ctx, tx, a.id, now); err != nil {
		return err
	}
	return endLinks(ctx, tx, a, now)
}

// EndPending ends what was begun by mail of an account that is about to be
// deleted: none of it works after a restore.
func EndPending(ctx context.Context, tx db.TenantTx, id ids.User, now time.Time) error {
	a, err := find(ctx, tx, `id = $1`, id.UUID())
	if err != nil {
		return err
	}
	return endPending(ctx, tx, a, now)
}

// ChangePassword sets the caller's password. Their session goes on with a new
// access token; every other one ends.
func (s *Service) ChangePassword(ctx context.Context, l *db.Lease, e tenants.Entry, p auth.Principal, password string, m auth.Meta) (auth.Tokens, error) {
	_, err := db.InTenantRead(ctx, l, func(tx db.TenantTx) (bool, error) {
		a, err := find(ctx, tx, `id = $1`, p.User.UUID())
		if err != nil {
			return false, ofCaller(err)
		}
		return checkPassword(ctx, tx, e, a, password)
	})
	if err != nil {
		return auth.Tokens{}, err
	}
	hash, err := s.Hasher.Hash(ctx, password)
	if err != nil {
		return auth.Tokens{}, err
	}
	t, err := db.InTenant(ctx, l, func(tx db.TenantTx) (auth.Tokens, error) {
		a, err := self(ctx, tx, p.User)
		if err != nil {
			return auth.Tokens{}, err
		}
		short, err := checkPassword(ctx, tx, e, a, password)
		if err != nil {
			return auth.Tokens{}, err
		}
		if err := setPassword(ctx, tx, a.id, newPassword{hash: hash, short: short}); err != nil {
			return auth.Tokens{}, err
		}
		ended, err := s.endOthers(ctx, tx, a, p.Session)
		if err != nil {
			return auth.Tokens{}, err
		}
		if err := notices.Write(ctx, tx, s.Now(), notices.PasswordChanged, a.id); err != nil {
			return auth.Tokens{}, err
		}
		if err := audit.Write(ctx, tx, s.Now(), entry(tx, a.id, "password.changed", m, map[string]any{"sessions_revoked": ended})); err != nil {
			return auth.Tokens{}, err
		}
		// Refused where the session has ended meanwhile: then nothing happened.
		t, err := s.Auth.Reissue(ctx, tx, e, p.Session)
		if apperr.KindOf(err) == apperr.Unauthenticated {
			err = rbac.ErrEnded()
		}
		return t, err
	})
	s.ring(ctx, l, err)
	return t, err
}
