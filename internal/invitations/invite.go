package invitations

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"tenantry/internal/apperr"
	"tenantry/internal/audit"
	"tenantry/internal/auth"
	"tenantry/internal/db"
	"tenantry/internal/ids"
	"tenantry/internal/outbox"
	"tenantry/internal/rbac"
	"tenantry/internal/secrets"
	"tenantry/internal/settings"
)

// States of an invitation.
const (
	Open     = "open"
	Expired  = "expired"
	Accepted = "accepted"
	Revoked  = "revoked"
)

// maxRoles is the most roles an invitation gives.
const maxRoles = 20

// Invitation is an invitation as lists show it.
type Invitation struct {
	ID uuid.UUID
	// Email is empty once the person has been erased.
	Email string
	Roles []uuid.UUID
	State string
	// Inviter is the person or service account; nil for the first owner's.
	Inviter              *uuid.UUID
	Locale               string
	CreatedAt, ExpiresAt time.Time
	AcceptedAt           *time.Time
	RevokedAt            *time.Time
	Version              int64
}

func (r invitationRow) shown(email string, now time.Time) Invitation {
	i := Invitation{
		ID: r.id, Email: email, Roles: r.roles, State: Open, Inviter: r.inviter, Locale: r.locale, CreatedAt: r.at, ExpiresAt: r.expires,
		AcceptedAt: r.accepted, RevokedAt: r.revoked, Version: r.version,
	}
	switch {
	case r.accepted != nil:
		i.State = Accepted
	case r.revoked != nil:
		i.State = Revoked
	case !r.expires.After(now):
		i.State = Expired
	}
	return i
}

// CreateInput invites an address.
type CreateInput struct {
	Email string
	// Roles of the account; none stands for the member role.
	Roles []uuid.UUID
	// Locale is one of settings.Languages; empty stands for the tenant's.
	Locale string
}

// Validate names the first field that is out of bounds.
func (in CreateInput) Validate() error {
	if err := auth.CheckEmail(in.Email); err != nil {
		return err
	}
	if len(in.Roles) > maxRoles {
		return apperr.InvalidField("role_ids", "repeated.max_items", "must be at most 20 roles")
	}
	for i, id := range in.Roles {
		if slices.Contains(in.Roles[:i], id) {
			return apperr.InvalidField("role_ids", "repeated.unique", "must name each role once")
		}
	}
	if in.Locale != "" && !slices.Contains(settings.Languages, in.Locale) {
		return apperr.InvalidField("locale", "string.in", "must be one of "+strings.Join(settings.Languages, ", "))
	}
	return nil
}

// Create invites an address to roles within the actor's own permissions.
func (s *Service) Create(ctx context.Context, l *db.Lease, by rbac.Actor, in CreateInput, mark *db.Mark[Invitation]) (Invitation, error) {
	if err := in.Validate(); err != nil {
		return Invitation{}, err
	}
	inv, err := db.InTenantOnce(ctx, l, mark, func(tx db.TenantTx) (Invitation, error) {
		// No role may go, and nobody else may invite the address, meanwhile.
		if err := rbac.LockGrants(ctx, tx); err != nil {
			return Invitation{}, err
		}
		roles, err := wantedRoles(ctx, tx, in.Roles)
		if err != nil {
			return Invitation{}, err
		}
		if err := by.CheckGrant(rbac.Union(roles)); err != nil {
			return Invitation{}, err
		}
		if err := checkAccount(ctx, tx, by, in.Email); err != nil {
			return Invitation{}, err
		}
		return s.invite(ctx, tx, by, in, roles)
	})
	s.ring(ctx, l, err)
	return inv, err
}

// ring wakes the relay after a commit.
func (s *Service) ring(ctx context.Context, l *db.Lease, err error) {
	if err == nil {
		s.bell.Ring(ctx, l.Tenant)
	}
}

func wantedRoles(ctx context.Context, tx db.TenantTx, wanted []uuid.UUID) ([]rbac.Role, error) {
	if len(wanted) == 0 {
		member, err := rbac.RoleID(ctx, tx, rbac.Member)
		if err != nil {
			return nil, err
		}
		wanted = []uuid.UUID{member}
	}
	return rbac.ByID(ctx, tx, "role_ids", wanted)
}

// checkAccount tells whoever may see people that the address has an account;
// for the others the worker finds out, and writes to the address.
func checkAccount(ctx context.Context, tx db.TenantTx, by rbac.Actor, email string) error {
	if !by.Can("users.read") {
		return nil
	}
	a, err := accountOf(ctx, tx, email)
	if err != nil || a.id == uuid.Nil {
		return err
	}
	e := apperr.New(apperr.AlreadyExists, "ACCOUNT_EXISTS", "email: this person has an account here already.")
	if a.deleted {
		e = apperr.New(apperr.Precondition, "USER_DELETED", "email: this person's account is deleted. Restore it instead of inviting them again.")
	}
	e.Metadata = map[string]string{"userId": a.id.String()}
	return e
}

