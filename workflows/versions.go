// Package workflows is the durable recipes: what survives a crash and what an
// operator can watch, stop and start by hand.
//
// A recipe is replayed from its history, so it reads no clock, no randomness
// and nothing of the process; it imports the SDK, activities and ids only.
// Inputs and results carry ids: histories hold nothing about a person.
package workflows

import (
	"go.temporal.io/sdk/workflow"

	"tenantry/internal/ids"
)

// Changing a recipe: an open history must replay on the new code. A change of
// the order, number or names of its commands asks workflow.GetVersion with a
// change id listed here, and a golden history of the release before stays in
// testdata/replay until no run of that release can be open. There is no change
// yet, so no id.

// Registration is a workflow under its stable name.
type Registration struct {
	Name  string
	Queue string
	Func  any
}

// All is every workflow, with the queue that runs it.
func All() []Registration {
	return []Registration{
		{ids.WorkflowProvisionTenant, ids.QueueProvisioning, ProvisionTenant},
		{ids.WorkflowApplyTenantAccess, ids.QueueProvisioning, ApplyTenantAccess},
		{ids.WorkflowInviteOwner, ids.QueueProvisioning, InviteOwner},
		{ids.WorkflowApplyTenantLimits, ids.QueueProvisioning, ApplyTenantLimits},
		{ids.WorkflowFleetPass, ids.QueueFleet, FleetPass},
	}
}

// Registry is what a worker, a replayer and a test environment share.
type Registry interface {
	RegisterWorkflowWithOptions(any, workflow.RegisterOptions)
}

// Register adds the workflows of a queue; an empty queue stands for all.
func Register(r Registry, queue string) {
	for _, w := range All() {
		if queue == "" || queue == w.Queue {
			r.RegisterWorkflowWithOptions(w.Func, workflow.RegisterOptions{Name: w.Name})
		}
	}
}
