package rbac

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"tenantry/ent/tenantdb/role"
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

// Grant gives roles to a user.
func Grant(ctx context.Context, tx db.TenantTx, user uuid.UUID, roles []uuid.UUID, now time.Time) error {
	for _, r := range roles {
		if err := tx.Ent().UserRole.Create().SetUserID(user).SetRoleID(r).SetCreatedAt(now).Exec(ctx); err != nil {
			return fmt.Errorf("grant role: %w", err)
		}
	}
	return nil
}
