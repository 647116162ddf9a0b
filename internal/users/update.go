package users

import (
	"context"
	"slices"
	"strings"
	"time"

	"tenantry/internal/apperr"
	"tenantry/internal/audit"
	"tenantry/internal/auth"
	"tenantry/internal/db"
	"tenantry/internal/ids"
	"tenantry/internal/rbac"
	"tenantry/internal/settings"
)

// Get answers one person with their roles, a deleted one too.
func (s *Service) Get(ctx context.Context, l *db.Lease, id ids.User) (User, error) {
	return db.InTenantRead(ctx, l, func(tx db.TenantTx) (User, error) {
		u, err := load(ctx, tx, id, false)
		if err != nil {
			return User{}, err
		}
		roles, err := rbac.OfUser(ctx, tx, id.UUID())
		return u.holding(roles), err
	})
}

func (u User) holding(roles []rbac.Role) User {
	u.Roles = make([]Role, len(roles))
	for i, r := range roles {
		u.Roles[i] = Role{ID: r.ID, Name: r.Name}
	}
	return u
}

// UpdateInput changes a person; what is nil stays.
type UpdateInput struct {
	ID      ids.User
	Version int64
	Name    *string
	// Locale is the language of mails, one of settings.Languages.
	Locale *string
}

// Validate names the first field that is out of bounds.
func (in UpdateInput) Validate() error {
	if in.Name == nil && in.Locale == nil {
		return apperr.InvalidField("name", "required", "give at least one of name and locale")
	}
	if in.Name != nil {
		if err := auth.CheckName(*in.Name); err != nil {
			return err
		}
	}
	if in.Locale != nil && !slices.Contains(settings.Languages, *in.Locale) {
		return apperr.InvalidField("locale", "string.in", "must be one of "+strings.Join(settings.Languages, ", "))
	}
	return nil
}

// Update changes a person's name or language.
func (s *Service) Update(ctx context.Context, l *db.Lease, by rbac.Actor, in UpdateInput, mark *db.Mark[User]) (User, error) {
	if err := in.Validate(); err != nil {
		return User{}, err
	}
	return db.InTenantOnce(ctx, l, mark, func(tx db.TenantTx) (User, error) {
		u, roles, err := lockActive(ctx, tx, in.ID, in.Version)
		if err != nil {
			return User{}, err
		}
		var changed []string
		if in.Name != nil {
			u.Name, changed = *in.Name, append(changed, "name")
		}
		if in.Locale != nil {
			u.Locale, changed = *in.Locale, append(changed, "locale")
		}
		u.touch(s.now())
		if err := saveProfile(ctx, tx, u); err != nil {
			return User{}, err
		}
		// What the person was and is called stays out of the log.
		return u.holding(roles), write(ctx, tx, u.UpdatedAt, by, "user.updated", u.ID, nil, map[string]any{"fields": changed})
	})
}

// touch makes the next version.
func (u *User) touch(now time.Time) { u.UpdatedAt, u.Version = now, u.Version+1 }

// lockActive answers a person who is not deleted, and their roles, and keeps
// both from changing until the transaction ends.
func lockActive(ctx context.Context, tx db.TenantTx, id ids.User, version int64) (User, []rbac.Role, error) {
	u, err := load(ctx, tx, id, true)
	if err != nil {
		return User{}, nil, err
	}
	if err := apperr.CheckVersion(version, u.Version); err != nil {
		return User{}, nil, err
	}
	if u.DeletedAt != nil {
		return User{}, nil, apperr.New(apperr.Precondition, "USER_DELETED", "This account is deleted. Restore it first.")
	}
	roles, err := rbac.OfUser(ctx, tx, id.UUID())
	return u, roles, err
}

func write(ctx context.Context, tx db.TenantTx, at time.Time, by rbac.Actor, action string, id ids.User, before, after map[string]any) error {
	return audit.Write(ctx, tx, at, audit.Entry{
		Actor: by.Actor, Action: action, TargetKind: "user", TargetID: id.UUID(), TenantID: tx.Tenant(), RequestID: by.RequestID,
		Before: before, After: after,
	})
}
