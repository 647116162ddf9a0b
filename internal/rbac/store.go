package rbac

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"tenantry/ent/tenantdb"
	"tenantry/ent/tenantdb/role"
	"tenantry/internal/apperr"
	"tenantry/internal/db"
	"tenantry/internal/ids"
)

// Seed writes the built-in roles; a repetition changes nothing.
func Seed(ctx context.Context, tx db.TenantTx, now time.Time) error {
	for _, r := range Builtin() {
		err := tx.Ent().Role.Create().SetID(ids.New()).SetName(r.Name).SetBuiltin(true).SetPermissions(r.Permissions).SetCreatedAt(now).
			OnConflictColumns(role.FieldName).Ignore().Exec(ctx)
		if err != nil {
			return fmt.Errorf("seed role %s: %w", r.Name, err)
		}
	}
	return nil
}

// RoleID answers the id of a role by name.
func RoleID(ctx context.Context, tx db.TenantTx, name string) (uuid.UUID, error) {
	id, err := tx.Ent().Role.Query().Where(role.Name(name)).OnlyID(ctx)
	if err != nil {
		return uuid.Nil, fmt.Errorf("role %s: %w", name, err)
	}
	return id, nil
}

// PermissionsOf answers what roles allow together. The roles stay as they are
// until tx ends: a role that is being widened is granted as it then is.
func PermissionsOf(ctx context.Context, tx db.TenantTx, roles []uuid.UUID) ([]string, error) {
	q := tx.Ent().Role.Query().Where(role.IDIn(roles...)).Order(role.ByID())
	q.ForShare()
	rows, err := q.All(ctx)
	if err != nil {
		return nil, fmt.Errorf("permissions of roles: %w", err)
	}
	var out []string
	for _, id := range roles {
		at := slices.IndexFunc(rows, func(r *tenantdb.Role) bool { return r.ID == id })
		if at < 0 {
			return nil, apperr.Newf(apperr.NotFound, "ROLE_NOT_FOUND", "There is no role %s.", id)
		}
		out = append(out, rows[at].Permissions...)
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// Grant gives roles to a user.
func Grant(ctx context.Context, tx db.TenantTx, user uuid.UUID, roles []uuid.UUID, now time.Time) error {
	for _, r := range roles {
		if err := tx.Ent().UserRole.Create().SetUserID(user).SetRoleID(r).SetCreatedAt(now).Exec(ctx); err != nil {
			return fmt.Errorf("grant role: %w", err)
		}
	}
	return nil
}
