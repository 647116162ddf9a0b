package api

import (
	operationsv1 "tenantry/api/gen/tenantry/operations/v1"
	"tenantry/internal/operations"
)

var operationStates = map[string]operationsv1.OperationState{
	operations.Pending:   operationsv1.OperationState_OPERATION_STATE_PENDING,
	operations.Running:   operationsv1.OperationState_OPERATION_STATE_RUNNING,
	operations.Succeeded: operationsv1.OperationState_OPERATION_STATE_SUCCEEDED,
	operations.Failed:    operationsv1.OperationState_OPERATION_STATE_FAILED,
}

func operationMessage(o operations.Operation) *operationsv1.Operation {
	out := &operationsv1.Operation{
		Id: o.ID.String(), Kind: o.Kind, State: operationStates[o.State], Reason: o.Reason, WorkflowId: o.WorkflowID,
		CreateTime: timestamp(&o.CreatedAt), EndTime: timestamp(o.EndedAt), ProgressAvailable: o.ProgressAvailable,
	}
	if !o.Tenant.IsZero() {
		out.TenantId = o.Tenant.String()
	}
	for _, s := range o.Steps {
		out.Steps = append(out.Steps, &operationsv1.Step{Name: s.Name, State: s.State})
	}
	return out
}
