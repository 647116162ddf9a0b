package activities

import (
	"context"
	"slices"

	"go.temporal.io/sdk/activity"

	"tenantry/internal/apperr"
	"tenantry/internal/db"
	"tenantry/internal/ids"
)

// StepOutboxSweep drains a tenant's outbox, marked or not (W1).
const StepOutboxSweep = "outbox_sweep"

// StepSweepExpired deletes what has expired: the marks of keyed calls (E4).
const StepSweepExpired = "sweep_expired"

// StepRotateKeys changes signing keys that are due, and deletes those whose
// tokens have all expired (A5).
const StepRotateKeys = "rotate_keys"

// FleetSteps is every step a fleet pass knows, in the order it runs them.
var FleetSteps = []string{StepOutboxSweep, StepSweepExpired, StepRotateKeys}

// Fleet is what visits every tenant by the clock.
type Fleet struct {
	// Active answers the ids of active tenants after one, in order
	// (tenants.Service.ActiveAfter).
	Active func(ctx context.Context, after ids.Tenant, limit int) ([]ids.Tenant, error)
	// Lease answers an active tenant's database (tenants.Router.Lease).
	Lease func(context.Context, ids.Tenant) (*db.Lease, error)
	// Drain empties the outbox (mailer.Mailer.DrainTenant).
	Drain func(ctx context.Context, l *db.Lease, limit int) (int, error)
	// Expire deletes a batch of what has expired at a tenant and answers how
	// much it was; ExpireCentral does so in the central database.
	Expire        func(ctx context.Context, l *db.Lease, limit int) (int, error)
	ExpireCentral func(ctx context.Context, limit int) (int, error)
	// KeepKeys is the nightly care of a tenant's signing keys
	// (signingkeys.Service.Keep).
	KeepKeys func(context.Context, ids.Tenant) error
}

// Page asks for the tenants after a cursor.
type Page struct {
	// After is the last tenant of the page before; zero begins.
	After ids.Tenant `json:"after,omitzero"`
	Limit int        `json:"limit"`
}

// PageResult is the tenants of a page; fewer than asked for is the last one.
type PageResult struct {
	Tenants []ids.Tenant `json:"tenants"`
}

// Visit names a tenant and the steps to run there.
type Visit struct {
	TenantID ids.Tenant `json:"tenant_id"`
	Steps    []string   `json:"steps"`
}

// VisitResult is how a visit went.
type VisitResult struct {
	// Skipped: the tenant is not active any more.
	Skipped bool `json:"skipped,omitempty"`
}

// FleetPage answers the next tenants to visit. The first page of a
// pass also deletes what has expired in the central database.
func (a *Fleet) FleetPage(ctx context.Context, in Page) (PageResult, error) {
	if in.After.IsZero() {
		if err := inBatches(expireBatch, func(limit int) (int, error) { return a.ExpireCentral(ctx, limit) }); err != nil {
			return PageResult{}, forward(ctx, err)
		}
	}
	found, err := a.Active(ctx, in.After, in.Limit)
	return PageResult{Tenants: found}, forward(ctx, err)
}

// FleetVisit runs the steps on one lease. A failed step does not keep the
// tenant from the others; the first error is the visit's.
func (a *Fleet) FleetVisit(ctx context.Context, in Visit) (VisitResult, error) {
	lease, err := a.Lease(ctx, in.TenantID)
	if refused(err) {
		return VisitResult{Skipped: true}, nil
	}
	if err != nil {
		return VisitResult{}, forward(ctx, err)
	}
	return VisitResult{}, forward(ctx, a.run(ctx, lease, in.Steps))
}

func (a *Fleet) run(ctx context.Context, lease *db.Lease, steps []string) error {
	var first error
	for _, step := range FleetSteps {
		if !slices.Contains(steps, step) {
			continue
		}
		if err := a.step(ctx, lease, step); err != nil {
			activity.GetLogger(ctx).Warn("Fleet step failed.", "step", step, "tenant", lease.Tenant.String(), "reason", apperr.ReasonOf(err))
			if first == nil {
				first = err
			}
		}
	}
	return first
}

func (a *Fleet) step(ctx context.Context, lease *db.Lease, step string) error {
	switch step {
	case StepOutboxSweep:
		return Sweep(ctx, lease, a.Drain)
	case StepSweepExpired:
		return inBatches(expireBatch, func(limit int) (int, error) { return a.Expire(ctx, lease, limit) })
	case StepRotateKeys:
		return a.KeepKeys(ctx, lease.Tenant)
	}
	return apperr.Newf(apperr.Invalid, "INVALID_ARGUMENT", "Unknown fleet step %q.", step)
}

const (
	sweepBatch  = 50
	expireBatch = 5000
	// sweepRounds bounds how long one tenant takes; the rest
	// waits for the next sweep.
	sweepRounds = 20
)

// Sweep drains a leased tenant's outbox batch by batch. The relay uses it too.
func Sweep(ctx context.Context, lease *db.Lease, drain func(context.Context, *db.Lease, int) (int, error)) error {
	return inBatches(sweepBatch, func(limit int) (int, error) { return drain(ctx, lease, limit) })
}

// inBatches repeats what answers how much it did until there is no more, or
// for long enough.
func inBatches(size int, do func(limit int) (int, error)) error {
	for range sweepRounds {
		done, err := do(size)
		if err != nil || done < size {
			return err
		}
	}
	return nil
}
