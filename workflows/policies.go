package workflows

import (
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"tenantry/activities"
)

// Longest is the longest time one attempt of any activity may take: a worker
// that shuts down waits longer than this.
const Longest = 90 * time.Second

// heartbeat is how soon a killed worker is noticed. The worker beats for
// every activity, each second.
const heartbeat = 4 * time.Second

// preset is a named set of activity options.
type preset func() workflow.ActivityOptions

// centralTransaction is for one short transaction on the central database.
// The attempts last about a quarter of an hour, so a restarted database fails
// no operation; they count starts, so an absent worker does not use them up.
func centralTransaction() workflow.ActivityOptions { return forward(30 * time.Second) }

// tenantTransaction is for short transactions on a tenant's database.
func tenantTransaction() workflow.ActivityOptions { return forward(30 * time.Second) }

// serverCommand is for CREATE and GRANT, which may wait for an older attempt
// of themselves: Postgres goes on when its client is dead.
func serverCommand() workflow.ActivityOptions { return forward(Longest) }

func forward(attempt time.Duration) workflow.ActivityOptions {
	return workflow.ActivityOptions{
		StartToCloseTimeout: attempt,
		HeartbeatTimeout:    heartbeat,
		// A cancelled step is waited for: what it did must be known before
		// the first compensation begins.
		WaitForCancellation: true,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval: 250 * time.Millisecond, BackoffCoefficient: 2, MaximumInterval: 10 * time.Second,
			MaximumAttempts: 100, NonRetryableErrorTypes: activities.Refusals,
		},
	}
}

// standing is for a wish that stands until it has come true or is refused:
// giving up would leave a tenant half shut, or its settings behind.
func standing() workflow.ActivityOptions {
	o := forward(Longest)
	o.RetryPolicy.MaximumAttempts, o.RetryPolicy.MaximumInterval = 0, 30*time.Second
	return o
}

// compensation is tried until it is done: giving up would leave residue.
func compensation() workflow.ActivityOptions {
	return workflow.ActivityOptions{
		StartToCloseTimeout: Longest,
		HeartbeatTimeout:    heartbeat,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval: 250 * time.Millisecond, BackoffCoefficient: 2, MaximumInterval: 30 * time.Second,
			MaximumAttempts: 0, // no limit
		},
	}
}

// fleetVisit is for one tenant of a fleet pass: a tenant that fails a few
// times is named and left for the next pass.
func fleetVisit() workflow.ActivityOptions {
	o := forward(Longest)
	o.RetryPolicy.MaximumAttempts = 3
	return o
}

// with adds what the options say of one call: text for the UI, and the tenant
// whose share of the queue it uses.
func (p preset) with(ctx workflow.Context, summary, fairness string) workflow.Context {
	o := p()
	o.Summary = summary
	o.Priority = temporal.Priority{FairnessKey: fairness}
	return workflow.WithActivityOptions(ctx, o)
}
