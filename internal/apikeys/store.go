package apikeys

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"tenantry/ent/tenantdb"
	"tenantry/ent/tenantdb/apikey"
	"tenantry/ent/tenantdb/predicate"
	"tenantry/ent/tenantdb/role"
	"tenantry/ent/tenantdb/serviceaccount"
	"tenantry/ent/tenantdb/serviceaccountrole"
	"tenantry/ent/tenantdb/user"
	"tenantry/internal/apperr"
	"tenantry/internal/db"
	"tenantry/internal/ids"
	"tenantry/internal/rbac"
)

func insert(ctx context.Context, tx db.TenantTx, k Key, hash []byte, creator ids.User) error {
	q := tx.Ent().APIKey.Create().SetID(k.ID).SetName(k.Name).SetNillableUserID(k.User).SetNillableServiceAccountID(k.ServiceAccount).
		SetSecretHash(hash).SetScopes(k.Scopes).SetAllowedNetworks(k.Networks).SetCreatedAt(k.CreatedAt).SetUpdatedAt(k.CreatedAt).
		SetNillableExpiresAt(k.ExpiresAt)
	if creator != (ids.User{}) {
		q.SetCreatorID(creator.UUID())
	}
	if err := q.Exec(ctx); err != nil {
		return fmt.Errorf("insert API key: %w", err)
	}
	return nil
}

// makeRoom locks the owner of a new key and refuses one more than the limit.
func makeRoom(ctx context.Context, tx db.TenantTx, k Key, now time.Time) error {
	var mine predicate.APIKey
	if k.ServiceAccount != nil {
		if _, err := findAccount(ctx, tx, *k.ServiceAccount, true); err != nil {
			return err
		}
		mine = apikey.ServiceAccountID(*k.ServiceAccount)
	} else {
		_, err := tx.Ent().User.Query().Where(user.ID(*k.User), user.DeletedAtIsNil()).ForUpdate().OnlyID(ctx)
		if tenantdb.IsNotFound(err) {
			return rbac.ErrEnded()
		}
		if err != nil {
			return fmt.Errorf("lock owner of API key: %w", err)
		}
		mine = apikey.UserID(*k.User)
	}
	n, err := tx.Ent().APIKey.Query().Where(mine, apikey.RevokedAtIsNil(), apikey.Or(apikey.ExpiresAtIsNil(), apikey.ExpiresAtGT(now))).Count(ctx)
	if err != nil {
		return fmt.Errorf("count API keys: %w", err)
	}
	if n >= maxKeys {
		return apperr.Newf(apperr.Precondition, "API_KEY_LIMIT", "There are %d live keys of this owner already, the most there may be. Revoke one first.", maxKeys)
	}
	return nil
}

func find(ctx context.Context, tx db.TenantTx, id uuid.UUID, lock bool) (Key, error) {
	q := tx.Ent().APIKey.Query().Where(apikey.ID(id))
	if lock {
		q.ForUpdate()
	}
	r, err := q.Only(ctx)
	if tenantdb.IsNotFound(err) {
		return Key{}, apperr.New(apperr.NotFound, "API_KEY_NOT_FOUND", "No such API key.")
	}
	if err != nil {
		return Key{}, fmt.Errorf("find API key: %w", err)
	}
	return fromRow(r), nil
}

func fromRow(r *tenantdb.APIKey) Key {
	return Key{
		ID: r.ID, Name: r.Name, User: r.UserID, ServiceAccount: r.ServiceAccountID, Scopes: r.Scopes, Networks: r.AllowedNetworks,
		CreatedAt: r.CreatedAt, ExpiresAt: r.ExpiresAt, LastUsedAt: r.LastUsedAt, RevokedAt: r.RevokedAt,
		PreviousExpiresAt: r.PreviousExpiresAt, Version: r.Version,
	}
}

func update(ctx context.Context, tx db.TenantTx, k Key, now time.Time) error {
	return tx.Ent().APIKey.UpdateOneID(k.ID).SetName(k.Name).SetScopes(k.Scopes).SetAllowedNetworks(k.Networks).
		SetVersion(k.Version).SetUpdatedAt(now).Exec(ctx)
}

// rotate moves the present hash to its last days, or drops it.
func rotate(ctx context.Context, tx db.TenantTx, k Key, hash []byte, now time.Time) error {
	_, err := tx.SQL().ExecContext(ctx, `
		UPDATE api_keys SET previous_hash = CASE WHEN $3::timestamptz IS NULL THEN NULL ELSE secret_hash END, previous_expires_at = $3,
			secret_hash = $2, version = $4, updated_at = $5 WHERE id = $1`, k.ID, hash, k.PreviousExpiresAt, k.Version, now)
	if err != nil {
		return fmt.Errorf("rotate API key: %w", err)
	}
	return nil
}

func revoke(ctx context.Context, tx db.TenantTx, k Key) error {
	return tx.Ent().APIKey.UpdateOneID(k.ID).SetRevokedAt(*k.RevokedAt).SetUpdatedAt(*k.RevokedAt).SetVersion(k.Version).
		ClearPreviousHash().ClearPreviousExpiresAt().Exec(ctx)
}

// EndKeys revokes the keys that act for a person and answers how many there
// were.
func EndKeys(ctx context.Context, tx db.TenantTx, owner ids.User, now time.Time) (int, error) {
	n, err := tx.Ent().APIKey.Update().Where(apikey.UserID(owner.UUID()), apikey.RevokedAtIsNil()).
		SetRevokedAt(now).SetUpdatedAt(now).AddVersion(1).ClearPreviousHash().ClearPreviousExpiresAt().Save(ctx)
	if err != nil {
		return 0, fmt.Errorf("revoke keys: %w", err)
	}
	return n, nil
}