func (s *Service) invite(ctx context.Context, tx db.TenantTx, by rbac.Actor, in CreateInput, roles []rbac.Role) (Invitation, error) {
	now := s.now()
	subject, sealedKey, err := secrets.NewSubjectKey(tx.DataKey())
	if err != nil {
		return Invitation{}, err
	}
	r := invitationRow{
		id: ids.New(), subjectKey: subject.ID, addressHash: tx.DataKey().AddressHash(in.Email), locale: in.Locale,
		at: now, expires: now.Add(TTL), version: 1,
	}
	for _, role := range roles {
		r.roles = append(r.roles, role.ID)
	}
	if err := makeRoom(ctx, tx, by, r, now); err != nil {
		return Invitation{}, err
	}
	if r.email, err = subject.Seal(in.Email, sealEmail); err != nil {
		return Invitation{}, err
	}
	if r.inviter, err = principal(ctx, tx, by); err != nil {
		return Invitation{}, err
	}
	if r.locale == "" {
		doc, err := settings.Load(ctx, tx)
		if err != nil {
			return Invitation{}, err
		}
		r.locale = doc.Language
	}
	if err := insert(ctx, tx, r, sealedKey); err != nil {
		return Invitation{}, err
	}
	if err := send(ctx, tx, r, now); err != nil {
		return Invitation{}, err
	}
	return r.shown(in.Email, now), write(ctx, tx, now, by, "invitation.created", r.id, map[string]any{"role_ids": r.roles})
}

// makeRoom refuses a second invitation to an address. One that has expired
// makes room, but not the first owner's, which stands for the owner (U8).
func makeRoom(ctx context.Context, tx db.TenantTx, by rbac.Actor, r invitationRow, now time.Time) error {
	old, err := waiting(ctx, tx, r.addressHash)
	if err != nil || old == nil {
		return err
	}
	if old.inviter == nil || old.expires.After(now) {
		e := apperr.Newf(apperr.AlreadyExists, "INVITATION_EXISTS", "email: the invitation %s to this address waits already. Send it again, or revoke it first.", old.id)
		e.Metadata = map[string]string{"invitationId": old.id.String()}
		return e
	}
	if err := setRevoked(ctx, tx, old.id, now); err != nil {
		return err
	}
	return write(ctx, tx, now, by, "invitation.revoked", old.id, map[string]any{"replaced_by": r.id})
}

// principal answers who invites: the person, also behind a key of theirs, or
// the service account.
func principal(ctx context.Context, tx db.TenantTx, by rbac.Actor) (*uuid.UUID, error) {
	if id := by.User.UUID(); id != uuid.Nil {
		return &id, nil
	}
	id, err := keyOwner(ctx, tx, by.ID)
	return &id, err
}

func send(ctx context.Context, tx db.TenantTx, r invitationRow, now time.Time) error {
	return outbox.Mail(ctx, tx, now, outbox.MailIntent{Template: MailInvitation, Tenant: tx.Tenant(), SubjectID: r.id, Locale: r.locale})
}

// write adds an audit row; the address stays out of it.
func write(ctx context.Context, tx db.TenantTx, at time.Time, by rbac.Actor, action string, id uuid.UUID, after map[string]any) error {
	return audit.Write(ctx, tx, at, audit.Entry{
		Actor: by.Actor, Action: action, TargetKind: "invitation", TargetID: id, TenantID: tx.Tenant(), RequestID: by.RequestID, After: after,
	})
}

// Get answers one invitation.
func (s *Service) Get(ctx context.Context, l *db.Lease, id uuid.UUID) (Invitation, error) {
	return db.InTenantRead(ctx, l, func(tx db.TenantTx) (Invitation, error) {
		r, err := load(ctx, tx, id, false)
		if err != nil {
			return Invitation{}, err
		}
		return s.show(ctx, tx, r)
	})
}

func (s *Service) show(ctx context.Context, tx db.TenantTx, r invitationRow) (Invitation, error) {
	out, err := showAll(ctx, tx, []invitationRow{r}, s.now())
	if err != nil {
		return Invitation{}, err
	}
	return out[0], nil
}

func showAll(ctx context.Context, tx db.TenantTx, rows []invitationRow, now time.Time) ([]Invitation, error) {
	keys, err := subjectKeys(ctx, tx, rows)
	if err != nil {
		return nil, err
	}
	out := make([]Invitation, len(rows))
	for i, r := range rows {
		email := ""
		if k, there := keys[r.subjectKey]; there {
			if email, err = k.Open(r.email, sealEmail); err != nil {
				return nil, err
			}
		}
		out[i] = r.shown(email, now)
	}
	return out, nil
}
