package provisioning

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"time"

	"github.com/google/uuid"

	"tenantry/ent/centraldb"
	"tenantry/ent/centraldb/signingkey"
	"tenantry/ent/centraldb/tenant"
	"tenantry/internal/apperr"
	"tenantry/internal/db"
	"tenantry/internal/ids"
	"tenantry/internal/tenants"
)

// lockTenant reads the row and holds it until the transaction ends: every
// swap of a state goes through it.
func lockTenant(ctx context.Context, tx db.CentralTx, t ids.Tenant) (*centraldb.Tenant, error) {
	row, err := tx.Ent().Tenant.Query().Where(tenant.ID(t.UUID())).ForUpdate().Only(ctx)
	if centraldb.IsNotFound(err) {
		return nil, apperr.New(apperr.NotFound, "TENANT_NOT_FOUND", "No such tenant.")
	}
	if err != nil {
		return nil, fmt.Errorf("lock tenant: %w", err)
	}
	return row, nil
}

func inState(ctx context.Context, tx db.CentralTx, t ids.Tenant, want string) (*centraldb.Tenant, error) {
	row, err := lockTenant(ctx, tx, t)
	if err != nil {
		return nil, err
	}
	if row.State != want {
		return nil, stateError(row.State, want)
	}
	return row, nil
}

func take(ctx context.Context, tx db.CentralTx, t ids.Tenant, workflowID string) error {
	return tx.Ent().Tenant.UpdateOneID(t.UUID()).SetState(tenants.Provisioning).SetWorkflowID(workflowID).AddVersion(1).Exec(ctx)
}

func activate(ctx context.Context, tx db.CentralTx, t ids.Tenant, now time.Time) error {
	return tx.Ent().Tenant.UpdateOneID(t.UUID()).SetState(tenants.Active).ClearOwnerEmail().SetActivatedAt(now).AddVersion(1).Exec(ctx)
}

func fail(ctx context.Context, tx db.CentralTx, t ids.Tenant) error {
	return tx.Ent().Tenant.UpdateOneID(t.UUID()).SetState(tenants.Failing).AddVersion(1).Exec(ctx)
}

// remove deletes the row, and with it slug, data key and signing keys.
func remove(ctx context.Context, tx db.CentralTx, t ids.Tenant) error {
	if _, err := tx.SQL().ExecContext(ctx, `DELETE FROM outbox_dirty WHERE tenant_id = $1`, t.UUID()); err != nil {
		return fmt.Errorf("delete mark: %w", err)
	}
	// An intent not yet carried out would start a workflow for nothing.
	if _, err := tx.SQL().ExecContext(ctx, `DELETE FROM outbox WHERE tenant_id = $1 AND kind = 'start' AND done_at IS NULL`, t.UUID()); err != nil {
		return fmt.Errorf("delete intents: %w", err)
	}
	if err := deleteKeys(ctx, tx, t); err != nil {
		return err
	}
	return tx.Ent().Tenant.DeleteOneID(t.UUID()).Exec(ctx)
}

func noteVersion(ctx context.Context, tx db.CentralTx, t ids.Tenant, version int64) error {
	return tx.Ent().Tenant.UpdateOneID(t.UUID()).SetSchemaVersion(version).Exec(ctx)
}

func insertFirstKey(ctx context.Context, tx db.CentralTx, t ids.Tenant, id uuid.UUID, public ed25519.PublicKey, sealed []byte, now time.Time) error {
	has, err := tx.Ent().SigningKey.Query().Where(signingkey.TenantID(t.UUID()), signingkey.RetiredAtIsNil()).Exist(ctx)
	if err != nil || has {
		return err
	}
	return tx.Ent().SigningKey.Create().SetID(id).SetTenantID(t.UUID()).SetPublicKey(public).SetPrivateKey(sealed).SetCreatedAt(now).SetActivatesAt(now).Exec(ctx)
}

func deleteKeys(ctx context.Context, tx db.CentralTx, t ids.Tenant) error {
	_, err := tx.Ent().SigningKey.Delete().Where(signingkey.TenantID(t.UUID())).Exec(ctx)
	return err
}

// schemaVersion reads the version the template was migrated to.
func schemaVersion(ctx context.Context, tx db.TenantTx) (int64, error) {
	var v int64
	err := tx.SQL().QueryRowContext(ctx, `SELECT coalesce(max(version_id), 0) FROM goose_db_version WHERE is_applied`).Scan(&v)
	if err != nil {
		return 0, fmt.Errorf("schema version: %w", err)
	}
	return v, nil
}
