package workflows

import (
	"go.temporal.io/sdk/workflow"

	"tenantry/activities"
	"tenantry/internal/ids"
)

// ProvisionTenantInput names the reservation; there is never more in it.
type ProvisionTenantInput struct {
	TenantID string `json:"tenant_id"`
}

// ProvisionTenantResult is the answer of a provisioned tenant.
type ProvisionTenantResult struct {
	TenantID string `json:"tenant_id"`
}

const stepTake = "take_reservation"

// steps are the way on from a taken reservation, each with what takes it back.
func steps(tenant activities.Tenant, target activities.Target) []step {
	return []step{
		// Step 2. The tenant's login role.
		{"create_role", serverCommand, do.CreateRole, target, do.DropRole},
		// Step 3. Its database, from the template, closed.
		{"create_database", serverCommand, do.CreateDatabase, target, do.DropDatabase},
		// Step 4. Only its role may connect; then it opens.
		{"grant_and_open", serverCommand, do.GrantAndOpen, target, do.CloseDatabase},
		// Steps 5 and 6 live in the database that step 3 drops.
		{"seed_roles", tenantTransaction, do.SeedRoles, tenant, nil},
		{"invite_owner", tenantTransaction, do.InviteOwner, tenant, nil},
		// Step 7. The key that signs its access tokens.
		{"create_signing_key", centralTransaction, do.CreateSigningKey, tenant, do.DeleteSigningKeys},
		// Step 8. The point of no return: nothing follows it.
		{"activate", centralTransaction, do.Activate, tenant, nil},
	}
}

// ProvisionTenant turns a reservation into a tenant, or leaves nothing of it.
func ProvisionTenant(ctx workflow.Context, in ProvisionTenantInput) (ProvisionTenantResult, error) {
	// Only the tenant's own workflow id may go on, and before anything is
	// registered: another run must not tear down the real one.
	tenant, err := ids.ParseTenant(in.TenantID)
	if err != nil {
		return ProvisionTenantResult{}, failure(TypeRefused, ReasonInvalid)
	}
	if workflow.GetInfo(ctx).WorkflowExecution.ID != ids.ProvisionTenantWorkflow(tenant) {
		return ProvisionTenantResult{}, failure(TypeRefused, ReasonWorkflowID)
	}
	run, err := newRecipe(ctx, tenant)
	if err != nil {
		return ProvisionTenantResult{}, err
	}
	result := ProvisionTenantResult{TenantID: tenant.String()}

	// Step 1. Take the reservation. A refusal changed nothing: nothing is
	// taken back. Anything else that is no clear answer may have taken it.
	run.saga.register(stepTake, do.Release, run.released)
	var found activities.Reservation
	take := step{name: stepTake, preset: centralTransaction, activity: do.TakeReservation, input: run.tenant}
	if err := run.run(ctx, take, &found); err != nil {
		return result, run.takeBack(ctx, reasonOf(err))
	}
	switch found.State {
	case activities.StateProvisioning, activities.StateFailing:
	case activities.StateActive:
		return result, run.finish(ctx)
	default:
		return result, run.refused(ctx, found.Reason)
	}

	// Steps 2 to 8. What takes a step back is registered before the step. If
	// an earlier run began to take back, all of it is registered and none run.
	target := activities.Target{TenantID: tenant, Database: found.Database, Role: found.Role}
	for _, s := range steps(run.tenant, target) {
		run.onTakeBack(s)
		if found.State == activities.StateFailing {
			continue
		}
		if err := run.run(ctx, s, nil); err != nil {
			return result, run.takeBack(ctx, reasonOf(err))
		}
	}
	if found.State == activities.StateFailing {
		return result, run.takeBack(ctx, ReasonInterrupted)
	}
	return result, run.finish(ctx)
}
