package api

import (
	"context"
	"time"

	"tenantry/api/edge"
	operationsv1 "tenantry/api/gen/tenantry/operations/v1"
	"tenantry/internal/ids"
	"tenantry/internal/operations"
)

// defaultWait is how long WaitOperation waits unless told otherwise.
const defaultWait = 10 * time.Second

type operationsHandler struct{ operations *operations.Service }

func (h *operationsHandler) GetOperation(ctx context.Context, req *operationsv1.GetOperationRequest) (*operationsv1.Operation, error) {
	call := edge.From(ctx)
	id, err := parseID("id", req.GetId())
	if err != nil {
		return nil, err
	}
	op, err := h.operations.Get(ctx, ids.Operation(id), call.Operator.Source)
	return operationMessage(op), err
}

func (h *operationsHandler) ListOperations(ctx context.Context, req *operationsv1.ListOperationsRequest) (*operationsv1.ListOperationsResponse, error) {
	call := edge.From(ctx)
	in := listRequest(req)
	found, err := h.operations.List(ctx, in, call.Operator.Source)
	if err != nil {
		return nil, err
	}
	resp := &operationsv1.ListOperationsResponse{Operations: each(found.Items, operationMessage), NextCursor: found.Next}
	return partial(resp, in, found.Shown), nil
}

func (h *operationsHandler) WaitOperation(ctx context.Context, req *operationsv1.WaitOperationRequest) (*operationsv1.Operation, error) {
	call := edge.From(ctx)
	id, err := parseID("id", req.GetId())
	if err != nil {
		return nil, err
	}
	timeout := time.Duration(req.GetTimeoutSeconds()) * time.Second
	if timeout == 0 {
		timeout = defaultWait
	}
	op, err := h.operations.Wait(ctx, ids.Operation(id), timeout, call.Operator.Source)
	return operationMessage(op), err
}

func (h *operationsHandler) CancelOperation(ctx context.Context, req *operationsv1.CancelOperationRequest) (*operationsv1.Operation, error) {
	call := edge.From(ctx)
	id, err := parseID("id", req.GetId())
	if err != nil {
		return nil, err
	}
	op, err := h.operations.RequestCancel(ctx, ids.Operation(id), call.Actor(), call.RequestID, mark(call, operationMessage))
	return operationMessage(op), err
}
