// Package factors keeps second factors (A6, A7, A13): TOTP codes of an
// authenticator app (RFC 6238), backup codes that stand in for them, the calls
// that end a login with one, and what happens when one is lost.
//
// A code works once, whatever is restarted, rolled back or repeated in
// parallel: a TOTP step by compare-and-swap on the newest step that was used,
// a backup code by its row. Every guess is counted before it is checked, in a
// transaction of its own. Whatever adds or takes a factor is told to its
// person, and is in the audit log, in the same transaction.
package factors

import (
	"context"
	"time"

	"github.com/google/uuid"

	"tenantry/internal/apperr"
	"tenantry/internal/attempts"
	"tenantry/internal/audit"
	"tenantry/internal/auth"
	"tenantry/internal/clock"
	"tenantry/internal/db"
	"tenantry/internal/ids"
	"tenantry/internal/notices"
	"tenantry/internal/outbox"
	"tenantry/internal/tenants"
)

// attackedAt is how many guesses in a row are told to the person: whoever makes
// them knows the password.
const attackedAt = 10

// Deps is what the service uses.
type Deps struct {
	Now    clock.Clock
	Auth   *auth.Service
	Hasher *auth.Hasher
	// Router and Central are for what operators do in a tenant.
	Router  *tenants.Router
	Central *db.Central
	Bell    *outbox.Bell
}

// Service keeps second factors.
type Service struct {
	now     clock.Clock
	auth    *auth.Service
	hasher  *auth.Hasher
	router  *tenants.Router
	central *db.Central
	bell    *outbox.Bell
}

// New makes the service.
func New(d Deps) *Service {
	return &Service{now: d.Now, auth: d.Auth, hasher: d.Hasher, router: d.Router, central: d.Central, bell: d.Bell}
}

// Status is what a person has.
type Status struct {
	// EnabledAt is nil without a factor.
	EnabledAt *time.Time
	// BackupCodes are left.
	BackupCodes int
	// Required by the tenant or a role.
	Required bool
	// Due is until when it must be enrolled; nil when none is missing.
	Due *time.Time
}

// Get answers what a person has.
func (s *Service) Get(ctx context.Context, l *db.Lease, user ids.User) (Status, error) {
	return db.InTenantRead(ctx, l, func(tx db.TenantTx) (Status, error) {
		out, err := status(ctx, tx, user.UUID())
		if err != nil {
			return Status{}, err
		}
		out.Required, _, err = auth.FactorRequired(ctx, tx, user.UUID())
		if !out.Required || out.EnabledAt != nil {
			out.Due = nil
		}
		return out, err
	})
}

// Code is a code as somebody shows it: one of the two.
type Code struct{ TOTP, Backup string }

func (c Code) method() string {
	if c.Backup != "" {
		return auth.MethodBackupCode
	}
	return auth.MethodTOTP
}

// Validate refuses what is no code at all, before anything is counted.
func (c Code) Validate() error {
	switch {
	case c.TOTP == "" && c.Backup == "":
		return apperr.InvalidField("totp_code", "required", "give totp_code or backup_code")
	case c.Backup == "" && !isTOTP(c.TOTP):
		return apperr.InvalidField("totp_code", "string.pattern", "must be exactly six ASCII digits")
	}
	return nil
}

func errMFA() error {
	return apperr.New(apperr.Unauthenticated, "MFA_FAILED", "The code is not right, has been used, or came too soon after wrong ones.")
}

func errMissing() error {
	return apperr.New(apperr.Precondition, "FACTOR_MISSING", "There is no second factor, or none that waits to be confirmed. Enrol one with POST /v1/me/totp.")
}

func errExists() error {
	return apperr.New(apperr.Precondition, "FACTOR_EXISTS", "The account has a second factor already. Disable it first.")
}

// reserve counts a guess at a person's codes; refused is the answer to one that
// may not be checked. The person is told of the tenth in a row where it is
// counted, not where it proves wrong: whoever hangs up before that has guessed,
// too. Should the tenth be right, there were nine that were not.
func (s *Service) reserve(ctx context.Context, l *db.Lease, user uuid.UUID, refused error, m auth.Meta) error {
	v, err := attempts.ReserveAnd(ctx, l, s.now(), attempts.MFA, attempts.OfUser(l.Key, user), &user, func(tx db.TenantTx, failures int) error {
		if failures != attackedAt {
			return nil
		}
		if err := notices.Write(ctx, tx, s.now(), notices.FactorAttacked, user); err != nil {
			return err
		}
		return s.audit(ctx, tx, audit.System, "factor.attacked", user, m.RequestID, map[string]any{"failures": failures})
	})
	switch {
	case err != nil:
		return err
	case !v.Allowed:
		return refused
	case v.Failures == attackedAt:
		s.ring(ctx, l, nil)
	}
	return nil
}

func (s *Service) clear(ctx context.Context, tx db.TenantTx, user uuid.UUID) error {
	return attempts.Clear(ctx, tx, attempts.MFA, attempts.OfUser(tx.DataKey(), user), s.now())
}

func (s *Service) audit(ctx context.Context, tx db.TenantTx, by audit.Actor, action string, user uuid.UUID, request string, after map[string]any) error {
	return audit.Write(ctx, tx, s.now(), audit.Entry{
		Actor: by, Action: action, TargetKind: "user", TargetID: user, TenantID: tx.Tenant(), RequestID: request, After: after,
	})
}

// ring makes the relay prompt after a mail row was committed.
func (s *Service) ring(ctx context.Context, l *db.Lease, err error) {
	if err == nil {
		s.bell.Ring(ctx, l.Tenant)
	}
}
