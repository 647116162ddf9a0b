// Package provisioning turns a reservation into a tenant, one durable step at
// a time, and takes it back when a step fails (T3).
//
// Every step reads the state it depends on in its own transaction and may run
// any number of times. Activate is the point of no return; Release is the last
// compensation. Between them the tenant's row decides: whoever swaps it first,
// provisioning → active or provisioning → failing, has won.
package provisioning

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"log/slog"

	"tenantry/internal/apperr"
	"tenantry/internal/audit"
	"tenantry/internal/clock"
	"tenantry/internal/db"
	"tenantry/internal/ids"
	"tenantry/internal/invitations"
	"tenantry/internal/operations"
	"tenantry/internal/outbox"
	"tenantry/internal/rbac"
	"tenantry/internal/secrets"
	"tenantry/internal/settings"
	"tenantry/internal/tenants"
)

// Service runs the steps.
type Service struct {
	central *db.Central
	router  *tenants.Router
	now     clock.Clock
	bell    *outbox.Bell
	log     *slog.Logger
}

// New makes the service.
func New(c *db.Central, r *tenants.Router, now clock.Clock, bell *outbox.Bell, log *slog.Logger) *Service {
	return &Service{central: c, router: r, now: now, bell: bell, log: log}
}

// Plan is what the steps need to know of a reservation.
type Plan struct {
	// State is provisioning, failing or active.
	State string
	// Database and Role are the names on the server.
	Database string
	Role     string
}

// TakeReservation swaps reserved → provisioning, noting the workflow; the
// same workflow takes it again. A reservation of another workflow is refused.
func (s *Service) TakeReservation(ctx context.Context, t ids.Tenant, workflowID string) (Plan, error) {
	return db.InCentral(ctx, s.central, func(tx db.CentralTx) (Plan, error) {
		row, err := lockTenant(ctx, tx, t)
		if err != nil {
			return Plan{}, err
		}
		plan := Plan{State: row.State, Database: row.DatabaseName, Role: row.RoleName}
		if row.State != tenants.Reserved {
			// Cancelled before its first step, it is failing and nobody's yet.
			if row.WorkflowID != "" && row.WorkflowID != workflowID {
				return Plan{}, apperr.New(apperr.Precondition, "TENANT_STATE", "Another workflow holds this reservation.")
			}
			return plan, nil
		}
		plan.State = tenants.Provisioning
		if err := take(ctx, tx, t, workflowID); err != nil {
			return Plan{}, err
		}
		return plan, operations.MarkRunning(ctx, tx, ids.Operation(row.OperationID))
	})
}

// RolePassword answers the password the tenant's role is to have.
func (s *Service) RolePassword(ctx context.Context, t ids.Tenant) (string, error) {
	return db.InCentral(ctx, s.central, func(tx db.CentralTx) (string, error) {
		row, err := inState(ctx, tx, t, tenants.Provisioning)
		if err != nil {
			return "", err
		}
		key, err := secrets.OpenDataKey(s.central.Keyring(), t, row.DataKey)
		if err != nil {
			return "", err
		}
		b, err := key.Open(row.RolePassword, tenants.SealRolePassword)
		return string(b), err
	})
}

// SeedTenant writes the built-in roles and the initial settings, and notes the
// schema version centrally.
func (s *Service) SeedTenant(ctx context.Context, t ids.Tenant) error {
	doc, err := db.InCentral(ctx, s.central, func(tx db.CentralTx) (settings.Document, error) {
		row, err := inState(ctx, tx, t, tenants.Provisioning)
		if err != nil {
			return settings.Document{}, err
		}
		return decodeSettings(row.InitialSettings)
	})
	if err != nil {
		return err
	}
	version, err := inNewTenant(ctx, s, t, func(tx db.TenantTx) (int64, error) {
		if err := rbac.Seed(ctx, tx, s.now()); err != nil {
			return 0, err
		}
		if err := settings.Init(ctx, tx, s.now(), doc.WithDefaults()); err != nil {
			return 0, err
		}
		return schemaVersion(ctx, tx)
	})
	if err != nil {
		return err
	}
	_, err = db.InCentral(ctx, s.central, func(tx db.CentralTx) (struct{}, error) {
		return struct{}{}, noteVersion(ctx, tx, t, version)
	})
	return err
}

func decodeSettings(m map[string]any) (settings.Document, error) {
	var d settings.Document
	b, err := json.Marshal(m)
	if err == nil {
		err = json.Unmarshal(b, &d)
	}
	if err != nil {
		return d, fmt.Errorf("initial settings: %w", err)
	}
	return d, nil
}

// InviteOwner invites the first owner, once. The mail waits in the tenant's
// outbox until activation.
func (s *Service) InviteOwner(ctx context.Context, t ids.Tenant) error {
	email, err := db.InCentral(ctx, s.central, func(tx db.CentralTx) (string, error) {
		row, err := inState(ctx, tx, t, tenants.Provisioning)
		if err != nil {
			return "", err
		}
		if row.OwnerEmail == nil {
			return "", fmt.Errorf("tenant %s has no owner address", t)
		}
		key, err := secrets.OpenDataKey(s.central.Keyring(), t, row.DataKey)
		if err != nil {
			return "", err
		}
		b, err := key.Open(*row.OwnerEmail, tenants.SealOwnerEmail)
		return string(b), err
	})
	if err != nil {
		return err
	}
	_, err = inNewTenant(ctx, s, t, func(tx db.TenantTx) (struct{}, error) {
		return struct{}{}, invitations.InviteOwner(ctx, tx, email, s.now())
	})
	return err
}

