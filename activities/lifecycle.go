package activities

import (
	"context"

	"go.temporal.io/sdk/activity"

	"tenantry/internal/ids"
	"tenantry/internal/lifecycle"
)

// Lifecycle is what becomes of a tenant that is made (T5, U8, U9).
type Lifecycle struct{ Service *lifecycle.Service }

// Call names an operator's call; what was asked is read from the database.
type Call struct {
	TenantID    ids.Tenant    `json:"tenant_id"`
	OperationID ids.Operation `json:"operation_id"`
}

func (c Call) service() lifecycle.Call {
	return lifecycle.Call{Tenant: c.TenantID, Operation: c.OperationID}
}

// Failed is the input of FailCall.
type Failed struct {
	TenantID    ids.Tenant    `json:"tenant_id"`
	OperationID ids.Operation `json:"operation_id"`
	// Reason is a stable code; operators see it in the operation.
	Reason string `json:"reason"`
}

// BeginCall says that the operation's workflow runs, or that there is none.
func (a *Lifecycle) BeginCall(ctx context.Context, in Call) error {
	return forward(ctx, a.Service.Begin(ctx, in.service(), activity.GetInfo(ctx).WorkflowType.Name))
}

// ApplyAccess makes the tenant's role match its state and ends the operation.
func (a *Lifecycle) ApplyAccess(ctx context.Context, in Call) error {
	return forward(ctx, a.Service.ApplyAccess(ctx, in.service()))
}

// ReinviteOwner invites the owner again and ends the operation.
func (a *Lifecycle) ReinviteOwner(ctx context.Context, in Call) error {
	return forward(ctx, a.Service.InviteOwner(ctx, in.service()))
}

// ApplyLimits takes the limits into the tenant and ends the operation.
func (a *Lifecycle) ApplyLimits(ctx context.Context, in Call) error {
	return forward(ctx, a.Service.ApplyLimits(ctx, in.service()))
}

// FailCall ends an operation that was refused.
func (a *Lifecycle) FailCall(ctx context.Context, in Failed) error {
	return backward(ctx, a.Service.Fail(ctx, lifecycle.Call{Tenant: in.TenantID, Operation: in.OperationID}, in.Reason))
}
