package users

import (
	"context"
	"fmt"

	"tenantry/ent/tenantdb"
	"tenantry/ent/tenantdb/user"
	"tenantry/internal/apperr"
	"tenantry/internal/db"
	"tenantry/internal/ids"
)

// load reads an account, deleted or not; with lock it stays so until the
// transaction ends.
func load(ctx context.Context, tx db.TenantTx, id ids.User, lock bool) (User, error) {
	q := tx.Ent().User.Query().Where(user.ID(id.UUID()))
	if lock {
		q.ForUpdate()
	}
	r, err := q.Only(ctx)
	if tenantdb.IsNotFound(err) {
		return User{}, apperr.New(apperr.NotFound, "USER_NOT_FOUND", "id: there is no such account here.")
	}
	if err != nil {
		return User{}, fmt.Errorf("load user: %w", err)
	}
	return User{
		ID: ids.User(r.ID), Name: r.Name, Email: r.Email, CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt, DeletedAt: r.DeletedAt,
		LastLoginAt: r.LastLoginAt, LoginCount: r.LoginCount, Version: r.Version, Locale: r.Locale,
	}, nil
}

// save writes the next version of an account that the transaction has locked.
func save(ctx context.Context, q *tenantdb.UserUpdateOne, u User) error {
	if err := q.SetUpdatedAt(u.UpdatedAt).AddVersion(1).Exec(ctx); err != nil {
		return fmt.Errorf("update user: %w", err)
	}
	return nil
}

func saveVersion(ctx context.Context, tx db.TenantTx, u User) error {
	return save(ctx, tx.Ent().User.UpdateOneID(u.ID.UUID()), u)
}

func saveProfile(ctx context.Context, tx db.TenantTx, u User) error {
	return save(ctx, tx.Ent().User.UpdateOneID(u.ID.UUID()).SetName(u.Name).SetLocale(u.Locale), u)
}

// saveDeleted also makes every access token worthless, by its revision.
func saveDeleted(ctx context.Context, tx db.TenantTx, u User) error {
	return save(ctx, tx.Ent().User.UpdateOneID(u.ID.UUID()).SetNillableDeletedAt(u.DeletedAt).AddRevision(1), u)
}

func saveRestored(ctx context.Context, tx db.TenantTx, u User) error {
	return save(ctx, tx.Ent().User.UpdateOneID(u.ID.UUID()).ClearDeletedAt(), u)
}