func findAccount(ctx context.Context, tx db.TenantTx, id uuid.UUID, lock bool) (Account, error) {
	q := tx.Ent().ServiceAccount.Query().Where(serviceaccount.ID(id), serviceaccount.DeletedAtIsNil())
	if lock {
		q.ForUpdate()
	}
	r, err := q.Only(ctx)
	if tenantdb.IsNotFound(err) {
		return Account{}, apperr.New(apperr.NotFound, "SERVICE_ACCOUNT_NOT_FOUND", "No such service account.")
	}
	if err != nil {
		return Account{}, fmt.Errorf("find service account: %w", err)
	}
	out := accountFromRow(r)
	out.Roles, err = tx.Ent().Role.Query().Where(role.HasServiceAccountsWith(serviceaccount.ID(id))).Order(role.ByID()).IDs(ctx)
	return out, err
}

func accountFromRow(r *tenantdb.ServiceAccount) Account {
	a := Account{ID: r.ID, Name: r.Name, Description: r.Description, CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt, Version: r.Version}
	for _, granted := range r.Edges.Roles {
		a.Roles = append(a.Roles, granted.ID)
	}
	return a
}

func insertAccount(ctx context.Context, tx db.TenantTx, a Account) error {
	// One at a time: neither the limit nor the name is run into.
	if _, err := tx.SQL().ExecContext(ctx, `SELECT pg_advisory_xact_lock(hashtext('service_accounts'))`); err != nil {
		return fmt.Errorf("lock service accounts: %w", err)
	}
	n, err := tx.Ent().ServiceAccount.Query().Where(serviceaccount.DeletedAtIsNil()).Count(ctx)
	if err != nil {
		return fmt.Errorf("count service accounts: %w", err)
	}
	if n >= maxAccounts {
		return apperr.Newf(apperr.Precondition, "SERVICE_ACCOUNT_LIMIT", "There are %d service accounts already, the most there may be.", maxAccounts)
	}
	if err := checkName(ctx, tx, a); err != nil {
		return err
	}
	err = tx.Ent().ServiceAccount.Create().SetID(a.ID).SetName(a.Name).SetDescription(a.Description).SetCreatedAt(a.CreatedAt).SetUpdatedAt(a.UpdatedAt).Exec(ctx)
	if err != nil {
		return fmt.Errorf("insert service account: %w", err)
	}
	return grant(ctx, tx, a)
}

func checkName(ctx context.Context, tx db.TenantTx, a Account) error {
	taken, err := tx.Ent().ServiceAccount.Query().
		Where(serviceaccount.Name(a.Name), serviceaccount.IDNEQ(a.ID), serviceaccount.DeletedAtIsNil()).Exist(ctx)
	if err != nil {
		return fmt.Errorf("look for service account: %w", err)
	}
	if taken {
		return errAccountExists(a.Name)
	}
	return nil
}

func errAccountExists(name string) error {
	return apperr.Newf(apperr.AlreadyExists, "SERVICE_ACCOUNT_EXISTS", "name: there is a service account named %q already.", name)
}

func grant(ctx context.Context, tx db.TenantTx, a Account) error {
	for _, r := range a.Roles {
		if err := tx.Ent().ServiceAccountRole.Create().SetServiceAccountID(a.ID).SetRoleID(r).SetCreatedAt(a.UpdatedAt).Exec(ctx); err != nil {
			return fmt.Errorf("grant role: %w", err)
		}
	}
	return nil
}

func updateAccount(ctx context.Context, tx db.TenantTx, a Account, roles bool) error {
	if err := checkName(ctx, tx, a); err != nil {
		return err
	}
	err := tx.Ent().ServiceAccount.UpdateOneID(a.ID).SetName(a.Name).SetDescription(a.Description).SetVersion(a.Version).SetUpdatedAt(a.UpdatedAt).Exec(ctx)
	if db.IsUnique(err, "") { // two updates to one name at the same time
		return errAccountExists(a.Name)
	}
	if err != nil || !roles {
		return err
	}
	if _, err := tx.Ent().ServiceAccountRole.Delete().Where(serviceaccountrole.ServiceAccountID(a.ID)).Exec(ctx); err != nil {
		return fmt.Errorf("take roles away: %w", err)
	}
	return grant(ctx, tx, a)
}

func deleteAccount(ctx context.Context, tx db.TenantTx, a Account) error {
	err := tx.Ent().ServiceAccount.UpdateOneID(a.ID).SetDeletedAt(a.UpdatedAt).SetUpdatedAt(a.UpdatedAt).SetVersion(a.Version).Exec(ctx)
	if err != nil {
		return fmt.Errorf("delete service account: %w", err)
	}
	if _, err := tx.Ent().ServiceAccountRole.Delete().Where(serviceaccountrole.ServiceAccountID(a.ID)).Exec(ctx); err != nil {
		return fmt.Errorf("take roles away: %w", err)
	}
	return tx.Ent().APIKey.Update().Where(apikey.ServiceAccountID(a.ID), apikey.RevokedAtIsNil()).
		SetRevokedAt(a.UpdatedAt).SetUpdatedAt(a.UpdatedAt).ClearPreviousHash().ClearPreviousExpiresAt().AddVersion(1).Exec(ctx)
}
