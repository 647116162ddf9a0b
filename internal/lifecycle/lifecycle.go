// Package lifecycle makes true what operators have asked of a tenant that is
// made: who may enter it (T5), another invitation of its owner (U8), its
// limits (U9). The wish is in the central database, where the call that asked
// left it with an operation (tenants.Service); the worker runs what is here.
//
// Every function reads the wish when it acts, so runs that are late, repeated
// or reordered do no harm, and ends its operation in the central transaction
// that follows the effect. What was done and not yet recorded is done again
// without a second effect.
package lifecycle

import (
	"context"
	"log/slog"
	"slices"

	"tenantry/internal/apperr"
	"tenantry/internal/clock"
	"tenantry/internal/db"
	"tenantry/internal/ids"
	"tenantry/internal/operations"
	"tenantry/internal/outbox"
	"tenantry/internal/pgadmin"
	"tenantry/internal/tenants"
)

// Superseded is the reason of an operation whose wish a later one took back
// before it came true.
const Superseded = "SUPERSEDED"

// Call is an operator's call: the tenant and the operation that reports on it.
type Call struct {
	Tenant    ids.Tenant
	Operation ids.Operation
}

// Service runs the calls.
type Service struct {
	central *db.Central
	router  *tenants.Router
	admin   *pgadmin.Admin
	now     clock.Clock
	bell    *outbox.Bell
	log     *slog.Logger
}

// New makes the service. admin holds the provisioning credential.
func New(c *db.Central, r *tenants.Router, admin *pgadmin.Admin, now clock.Clock, bell *outbox.Bell, log *slog.Logger) *Service {
	return &Service{central: c, router: r, admin: admin, now: now, bell: bell, log: log}
}

// kinds are the operations that a workflow works on.
var kinds = map[string][]string{
	ids.WorkflowApplyTenantAccess: {operations.KindSuspend, operations.KindResume},
	ids.WorkflowInviteOwner:       {operations.KindInviteOwner},
	ids.WorkflowApplyTenantLimits: {operations.KindSetLimits},
}

// Begin says that an operation's workflow runs. Starting a workflow by hand
// grants nothing: without an operation of its kind and tenant it is refused.
func (s *Service) Begin(ctx context.Context, c Call, workflow string) error {
	_, err := db.InCentral(ctx, s.central, func(tx db.CentralTx) (struct{}, error) {
		op, err := find(ctx, tx, c)
		if err != nil {
			return struct{}{}, err
		}
		if !slices.Contains(kinds[workflow], op.Kind) {
			return struct{}{}, errUnknown()
		}
		return struct{}{}, operations.MarkRunning(ctx, tx, c.Operation)
	})
	return err
}

// Fail ends an operation that was refused; nothing of its wish stays behind.
func (s *Service) Fail(ctx context.Context, c Call, reason string) error {
	_, err := db.InCentral(ctx, s.central, func(tx db.CentralTx) (struct{}, error) {
		op, err := lockCall(ctx, tx, c)
		if err != nil || op.Ended() {
			return struct{}{}, err
		}
		if op.Kind == operations.KindInviteOwner {
			if err := wipeOwnerEmail(ctx, tx, c.Tenant); err != nil {
				return struct{}{}, err
			}
		}
		return struct{}{}, s.end(ctx, tx, op, operations.Failed, reason, op.Kind+"_failed", map[string]any{"reason": reason})
	})
	return err
}

// lockCall locks the tenant's row, then the operation's: the order of whoever
// makes the calls. A tenant that is gone leaves its operation to be ended.
func lockCall(ctx context.Context, tx db.CentralTx, c Call) (operations.Operation, error) {
	if _, err := lockTenant(ctx, tx, c.Tenant); err != nil && apperr.ReasonOf(err) != "TENANT_NOT_FOUND" {
		return operations.Operation{}, err
	}
	op, err := operations.Lock(ctx, tx, c.Operation)
	if err == nil && op.Tenant != c.Tenant {
		err = errUnknown()
	}
	return op, err
}

func find(ctx context.Context, tx db.CentralTx, c Call) (operations.Operation, error) {
	op, err := operations.Find(ctx, tx, c.Operation, nil)
	if err == nil && op.Tenant != c.Tenant {
		err = errUnknown()
	}
	return op, err
}

func errUnknown() error {
	return apperr.New(apperr.NotFound, "OPERATION_NOT_FOUND", "No such operation of this tenant and workflow.")
}
