package lifecycle

import (
	"context"
	"fmt"

	"tenantry/ent/centraldb"
	"tenantry/ent/centraldb/tenant"
	"tenantry/internal/apperr"
	"tenantry/internal/audit"
	"tenantry/internal/db"
	"tenantry/internal/ids"
	"tenantry/internal/operations"
	"tenantry/internal/secrets"
	"tenantry/internal/tenants"
)

// lockTenant reads the row and holds it until the transaction ends.
func lockTenant(ctx context.Context, tx db.CentralTx, t ids.Tenant) (*centraldb.Tenant, error) {
	return only(tx.Ent().Tenant.Query().Where(tenant.ID(t.UUID())).ForUpdate().Only(ctx))
}

// readTenant reads the row.
func readTenant(ctx context.Context, tx db.CentralTx, t ids.Tenant) (*centraldb.Tenant, error) {
	return only(tx.Ent().Tenant.Get(ctx, t.UUID()))
}

func only(row *centraldb.Tenant, err error) (*centraldb.Tenant, error) {
	if centraldb.IsNotFound(err) {
		return nil, apperr.New(apperr.NotFound, "TENANT_NOT_FOUND", "No such tenant.")
	}
	if err != nil {
		return nil, fmt.Errorf("read tenant: %w", err)
	}
	return row, nil
}

// ownerEmail opens the address that waits in the row; empty for none.
func ownerEmail(ring *secrets.Keyring, row *centraldb.Tenant) (string, error) {
	if row.OwnerEmail == nil || len(*row.OwnerEmail) == 0 { // ent reads NULL as an empty value
		return "", nil
	}
	key, err := secrets.OpenDataKey(ring, ids.Tenant(row.ID), row.DataKey)
	if err != nil {
		return "", err
	}
	b, err := key.Open(*row.OwnerEmail, tenants.SealOwnerEmail)
	return string(b), err
}

func wipeOwnerEmail(ctx context.Context, tx db.CentralTx, t ids.Tenant) error {
	_, err := tx.Ent().Tenant.Update().Where(tenant.ID(t.UUID())).ClearOwnerEmail().Save(ctx)
	return err
}

func activate(ctx context.Context, tx db.CentralTx, t ids.Tenant) error {
	return tx.Ent().Tenant.UpdateOneID(t.UUID()).SetState(tenants.Active).AddVersion(1).Exec(ctx)
}

// end ends an open operation and writes the audit row of its outcome.
func (s *Service) end(ctx context.Context, tx db.CentralTx, op operations.Operation, state, reason, action string, after map[string]any) error {
	now := s.now()
	if err := operations.End(ctx, tx, op.ID, state, reason, now); err != nil {
		return err
	}
	after["operation_id"] = op.ID
	return audit.Write(ctx, tx, now, audit.Entry{
		Actor: audit.System, Action: action, TargetKind: "tenant", TargetID: op.Tenant.UUID(), TenantID: op.Tenant, After: after,
	})
}
