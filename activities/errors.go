package activities

import (
	"context"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"tenantry/internal/apperr"
)

// Refusals are types of failures that more attempts cannot change, for the retry policies:
// the flag of each error says the same, these hold when an older worker
// answered.
var Refusals = []string{"INVALID_ARGUMENT", "TENANT_NOT_FOUND", "TENANT_STATE", "TENANT_NOT_ACTIVE"}

// retryable is the one mapping of kinds: what may change by itself is tried
// again, what the database has decided is not. Foreign errors are Internal: a
// broken connection must not look like a decision.
func retryable(k apperr.Kind) bool {
	switch k {
	case apperr.Invalid, apperr.Unauthenticated, apperr.Forbidden, apperr.NotFound,
		apperr.AlreadyExists, apperr.Conflict, apperr.Precondition:
		return false
	case apperr.Internal, apperr.RateLimited, apperr.Unavailable:
		return true
	}
	return true
}

// forward is how a step answers its error: the type is the reason, the text is
// fixed. What the database said goes to the log and never into a history.
func forward(ctx context.Context, err error) error {
	return answer(ctx, err, retryable(apperr.KindOf(err)))
}

// backward is how a compensation answers its error: always to be tried again,
// because giving up would leave residue.
func backward(ctx context.Context, err error) error { return answer(ctx, err, true) }

func answer(ctx context.Context, err error, again bool) error {
	if err == nil {
		return nil
	}
	if temporal.IsCanceledError(context.Cause(ctx)) {
		// Asked by the workflow; a worker that shuts down has another cause
		// and its activity is simply tried again.
		return temporal.NewCanceledError()
	}
	kind, reason := apperr.KindOf(err), apperr.ReasonOf(err)
	activity.GetLogger(ctx).Warn("Activity failed.", "kind", kind.String(), "reason", reason, "retryable", again, "error", err)
	message := kind.String() + "/" + reason
	return temporal.NewApplicationErrorWithOptions(message, reason, temporal.ApplicationErrorOptions{NonRetryable: !again})
}

// refused reports a decision of the database about the reservation: nothing
// was changed, and more attempts would hear the same.
func refused(err error) bool { return err != nil && !retryable(apperr.KindOf(err)) }

func refusal(err error) Reservation {
	return Reservation{State: StateRefused, Reason: apperr.ReasonOf(err)}
}
