package tenants

import (
	"context"
	"slices"
	"strings"

	"tenantry/internal/apperr"
	"tenantry/internal/audit"
	"tenantry/internal/db"
	"tenantry/internal/ids"
	"tenantry/internal/operations"
	"tenantry/internal/outbox"
)

// An operator's call on a tenant is one central transaction: the wish in the
// tenant's row, the operation that reports on it, the intent that starts its
// workflow, the audit row. Package lifecycle makes the wish come true.

// access is a wish about who may enter (T5).
type access struct {
	kind, action string
	// from are the states that it changes, to is what it changes them to.
	from []string
	to   string
	// reached are the states that have it already.
	reached []string
}

var (
	suspend = access{operations.KindSuspend, "tenant.suspend_requested", []string{Active, Resuming}, Suspended, []string{Suspended}}
	resume  = access{operations.KindResume, "tenant.resume_requested", []string{Suspended}, Resuming, []string{Resuming, Active}}
)

// Suspend shuts a tenant. A suspended one is answered with the operation that
// suspended it. There is no room for a reason: a free text about a customer
// has no place in an audit log that outlives it.
func (s *Service) Suspend(ctx context.Context, t ids.Tenant, by Requester, mark *db.Mark[operations.Operation]) (operations.Operation, error) {
	return s.changeAccess(ctx, t, suspend, by, mark)
}

// Resume opens a suspended tenant. One that is open already is answered with
// the operation that resumed it; one that never was suspended is refused.
func (s *Service) Resume(ctx context.Context, t ids.Tenant, by Requester, mark *db.Mark[operations.Operation]) (operations.Operation, error) {
	return s.changeAccess(ctx, t, resume, by, mark)
}

func (s *Service) changeAccess(ctx context.Context, t ids.Tenant, a access, by Requester, mark *db.Mark[operations.Operation]) (operations.Operation, error) {
	return s.call(ctx, mark, func(tx db.CentralTx) (operations.Operation, error) {
		row, err := lock(ctx, tx, t)
		if err != nil {
			return operations.Operation{}, err
		}
		if slices.Contains(a.reached, row.State) {
			if op, found, err := operations.Newest(ctx, tx, t, a.kind); err != nil || found {
				return op, err
			}
		}
		if !slices.Contains(a.from, row.State) {
			return operations.Operation{}, stateError(row.State, a.from...)
		}
		if err := setState(ctx, tx, t, a.to); err != nil {
			return operations.Operation{}, err
		}
		op := ids.NewOperation()
		return s.begin(ctx, tx, begun{
			op: op, tenant: t, kind: a.kind, workflow: ids.WorkflowApplyTenantAccess, id: ids.TenantAccessWorkflow(t, op),
			action: a.action, before: map[string]any{"state": row.State}, after: map[string]any{"state": a.to, "operation_id": op},
		}, by)
	})
}

// InviteOwner asks for another invitation of an active tenant's owner (U8), to
// email or, where it is empty, to the address invited before. One at a time:
// the tenant's row holds one address.
func (s *Service) InviteOwner(ctx context.Context, t ids.Tenant, email string, by Requester, mark *db.Mark[operations.Operation]) (operations.Operation, error) {
	if email != "" {
		if err := checkOwnerEmail(email); err != nil {
			return operations.Operation{}, err
		}
	}
	return s.call(ctx, mark, func(tx db.CentralTx) (operations.Operation, error) {
		row, err := lock(ctx, tx, t)
		if err != nil {
			return operations.Operation{}, err
		}
		if row.State != Active {
			return operations.Operation{}, stateError(row.State, Active)
		}
		last, found, err := operations.Newest(ctx, tx, t, operations.KindInviteOwner)
		if err != nil {
			return operations.Operation{}, err
		}
		if found && !last.Ended() {
			return operations.Operation{}, apperr.Newf(apperr.Precondition, "TENANT_STATE",
				"The owner is being invited already, by operation %s. Repeat the call when it has ended.", last.ID)
		}
		if email != "" {
			if err := setOwnerEmail(ctx, tx, s.central.Keyring(), row, email); err != nil {
				return operations.Operation{}, err
			}
		}
		op := ids.NewOperation()
		return s.begin(ctx, tx, begun{
			op: op, tenant: t, kind: operations.KindInviteOwner, workflow: ids.WorkflowInviteOwner, id: ids.InviteOwnerWorkflow(t, op),
			action: "tenant.owner_invite_requested", after: map[string]any{"operation_id": op, "corrected_address": email != ""},
		}, by)
	})
}

