package signingkeys

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"time"

	"entgo.io/ent/dialect/sql"

	"tenantry/ent/centraldb"
	"tenantry/ent/centraldb/signingkey"
	"tenantry/ent/centraldb/tenant"
	"tenantry/internal/apperr"
	"tenantry/internal/db"
	"tenantry/internal/ids"
	"tenantry/internal/tenants"
)

// kept are the states in which a tenant has signing keys for good.
var kept = []string{tenants.Active, tenants.Suspended, tenants.Resuming}

type lockedTenant struct {
	id      ids.Tenant
	dataKey []byte
}

// lockTenant holds the tenant's row: two changes of its keys come one after
// the other.
func lockTenant(ctx context.Context, tx db.CentralTx, id ids.Tenant) (lockedTenant, error) {
	row, err := tx.Ent().Tenant.Query().Where(tenant.ID(id.UUID())).ForUpdate().Only(ctx)
	if centraldb.IsNotFound(err) {
		return lockedTenant{}, errNotFound()
	}
	if err != nil {
		return lockedTenant{}, fmt.Errorf("lock tenant: %w", err)
	}
	for _, state := range kept {
		if row.State == state {
			return lockedTenant{id: id, dataKey: row.DataKey}, nil
		}
	}
	return lockedTenant{}, apperr.Newf(apperr.Precondition, "TENANT_STATE", "The tenant is %s; this call needs one that is active or suspended.", row.State)
}

func list(ctx context.Context, tx db.CentralTx, t ids.Tenant) ([]Key, error) {
	rows, err := tx.Ent().SigningKey.Query().Where(signingkey.TenantID(t.UUID())).
		Order(signingkey.ByActivatesAt(), signingkey.ByID()).All(ctx)
	if err != nil {
		return nil, fmt.Errorf("list signing keys: %w", err)
	}
	out := make([]Key, len(rows))
	for i, r := range rows {
		out[i] = Key{ID: r.ID, CreatedAt: r.CreatedAt, ActivatesAt: r.ActivatesAt, RetiredAt: r.RetiredAt, ExpiresAt: r.ExpiresAt}
	}
	return out, nil
}

func insert(ctx context.Context, tx db.CentralTx, t ids.Tenant, k Key, public ed25519.PublicKey, sealed []byte) error {
	err := tx.Ent().SigningKey.Create().SetID(k.ID).SetTenantID(t.UUID()).SetPublicKey(public).SetPrivateKey(sealed).
		SetCreatedAt(k.CreatedAt).SetActivatesAt(k.ActivatesAt).Exec(ctx)
	if err != nil {
		return fmt.Errorf("insert signing key: %w", err)
	}
	return nil
}

// retire ends what signs now, and what was to sign, at a moment.
func retire(ctx context.Context, tx db.CentralTx, t ids.Tenant, at, expires time.Time) error {
	err := tx.Ent().SigningKey.Update().Where(signingkey.TenantID(t.UUID()), signingkey.RetiredAtIsNil()).
		SetRetiredAt(at).SetExpiresAt(expires).Exec(ctx)
	if err != nil {
		return fmt.Errorf("retire signing keys: %w", err)
	}
	return nil
}

// deleteExpired leaves alone what nothing follows: it never expires.
func deleteExpired(ctx context.Context, tx db.CentralTx, t ids.Tenant, now time.Time) error {
	_, err := tx.Ent().SigningKey.Delete().Where(signingkey.TenantID(t.UUID()), signingkey.ExpiresAtLTE(now)).Exec(ctx)
	if err != nil {
		return fmt.Errorf("delete expired signing keys: %w", err)
	}
	return nil
}

func deleteAll(ctx context.Context, tx db.CentralTx, t ids.Tenant) error {
	if _, err := tx.Ent().SigningKey.Delete().Where(signingkey.TenantID(t.UUID())).Exec(ctx); err != nil {
		return fmt.Errorf("delete signing keys: %w", err)
	}
	return nil
}

func withKeys(ctx context.Context, tx db.CentralTx) ([]ids.Tenant, error) {
	found, err := tx.Ent().Tenant.Query().Where(tenant.StateIn(kept...)).Order(tenant.ByID(sql.OrderAsc())).IDs(ctx)
	if err != nil {
		return nil, fmt.Errorf("list tenants: %w", err)
	}
	out := make([]ids.Tenant, len(found))
	for i, id := range found {
		out[i] = ids.Tenant(id)
	}
	return out, nil
}

func find(ctx context.Context, tx db.CentralTx, text string) (ids.Tenant, error) {
	where := tenant.Slug(text)
	if id, err := ids.ParseTenant(text); err == nil {
		where = tenant.ID(id.UUID())
	}
	id, err := tx.Ent().Tenant.Query().Where(where).OnlyID(ctx)
	if centraldb.IsNotFound(err) {
		return ids.Tenant{}, errNotFound()
	}
	if err != nil {
		return ids.Tenant{}, fmt.Errorf("find tenant: %w", err)
	}
	return ids.Tenant(id), nil
}
