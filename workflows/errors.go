package workflows

import (
	"errors"
	"regexp"

	"go.temporal.io/sdk/temporal"
)

// Types of the failures that workflows end with; stable for ever.
const (
	// TypeProvisioningFailed: nothing is left of the tenant.
	TypeProvisioningFailed = "ProvisioningFailed"
	// TypeCallFailed: the wish was refused, and the operation says why.
	TypeCallFailed = "CallFailed"
	// TypeFleetPassFailed: the tenants could not be listed.
	TypeFleetPassFailed = "FleetPassFailed"
	// TypeRefused: nothing was touched.
	TypeRefused = "Refused"
)

// Reasons that come from workflows themselves; others are an activity's.
const (
	ReasonCancelled   = "CANCELLED"
	ReasonTimeout     = "TIMEOUT"
	ReasonInterrupted = "INTERRUPTED"
	ReasonInternal    = "INTERNAL"
	ReasonWorkflowID  = "WRONG_WORKFLOW_ID"
	ReasonInvalid     = "INVALID_ARGUMENT"
)

// Reason is all that a failed workflow says: no text of a database.
type Reason struct {
	Reason string `json:"reason"`
}

func failure(kind, reason string) error {
	return temporal.NewNonRetryableApplicationError(reason, kind, nil, Reason{reason})
}

var code = regexp.MustCompile(`^[A-Z][A-Z0-9_]{0,63}$`)

// reasonOf answers the code of a failed step.
func reasonOf(err error) string {
	var app *temporal.ApplicationError
	var timeout *temporal.TimeoutError
	switch {
	case temporal.IsCanceledError(err):
		return ReasonCancelled
	case errors.As(err, &app) && code.MatchString(app.Type()):
		return app.Type()
	case errors.As(err, &timeout):
		return ReasonTimeout
	}
	return ReasonInternal
}
