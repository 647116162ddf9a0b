// Package invitations invites people and makes members of them (U3). An
// invitation is accepted only by whoever holds the link sent to its address,
// once, and only while its inviter could still give what it gives.
//
// The first owner's invitation has no inviter and stands for the owner until
// it is accepted (U8).
//
// Rows are locked in this order: outbox, one-time values, invitation. The
// mailer, which mints the tokens, and whoever redeems them do the same.
package invitations

import (
	"context"
	"time"

	"github.com/google/uuid"

	"tenantry/internal/audit"
	"tenantry/internal/auth"
	"tenantry/internal/clock"
	"tenantry/internal/db"
	"tenantry/internal/ids"
	"tenantry/internal/onetime"
	"tenantry/internal/outbox"
	"tenantry/internal/rbac"
	"tenantry/internal/secrets"
	"tenantry/internal/settings"
	"tenantry/internal/subjects"
	"tenantry/internal/tenants"
)

// TTL is how long an invitation waits.
const TTL = 7 * 24 * time.Hour

// MailInvitation is the template of the invitation mail.
const MailInvitation = "invitation"

const sealEmail = "invitation/email"

// AcceptInput redeems an invitation.
type AcceptInput struct{ Token, Name, Password string }

// Validate names the first field that is out of bounds.
func (in AcceptInput) Validate() error {
	if err := auth.CheckName(in.Name); err != nil {
		return err
	}
	return auth.CheckNewPassword(in.Password, auth.PasswordContext{})
}

// Service manages invitations.
type Service struct {
	now    clock.Clock
	hasher *auth.Hasher
	bell   *outbox.Bell
}

// New makes the service; the worker needs no hasher and no bell.
func New(now clock.Clock, h *auth.Hasher, bell *outbox.Bell) *Service {
	return &Service{now: now, hasher: h, bell: bell}
}

// InviteOwner writes the first owner's invitation and its mail intent, once.
func InviteOwner(ctx context.Context, tx db.TenantTx, email string, now time.Time) error {
	done, err := ownerInvited(ctx, tx)
	if err != nil || done {
		return err
	}
	return inviteOwner(ctx, tx, ids.New(), email, now)
}

func inviteOwner(ctx context.Context, tx db.TenantTx, id uuid.UUID, email string, now time.Time) error {
	doc, err := settings.Load(ctx, tx)
	if err != nil {
		return err
	}
	owner, err := rbac.RoleID(ctx, tx, rbac.Owner)
	if err != nil {
		return err
	}
	subject, sealedKey, err := secrets.NewSubjectKey(tx.DataKey())
	if err != nil {
		return err
	}
	sealed, err := subject.Seal(email, sealEmail)
	if err != nil {
		return err
	}
	inv := invitationRow{
		id: id, subjectKey: subject.ID, email: sealed, addressHash: tx.DataKey().AddressHash(email),
		roles: []uuid.UUID{owner}, locale: doc.Language, at: now, expires: now.Add(TTL),
	}
	if err := insert(ctx, tx, inv, sealedKey); err != nil {
		return err
	}
	intent := outbox.MailIntent{Template: MailInvitation, Tenant: tx.Tenant(), SubjectID: inv.id, Locale: inv.locale}
	if err := outbox.Mail(ctx, tx, now, intent); err != nil {
		return err
	}
	return audit.Write(ctx, tx, now, audit.Entry{
		Actor: audit.System, Action: "invitation.created", TargetKind: "invitation", TargetID: inv.id, TenantID: tx.Tenant(),
		After: map[string]any{"roles": []string{rbac.Owner}},
	})
}

// Check reports whether a link would still be accepted; it uses nothing.
func (s *Service) Check(ctx context.Context, l *db.Lease, token string) error {
	_, err := db.InTenantRead(ctx, l, func(tx db.TenantTx) (struct{}, error) {
		id, err := onetime.Check(ctx, tx, onetime.Invitation, token, s.now())
		if err != nil {
			return struct{}{}, err
		}
		_, err = valid(ctx, tx, id, s.now(), false)
		return struct{}{}, err
	})
	return err
}

// Accept makes the account of an invited person.
func (s *Service) Accept(ctx context.Context, l *db.Lease, e tenants.Entry, in AcceptInput, m auth.Meta) (ids.User, error) {
	if err := in.Validate(); err != nil {
		return ids.User{}, err
	}
	// A token that will not be taken is refused before it costs a hash.
	words, err := s.passwordWords(ctx, l, e, in)
	if err != nil {
		return ids.User{}, err
	}
	if err := auth.CheckNewPassword(in.Password, auth.PasswordContext{Words: words}); err != nil {
		return ids.User{}, err
	}
	hash, err := s.hasher.Hash(ctx, in.Password)
	if err != nil {
		return ids.User{}, err
	}
	return db.InTenant(ctx, l, func(tx db.TenantTx) (ids.User, error) {
		now := s.now()
		id, err := onetime.Redeem(ctx, tx, onetime.Invitation, in.Token, now)
		if err != nil {
			return ids.User{}, err
		}
		inv, err := valid(ctx, tx, id, now, true)
		if err != nil {
			return ids.User{}, err
		}
		u := auth.NewUser{ID: ids.New(), SubjectKey: inv.subjectKey, Name: in.Name, PasswordHash: hash, Locale: inv.locale}
		if u.Email, err = address(ctx, tx, inv); err != nil {
			return ids.User{}, err
		}
		return s.join(ctx, tx, inv, u, m, now)
	})
}

// passwordWords answers what the password of an invited person may not be made
// of, if the link would be taken.
func (s *Service) passwordWords(ctx context.Context, l *db.Lease, e tenants.Entry, in AcceptInput) ([]string, error) {
	return db.InTenantRead(ctx, l, func(tx db.TenantTx) ([]string, error) {
		id, err := onetime.Check(ctx, tx, onetime.Invitation, in.Token, s.now())
		if err != nil {
			return nil, err
		}
		inv, err := valid(ctx, tx, id, s.now(), false)
		if err != nil {
			return nil, err
		}
		email, err := address(ctx, tx, inv)
		if err != nil {
			return nil, err
		}
		return auth.PasswordWords(ctx, tx, e, in.Name, email)
	})
}

// address opens the address that was invited.
func address(ctx context.Context, tx db.TenantTx, inv invitationRow) (string, error) {
	k, err := subjects.Key(ctx, tx, inv.subjectKey)
	if err != nil {
		return "", err
	}
	return k.Open(inv.email, sealEmail)
}

func (s *Service) join(ctx context.Context, tx db.TenantTx, inv invitationRow, u auth.NewUser, m auth.Meta, now time.Time) (ids.User, error) {
	if err := auth.CreateUser(ctx, tx, u, inv.roles, now); err != nil {
		return ids.User{}, err
	}
	if err := accepted(ctx, tx, inv.id, now); err != nil {
		return ids.User{}, err
	}
	return ids.User(u.ID), audit.Write(ctx, tx, now, audit.Entry{
		Actor: audit.User(ids.User(u.ID)), Action: "invitation.accepted", TargetKind: "invitation", TargetID: inv.id,
		TenantID: tx.Tenant(), RequestID: m.RequestID, After: map[string]any{"user_id": u.ID},
	})
}
