package workflows

import (
	"go.temporal.io/sdk/workflow"

	"tenantry/internal/ids"
)

// ApplyTenantAccess makes a tenant's role match the state that the tenant has
// when it runs, suspended or resuming (T5): so runs that are late, repeated or
// reordered do no harm.
func ApplyTenantAccess(ctx workflow.Context, in CallInput) (CallResult, error) {
	return call(ctx, in, ids.TenantAccessWorkflow, step{name: "apply_access", preset: standing, activity: lifecycle.ApplyAccess})
}
