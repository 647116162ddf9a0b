package tenants

import (
	"context"
	"encoding/json"
	"fmt"

	"tenantry/ent/centraldb"
	"tenantry/ent/centraldb/tenant"
	"tenantry/internal/apperr"
	"tenantry/internal/db"
	"tenantry/internal/ids"
	"tenantry/internal/secrets"
)

// insertReservation answers SLUG_TAKEN without breaking the transaction: the
// hook keeps that answer beside its receipt.
func insertReservation(ctx context.Context, tx db.CentralTx, r reservation) error {
	doc, err := json.Marshal(r.in.Settings)
	if err != nil {
		return fmt.Errorf("encode settings: %w", err)
	}
	res, err := tx.SQL().ExecContext(ctx, `
		INSERT INTO tenants (id, slug, name, state, data_key, database_name, role_name, role_password, credential_revision,
			owner_email, initial_settings, max_users, operation_id, workflow_id, schema_version, schema_error, version, created_at)
		VALUES ($1, $2, $3, 'reserved', $4, $5, $5, $6, 1, $7, $8, $9, $10, '', 0, '', 1, $11)
		ON CONFLICT (slug) DO NOTHING`,
		r.id.UUID(), r.in.Slug, r.in.Name, r.dataKey, r.serverName, r.password, r.to, string(doc), r.in.Settings.MaxUsers, r.operation.UUID(), r.now)
	if err != nil {
		return fmt.Errorf("insert reservation: %w", err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		e := apperr.Newf(apperr.AlreadyExists, "SLUG_TAKEN", "slug: %q is taken; choose another.", r.in.Slug)
		e.Fields = []apperr.Field{{Path: "slug", Rule: "slug.taken", Message: "is taken; choose another"}}
		return e
	}
	return nil
}

func errNotFound() error {
	return apperr.New(apperr.NotFound, "TENANT_NOT_FOUND", "No such tenant.")
}

// lock reads the row and holds it until tx ends: every change goes through it.
func lock(ctx context.Context, tx db.CentralTx, id ids.Tenant) (*centraldb.Tenant, error) {
	row, err := tx.Ent().Tenant.Query().Where(tenant.ID(id.UUID())).ForUpdate().Only(ctx)
	if centraldb.IsNotFound(err) {
		return nil, errNotFound()
	}
	if err != nil {
		return nil, fmt.Errorf("lock tenant: %w", err)
	}
	return row, nil
}

func setState(ctx context.Context, tx db.CentralTx, id ids.Tenant, state string) error {
	return tx.Ent().Tenant.UpdateOneID(id.UUID()).SetState(state).AddVersion(1).Exec(ctx)
}

func setMaxUsers(ctx context.Context, tx db.CentralTx, id ids.Tenant, n int) error {
	return tx.Ent().Tenant.UpdateOneID(id.UUID()).SetMaxUsers(n).AddVersion(1).Exec(ctx)
}

// setOwnerEmail keeps an address, sealed under the tenant's data key, until
// the invitation is written.
func setOwnerEmail(ctx context.Context, tx db.CentralTx, ring *secrets.Keyring, row *centraldb.Tenant, email string) error {
	key, err := secrets.OpenDataKey(ring, ids.Tenant(row.ID), row.DataKey)
	if err != nil {
		return err
	}
	sealed, err := key.Seal([]byte(email), SealOwnerEmail)
	if err != nil {
		return err
	}
	return tx.Ent().Tenant.UpdateOneID(row.ID).SetOwnerEmail(sealed).AddVersion(1).Exec(ctx)
}

func find(ctx context.Context, tx db.CentralTx, id ids.Tenant) (Tenant, error) {
	t, err := tx.Ent().Tenant.Get(ctx, id.UUID())
	if centraldb.IsNotFound(err) {
		return Tenant{}, errNotFound()
	}
	if err != nil {
		return Tenant{}, fmt.Errorf("find tenant: %w", err)
	}
	return fromRow(t), nil
}

func fromRow(t *centraldb.Tenant) Tenant {
	return Tenant{
		ID: ids.Tenant(t.ID), Slug: t.Slug, Name: t.Name, State: t.State, CreatedAt: t.CreatedAt,
		ActivatedAt: t.ActivatedAt, SchemaVersion: t.SchemaVersion, MaxUsers: t.MaxUsers, Version: t.Version,
	}
}

// ActiveAfter answers the ids of active tenants in order, beginning after the
// given one: the walk of a fleet pass.
func (s *Service) ActiveAfter(ctx context.Context, after ids.Tenant, limit int) ([]ids.Tenant, error) {
	return db.InCentral(ctx, s.central, func(tx db.CentralTx) ([]ids.Tenant, error) {
		found, err := tx.Ent().Tenant.Query().Where(tenant.State(Active), tenant.IDGT(after.UUID())).
			Order(tenant.ByID()).Limit(limit).IDs(ctx)
		if err != nil {
			return nil, fmt.Errorf("active tenants: %w", err)
		}
		out := make([]ids.Tenant, len(found))
		for i, id := range found {
			out[i] = ids.Tenant(id)
		}
		return out, nil
	})
}
