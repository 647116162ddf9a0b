package users

import (
	"context"
	"fmt"

	"entgo.io/ent/dialect/sql"

	"tenantry/ent/tenantdb/user"
	"tenantry/internal/db"
	"tenantry/internal/ids"
	"tenantry/internal/page"
)

func list(ctx context.Context, tx db.TenantTx, after *page.Position, limit int) ([]User, error) {
	q := tx.Ent().User.Query().Where(user.DeletedAtIsNil()).Order(user.ByCreatedAt(), user.ByID()).Limit(limit)
	if after != nil {
		q.Where(func(s *sql.Selector) {
			s.Where(sql.CompositeGT([]string{s.C(user.FieldCreatedAt), s.C(user.FieldID)}, after.CreatedAt, after.ID))
		})
	}
	rows, err := q.All(ctx)
	if err != nil {
		return nil, fmt.Errorf("list users: %w", err)
	}
	out := make([]User, len(rows))
	for i, r := range rows {
		out[i] = User{
			ID: ids.User(r.ID), Name: r.Name, Email: r.Email, CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt, LastLoginAt: r.LastLoginAt,
			LoginCount: r.LoginCount, Version: r.Version, Locale: r.Locale,
		}
	}
	return out, nil
}
