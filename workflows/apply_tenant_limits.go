package workflows

import (
	"go.temporal.io/sdk/workflow"

	"tenantry/internal/ids"
)

// ApplyTenantLimits takes the limits that the tenant's row holds when it runs
// into the tenant's settings (U9).
func ApplyTenantLimits(ctx workflow.Context, in CallInput) (CallResult, error) {
	return call(ctx, in, ids.TenantLimitsWorkflow, step{name: "apply_limits", preset: standing, activity: lifecycle.ApplyLimits})
}
