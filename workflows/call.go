package workflows

import (
	"go.temporal.io/sdk/workflow"

	"tenantry/activities"
	"tenantry/internal/ids"
)

// CallInput names an operator's call on a tenant; there is never more in it.
type CallInput struct {
	TenantID    string `json:"tenant_id"`
	OperationID string `json:"operation_id"`
}

// CallResult is the answer of a call that came to its end. The operation says
// which: a later call may have taken the wish back.
type CallResult struct {
	OperationID string `json:"operation_id"`
}

// lifecycle refers to the activities; nothing is called through it here.
var lifecycle *activities.Lifecycle

const stepBegin = "begin"

// call runs the one step of an operator's call. It is not to be cancelled: the
// wish stands in the database, and the opposite call takes it back.
func call(ctx workflow.Context, in CallInput, id func(ids.Tenant, ids.Operation) string, s step) (CallResult, error) {
	// Only the operation's own workflow id may go on.
	tenant, err := ids.ParseTenant(in.TenantID)
	operation, operr := ids.ParseOperation(in.OperationID)
	if err != nil || operr != nil {
		return CallResult{}, failure(TypeRefused, ReasonInvalid)
	}
	if workflow.GetInfo(ctx).WorkflowExecution.ID != id(tenant, operation) {
		return CallResult{}, failure(TypeRefused, ReasonWorkflowID)
	}
	ctx, cancel := workflow.NewDisconnectedContext(ctx)
	defer cancel()
	p, err := newProgress(ctx, stepBegin, s.name)
	if err != nil {
		return CallResult{}, err
	}
	run := &recipe{tenant: activities.Tenant{TenantID: tenant}, progress: p}
	s.input = activities.Call{TenantID: tenant, OperationID: operation}

	// Step 1. There is such an operation, and it runs.
	if err := run.run(ctx, step{name: stepBegin, preset: standing, activity: lifecycle.BeginCall, input: s.input}, nil); err != nil {
		return CallResult{}, run.refused(ctx, reasonOf(err))
	}
	// Step 2. What was asked for. It ends the operation.
	if err := run.run(ctx, s, nil); err != nil {
		// Step 3. A refusal ends it as failed.
		reason := reasonOf(err)
		actx := preset(compensation).with(ctx, "end the operation", tenant.String())
		failed := activities.Failed{TenantID: tenant, OperationID: operation, Reason: reason}
		if err := workflow.ExecuteActivity(actx, lifecycle.FailCall, failed).Get(ctx, nil); err != nil {
			return CallResult{}, err // never: it is tried until it is done
		}
		p.end(ctx, "Failed ("+reason+").", Failed)
		return CallResult{}, failure(TypeCallFailed, reason)
	}
	p.end(ctx, "Ended; the operation says how.", Done)
	return CallResult{OperationID: in.OperationID}, nil
}
