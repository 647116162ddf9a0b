package systest

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Operation is a workflow-backed call as the API shows it.
type Operation struct {
	ID                string `json:"id"`
	Kind              string `json:"kind"`
	State             string `json:"state"`
	Reason            string `json:"reason"`
	TenantID          string `json:"tenant_id"`
	WorkflowID        string `json:"workflow_id"`
	Steps             []Step `json:"steps"`
	ProgressAvailable bool   `json:"progress_available"`
}

// Step is a step of an operation.
type Step struct {
	Name  string `json:"name"`
	State string `json:"state"`
}

// Is compares the state with a plain word ("succeeded").
func (o Operation) Is(state string) bool {
	return strings.EqualFold(strings.TrimPrefix(o.State, "OPERATION_STATE_"), state)
}

// Ended reports whether nothing more will happen.
func (o Operation) Ended() bool { return o.Is("succeeded") || o.Is("failed") }

// Operation reads one operation with the first source's key.
func (s *System) Operation(ctx context.Context, id string) (Operation, error) {
	return s.operationAs(ctx, id, s.Hook.OperatorKey)
}

func (s *System) operationAs(ctx context.Context, id, key string) (Operation, error) {
	a, err := s.Get(ctx, "", "/v1/operations/"+id, key)
	if err != nil {
		return Operation{}, err
	}
	if a.Status != http.StatusOK {
		return Operation{}, fmt.Errorf("operation %s: %s", id, a)
	}
	var op Operation
	return op, a.JSON(&op)
}

// Cancel asks for an operation's end with the operator's key.
func (s *System) Cancel(ctx context.Context, id string) (Operation, error) {
	a, err := s.Post(ctx, "", "/v1/operations/"+id+":cancel", s.OperatorKey, map[string]any{})
	if err != nil {
		return Operation{}, err
	}
	if a.Status != http.StatusOK && a.Status != http.StatusAccepted {
		return Operation{}, fmt.Errorf("cancel %s: %s", id, a)
	}
	var op Operation
	return op, a.JSON(&op)
}

// WaitOperation answers the operation when it has ended. An API that is away
// is asked again until ctx ends.
func (s *System) WaitOperation(ctx context.Context, id string) (Operation, error) {
	return s.WaitOperationUntil(ctx, id, Operation.Ended)
}

// WaitOperationAs is WaitOperation with an operator key of the caller's choice.
func (s *System) WaitOperationAs(ctx context.Context, id, key string) (Operation, error) {
	return s.waitAs(ctx, id, key, Operation.Ended)
}

// WaitOperationUntil answers the operation as soon as cond holds.
func (s *System) WaitOperationUntil(ctx context.Context, id string, cond func(Operation) bool) (Operation, error) {
	return s.waitAs(ctx, id, s.Hook.OperatorKey, cond)
}

func (s *System) waitAs(ctx context.Context, id, key string, cond func(Operation) bool) (Operation, error) {
	var op Operation
	var last error
	describe := func() string { return fmt.Sprintf("waiting for operation %s (%+v, last error %v)", id, op, last) }
	err := poll(ctx, 100*time.Millisecond, describe, func(ctx context.Context) (bool, error) {
		found, err := s.operationAs(ctx, id, key)
		if err != nil {
			last = err
			return false, nil
		}
		op = found
		return cond(op), nil
	})
	return op, err
}

// Provision orders a tenant and waits for it.
func (s *System) Provision(ctx context.Context, o Order) (Operation, error) {
	op, err := s.Order(ctx, o)
	if err != nil {
		return op, err
	}
	op, err = s.WaitOperation(ctx, op.ID)
	if err == nil && !op.Is("succeeded") {
		err = fmt.Errorf("provisioning %s ended %s (%s)", o.Slug, op.State, op.Reason)
	}
	return op, err
}