func inNewTenant[R any](ctx context.Context, s *Service, t ids.Tenant, fn func(db.TenantTx) (R, error)) (R, error) {
	l, err := s.router.LeaseProvisioning(ctx, t)
	if err != nil {
		var zero R
		return zero, err
	}
	return db.InTenant(ctx, l, fn)
}

// CreateSigningKey makes the tenant's first signing key, once.
func (s *Service) CreateSigningKey(ctx context.Context, t ids.Tenant) error {
	_, err := db.InCentral(ctx, s.central, func(tx db.CentralTx) (struct{}, error) {
		row, err := inState(ctx, tx, t, tenants.Provisioning)
		if err != nil {
			return struct{}{}, err
		}
		key, err := secrets.OpenDataKey(s.central.Keyring(), t, row.DataKey)
		if err != nil {
			return struct{}{}, err
		}
		seed := secrets.RandomBytes(ed25519.SeedSize)
		id := ids.New()
		sealed, err := key.Seal(seed, tenants.SealSigningKey+"/"+id.String())
		if err != nil {
			return struct{}{}, err
		}
		public := ed25519.NewKeyFromSeed(seed).Public().(ed25519.PublicKey)
		return struct{}{}, insertFirstKey(ctx, tx, t, id, public, sealed, s.now())
	})
	return err
}

// DeleteSigningKeys takes the keys back; it needs the state failing.
func (s *Service) DeleteSigningKeys(ctx context.Context, t ids.Tenant) error {
	_, err := db.InCentral(ctx, s.central, func(tx db.CentralTx) (struct{}, error) {
		if _, err := inState(ctx, tx, t, tenants.Failing); err != nil {
			return struct{}{}, goneIsDone(err)
		}
		return struct{}{}, deleteKeys(ctx, tx, t)
	})
	return err
}

// Activate is the point of no return: one central transaction that no step
// follows. An active tenant is answered with success.
func (s *Service) Activate(ctx context.Context, t ids.Tenant) error {
	_, err := db.InCentral(ctx, s.central, func(tx db.CentralTx) (struct{}, error) {
		row, err := lockTenant(ctx, tx, t)
		if err != nil || row.State == tenants.Active {
			return struct{}{}, err
		}
		if row.State != tenants.Provisioning {
			return struct{}{}, stateError(row.State, tenants.Provisioning)
		}
		now := s.now()
		if err := activate(ctx, tx, t, now); err != nil {
			return struct{}{}, err
		}
		if err := outbox.Mark(ctx, tx, t); err != nil {
			return struct{}{}, err
		}
		return struct{}{}, s.conclude(ctx, tx, t, ids.Operation(row.OperationID), operations.Succeeded, "")
	})
	if err == nil {
		s.bell.Ring(ctx, t)
	}
	return err
}

// conclude ends the operation, tells the source and writes the audit row.
func (s *Service) conclude(ctx context.Context, tx db.CentralTx, t ids.Tenant, op ids.Operation, state, reason string) error {
	action := "tenant.provisioned"
	if state == operations.Failed {
		action = "tenant.failed"
	}
	now := s.now()
	if err := operations.End(ctx, tx, op, state, reason, now); err != nil {
		return err
	}
	if err := outbox.Event(ctx, tx, now, action, t, op); err != nil {
		return err
	}
	after := map[string]any{"operation_id": op}
	if reason != "" {
		after["reason"] = reason
	}
	return audit.Write(ctx, tx, now, audit.Entry{
		Actor: audit.System, Action: action, TargetKind: "tenant", TargetID: t.UUID(), TenantID: t, After: after,
	})
}

// BeginCompensation swaps provisioning → failing and answers false, or answers
// true because the tenant is active and nothing may be taken back. From here
// on no step of the way forward succeeds.
func (s *Service) BeginCompensation(ctx context.Context, t ids.Tenant) (active bool, err error) {
	return db.InCentral(ctx, s.central, func(tx db.CentralTx) (bool, error) {
		row, err := lockTenant(ctx, tx, t)
		if err != nil {
			return false, goneIsDone(err)
		}
		switch row.State {
		case tenants.Active:
			return true, nil
		case tenants.Reserved, tenants.Provisioning, tenants.Failing:
			return false, fail(ctx, tx, t)
		}
		return false, stateError(row.State, tenants.Provisioning)
	})
}

// Release is the last compensation: reservation, slug and data key go, the
// operation fails with the reason. A missing row means it ran before.
func (s *Service) Release(ctx context.Context, t ids.Tenant, reason string) error {
	_, err := db.InCentral(ctx, s.central, func(tx db.CentralTx) (struct{}, error) {
		row, err := inState(ctx, tx, t, tenants.Failing)
		if err != nil {
			return struct{}{}, goneIsDone(err)
		}
		if err := remove(ctx, tx, t); err != nil {
			return struct{}{}, err
		}
		return struct{}{}, s.conclude(ctx, tx, t, ids.Operation(row.OperationID), operations.Failed, reason)
	})
	return err
}

// goneIsDone forgives a missing row: the last compensation has run.
func goneIsDone(err error) error {
	if apperr.ReasonOf(err) == "TENANT_NOT_FOUND" {
		return nil
	}
	return err
}

func stateError(is, want string) error {
	return apperr.Newf(apperr.Precondition, "TENANT_STATE", "The tenant is %s, not %s.", is, want)
}
