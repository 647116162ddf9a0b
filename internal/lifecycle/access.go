package lifecycle

import (
	"context"

	"tenantry/internal/audit"
	"tenantry/internal/db"
	"tenantry/internal/operations"
	"tenantry/internal/outbox"
	"tenantry/internal/pgadmin"
	"tenantry/internal/tenants"
)

// ApplyAccess makes the tenant's role match the state that the tenant has now,
// whatever the operation had asked for: suspended, nobody logs in and the
// sessions are ended; resuming, the role is let in and the tenant is active.
// The state is read, and the outcome written, while the tenant's lock is held.
// An operation whose wish was taken back meanwhile ends as failed, Superseded.
func (s *Service) ApplyAccess(ctx context.Context, c Call) error {
	t := pgadmin.Target{Tenant: c.Tenant, Database: s.admin.Names().Tenant(c.Tenant), Role: s.admin.Names().Tenant(c.Tenant)}
	err := s.admin.Access(ctx, t, func(ctx context.Context, found string) error {
		_, err := db.InCentral(ctx, s.central, func(tx db.CentralTx) (struct{}, error) {
			return struct{}{}, s.concludeAccess(ctx, tx, c, found)
		})
		return err
	})
	if err == nil {
		s.bell.Ring(ctx, c.Tenant) // what waited in its outbox may go
	}
	return err
}

// concludeAccess records that the role matches the state found.
func (s *Service) concludeAccess(ctx context.Context, tx db.CentralTx, c Call, found string) error {
	row, err := lockTenant(ctx, tx, c.Tenant)
	if err != nil {
		return err
	}
	state := row.State
	// Only a role that was let in makes a tenant active. It still may enter:
	// whoever would shut it out waits for the lock.
	if found != tenants.Suspended && state == tenants.Resuming {
		if err := s.open(ctx, tx, c); err != nil {
			return err
		}
		state = tenants.Active
	}
	op, err := operations.Lock(ctx, tx, c.Operation)
	if err != nil || op.Ended() {
		return err
	}
	switch {
	case op.Kind == operations.KindSuspend && found == tenants.Suspended:
		return s.end(ctx, tx, op, operations.Succeeded, "", "tenant.suspended", map[string]any{})
	case op.Kind == operations.KindResume && found != tenants.Suspended && state == tenants.Active:
		return operations.End(ctx, tx, op.ID, operations.Succeeded, "", s.now())
	}
	return s.end(ctx, tx, op, operations.Failed, Superseded, op.Kind+"_superseded", map[string]any{"state": state})
}

// open makes a resuming tenant active. Its outbox is swept again: rows may
// have waited for it.
func (s *Service) open(ctx context.Context, tx db.CentralTx, c Call) error {
	if err := activate(ctx, tx, c.Tenant); err != nil {
		return err
	}
	if err := outbox.Mark(ctx, tx, c.Tenant); err != nil {
		return err
	}
	return audit.Write(ctx, tx, s.now(), audit.Entry{
		Actor: audit.System, Action: "tenant.resumed", TargetKind: "tenant", TargetID: c.Tenant.UUID(), TenantID: c.Tenant,
		After: map[string]any{"state": tenants.Active, "operation_id": c.Operation},
	})
}
