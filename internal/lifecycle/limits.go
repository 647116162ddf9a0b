package lifecycle

import (
	"context"

	"tenantry/internal/apperr"
	"tenantry/internal/audit"
	"tenantry/internal/db"
	"tenantry/internal/operations"
	"tenantry/internal/settings"
	"tenantry/internal/tenants"
)

// ApplyLimits writes the limit that the central row holds now into the
// tenant's settings. The tenant's lock is held from the reading to the
// writing: a run that has read an older limit never writes after one that has
// read a newer. A tenant that is suspended meanwhile is waited for.
func (s *Service) ApplyLimits(ctx context.Context, c Call) error {
	err := s.admin.Holding(ctx, c.Tenant, func(ctx context.Context) error {
		limit, err := s.limit(ctx, c)
		if err != nil {
			return err
		}
		return s.writeLimit(ctx, c, limit)
	})
	if err != nil {
		return db.Classify(err, "CENTRAL_UNREACHABLE")
	}
	_, err = db.InCentral(ctx, s.central, func(tx db.CentralTx) (struct{}, error) {
		op, err := lockCall(ctx, tx, c)
		if err != nil || op.Ended() {
			return struct{}{}, err
		}
		return struct{}{}, s.end(ctx, tx, op, operations.Succeeded, "", "tenant.limits_applied", map[string]any{})
	})
	return err
}

func (s *Service) limit(ctx context.Context, c Call) (int, error) {
	return db.InCentral(ctx, s.central, func(tx db.CentralTx) (int, error) {
		row, err := readTenant(ctx, tx, c.Tenant)
		if err != nil {
			return 0, err
		}
		if row.State != tenants.Active {
			return 0, errShut()
		}
		return row.MaxUsers, nil
	})
}

// errShut is to be tried again: the tenant comes back or goes.
func errShut() error {
	return apperr.New(apperr.Unavailable, "TENANT_UNREACHABLE", "The organization is suspended; its settings are written when it is resumed.")
}

func (s *Service) writeLimit(ctx context.Context, c Call, limit int) error {
	lease, err := s.router.Lease(ctx, c.Tenant)
	if apperr.ReasonOf(err) == "TENANT_NOT_ACTIVE" {
		return errShut() // the directory is up to a second behind
	}
	if err != nil {
		return err
	}
	_, err = db.InTenant(ctx, lease, func(tx db.TenantTx) (struct{}, error) {
		before, err := settings.SetMaxUsers(ctx, tx, limit, s.now())
		if err != nil || before == limit {
			return struct{}{}, err
		}
		return struct{}{}, audit.Write(ctx, tx, s.now(), audit.Entry{
			Actor: audit.System, Action: "settings.limits_applied", TargetKind: "settings", TargetID: c.Tenant.UUID(), TenantID: c.Tenant,
			Before: map[string]any{"max_users": before}, After: map[string]any{"max_users": limit, "operation_id": c.Operation},
		})
	})
	return err
}
