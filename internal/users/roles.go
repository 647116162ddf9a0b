package users

import (
	"context"
	"slices"

	"github.com/google/uuid"

	"tenantry/internal/apperr"
	"tenantry/internal/db"
	"tenantry/internal/ids"
	"tenantry/internal/rbac"
)

// MaxRoles is the most roles a person may hold.
const MaxRoles = 20

// SetRolesInput gives a person exactly these roles.
type SetRolesInput struct {
	ID      ids.User
	Version int64
	Roles   []uuid.UUID
}

// Validate names the first field that is out of bounds.
func (in SetRolesInput) Validate() error {
	if len(in.Roles) > MaxRoles {
		return apperr.InvalidField("role_ids", "repeated.max_items", "must be at most 20 roles")
	}
	for i, id := range in.Roles {
		if slices.Contains(in.Roles[:i], id) {
			return apperr.InvalidField("role_ids", "repeated.unique", "must name each role once")
		}
	}
	return nil
}

// SetRoles replaces a person's roles. The actor must hold everything that the
// person could do before and can do after.
func (s *Service) SetRoles(ctx context.Context, l *db.Lease, by rbac.Actor, in SetRolesInput, mark *db.Mark[User]) (User, error) {
	if err := in.Validate(); err != nil {
		return User{}, err
	}
	return db.InTenantOnce(ctx, l, mark, func(tx db.TenantTx) (User, error) {
		if err := rbac.LockGrants(ctx, tx); err != nil {
			return User{}, err
		}
		u, held, err := lockActive(ctx, tx, in.ID, in.Version)
		if err != nil {
			return User{}, err
		}
		wanted, err := rbac.ByID(ctx, tx, "role_ids", in.Roles)
		if err != nil {
			return User{}, err
		}
		if err := by.CheckGrant(rbac.Union(slices.Concat(held, wanted))); err != nil {
			return User{}, err
		}
		if holdsOwner(held) && !holdsOwner(wanted) {
			if err := checkOtherOwner(ctx, tx, u.ID); err != nil {
				return User{}, err
			}
		}
		u.touch(s.now())
		if err := rbac.Replace(ctx, tx, u.ID.UUID(), in.Roles, u.UpdatedAt); err != nil {
			return User{}, err
		}
		if err := saveVersion(ctx, tx, u); err != nil {
			return User{}, err
		}
		return u.holding(wanted), write(ctx, tx, u.UpdatedAt, by, "user.roles_set", u.ID,
			map[string]any{"roles": names(held)}, map[string]any{"roles": names(wanted)})
	})
}

func holdsOwner(roles []rbac.Role) bool {
	return slices.ContainsFunc(roles, func(r rbac.Role) bool { return r.Builtin && r.Name == rbac.Owner })
}

// checkOtherOwner refuses to lose the last active owner. The lock on the
// grants, which the caller holds, keeps the number from falling meanwhile.
func checkOtherOwner(ctx context.Context, tx db.TenantTx, but ids.User) error {
	n, err := rbac.OtherOwners(ctx, tx, but.UUID())
	if err == nil && n == 0 {
		return apperr.New(apperr.Precondition, "LAST_OWNER", "This is the last active owner. Make somebody else an owner first.")
	}
	return err
}

func names(roles []rbac.Role) []string {
	out := make([]string, len(roles))
	for i, r := range roles {
		out[i] = r.Name
	}
	return out
}
