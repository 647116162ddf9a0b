package workflows

import (
	"go.temporal.io/sdk/workflow"

	"tenantry/internal/ids"
)

// InviteOwner invites a tenant's owner again (U8): to the address that waits
// in the tenant's row, or to the one invited before.
func InviteOwner(ctx workflow.Context, in CallInput) (CallResult, error) {
	return call(ctx, in, ids.InviteOwnerWorkflow, step{name: "invite_owner", preset: tenantTransaction, activity: lifecycle.ReinviteOwner})
}