// LimitsInput is what only operators set.
type LimitsInput struct {
	// MaxUsers is the most accounts; 0 means no limit.
	MaxUsers int
	// Version is that of the tenant as it was read.
	Version int64
}

// Validate names the first field that is out of bounds.
func (in LimitsInput) Validate() error {
	if in.MaxUsers < 0 || in.MaxUsers > 1_000_000 {
		return apperr.InvalidField("max_users", "int32.gte_lte", "must be 0 (no limit) to 1000000")
	}
	return nil
}

// SetLimits changes an active tenant's limits; ApplyTenantLimits takes them
// into the tenant's settings.
func (s *Service) SetLimits(ctx context.Context, t ids.Tenant, in LimitsInput, by Requester, mark *db.Mark[operations.Operation]) (operations.Operation, error) {
	if err := in.Validate(); err != nil {
		return operations.Operation{}, err
	}
	return s.call(ctx, mark, func(tx db.CentralTx) (operations.Operation, error) {
		row, err := lock(ctx, tx, t)
		if err != nil {
			return operations.Operation{}, err
		}
		if err := apperr.CheckVersion(in.Version, row.Version); err != nil {
			return operations.Operation{}, err
		}
		if row.State != Active {
			return operations.Operation{}, stateError(row.State, Active)
		}
		if err := setMaxUsers(ctx, tx, t, in.MaxUsers); err != nil {
			return operations.Operation{}, err
		}
		op := ids.NewOperation()
		return s.begin(ctx, tx, begun{
			op: op, tenant: t, kind: operations.KindSetLimits, workflow: ids.WorkflowApplyTenantLimits, id: ids.TenantLimitsWorkflow(t, op),
			action: "tenant.limits_requested", before: map[string]any{"max_users": row.MaxUsers},
			after: map[string]any{"max_users": in.MaxUsers, "operation_id": op},
		}, by)
	})
}

// call runs fn once and wakes the relay.
func (s *Service) call(ctx context.Context, mark *db.Mark[operations.Operation], fn func(db.CentralTx) (operations.Operation, error)) (operations.Operation, error) {
	op, err := db.InCentralOnce(ctx, s.central, mark, fn)
	if err == nil {
		s.bell.Ring(ctx, ids.Tenant{})
	}
	return op, err
}

// begun is an operation that begins with its workflow.
type begun struct {
	op            ids.Operation
	tenant        ids.Tenant
	kind          string
	workflow, id  string
	action        string
	before, after map[string]any
}

func (s *Service) begin(ctx context.Context, tx db.CentralTx, b begun, by Requester) (operations.Operation, error) {
	now := s.now()
	op := operations.Operation{ID: b.op, Kind: b.kind, Tenant: b.tenant, WorkflowID: b.id, State: operations.Pending, CreatedAt: now}
	if err := operations.Create(ctx, tx, op); err != nil {
		return op, err
	}
	if err := outbox.Start(ctx, tx, now, outbox.StartIntent{Workflow: b.workflow, Tenant: b.tenant, Operation: b.op}); err != nil {
		return op, err
	}
	return op, audit.Write(ctx, tx, now, audit.Entry{
		Actor: by.Actor, Action: b.action, TargetKind: "tenant", TargetID: b.tenant.UUID(), TenantID: b.tenant, RequestID: by.RequestID,
		Before: b.before, After: b.after,
	})
}

func stateError(is string, want ...string) error {
	return apperr.Newf(apperr.Precondition, "TENANT_STATE", "The tenant is %s; this call needs one that is %s.", is, strings.Join(want, " or "))
}
