// Package recovery is what an account's owner does about its password and its
// address (A10, A11), and about what somebody else did to it (A14).
//
// No answer tells whether an account exists: what is asked for by address is
// a mail intent with the keyed hash of the address, and the worker decides. A
// link proves that a mailbox is read and nothing more: none of them opens a
// session, and a second factor stays required.
//
// Whoever takes an account over leaves things behind. Therefore a new password
// ends the other sessions and a change of address that still waits, and
// locking an account down ends its keys too.
//
// The first lock is always that of the account's row; one-time values,
// changes and the outbox follow. The mailer goes from the outbox to one-time
// values and locks no account.
package recovery

import (
	"context"
	"time"

	"github.com/google/uuid"

	"tenantry/internal/apperr"
	"tenantry/internal/audit"
	"tenantry/internal/auth"
	"tenantry/internal/clock"
	"tenantry/internal/db"
	"tenantry/internal/ids"
	"tenantry/internal/onetime"
	"tenantry/internal/outbox"
	"tenantry/internal/rbac"
)

// Lifetimes of links.
const (
	resetTTL  = 30 * time.Minute
	changeTTL = 24 * time.Hour
	undoTTL   = 14 * 24 * time.Hour
)

// The pages behind the links.
const (
	ResetPage     = "/m/reset"
	EmailPage     = "/m/email"
	EmailUndoPage = "/m/email-undo"
)

// What the addresses of a change are sealed for.
const (
	sealOld = "email-change/old"
	sealNew = "email-change/new"
)

// Templates of the mails this package asks for; they name mail rows too.
const (
	MailReset        = "password_reset"
	MailSecured      = "account_secured"
	MailEmailChange  = "email_change"
	MailEmailChanged = "email_changed"
)

// Deps is what the service uses. The worker, which drafts mails, needs the
// clock alone.
type Deps struct {
	Now    clock.Clock
	Hasher *auth.Hasher
	Auth   *auth.Service
	Bell   *outbox.Bell
}

// Service recovers accounts.
type Service struct{ Deps }

// New makes the service.
func New(d Deps) *Service { return &Service{d} }

// ring wakes the relay after a commit.
func (s *Service) ring(ctx context.Context, l *db.Lease, err error) {
	if err == nil {
		s.Bell.Ring(ctx, l.Tenant)
	}
}

// Check answers a look at a link of a purpose: whether redeeming it would
// work. It uses nothing.
func (s *Service) Check(purpose string) func(context.Context, *db.Lease, string) error {
	return func(ctx context.Context, l *db.Lease, token string) error {
		_, err := db.InTenantRead(ctx, l, func(tx db.TenantTx) (account, error) { return holder(ctx, tx, purpose, token, s.Now()) })
		return err
	}
}

// redeem uses a link up and answers its account, locked, and its subject.
func (s *Service) redeem(ctx context.Context, tx db.TenantTx, purpose, token string) (account, uuid.UUID, error) {
	now := s.Now()
	a, err := holder(ctx, tx, purpose, token, now)
	if err != nil {
		return account{}, uuid.Nil, err
	}
	// The account's lock first; of those who wait for it, one redeems.
	if a, err = lock(ctx, tx, a.id); err != nil {
		return account{}, uuid.Nil, err
	}
	subject, err := onetime.Redeem(ctx, tx, purpose, token, now)
	return a, subject, err
}

// self locks the caller's own account.
func self(ctx context.Context, tx db.TenantTx, id ids.User) (account, error) {
	a, err := lock(ctx, tx, id.UUID())
	return a, ofCaller(err)
}

// ofCaller refuses a caller whose account was deleted since they were let in.
func ofCaller(err error) error {
	if apperr.KindOf(err) == apperr.Invalid {
		return rbac.ErrEnded()
	}
	return err
}

// entry is the audit row of what an account's owner did.
func entry(tx db.TenantTx, user uuid.UUID, action string, m auth.Meta, after map[string]any) audit.Entry {
	return audit.Entry{
		Actor: audit.User(ids.User(user)), Action: action, TargetKind: "user", TargetID: user,
		TenantID: tx.Tenant(), RequestID: m.RequestID, After: after,
	}
}
