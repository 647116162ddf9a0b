package worker

import (
	"context"
	"errors"

	"go.temporal.io/api/serviceerror"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"tenantry/internal/apperr"
)

// Codes of the relay, for logs and outbox rows.
const (
	codeTemporalDown    = "TEMPORAL_UNREACHABLE"
	codeTemporalRefused = "TEMPORAL_REFUSED"
	codeUnknownWorkflow = "UNKNOWN_WORKFLOW"
)

// codeOf names an error without its text, which may hold addresses.
func codeOf(err error) string {
	if e, ok := apperr.As(err); ok {
		return e.Reason
	}
	if temporalDown(err) {
		return codeTemporalDown
	}
	if _, ok := err.(serviceerror.ServiceError); ok { //nolint:errorlint // the SDK answers these bare
		return codeTemporalRefused
	}
	return "INTERNAL"
}

func temporalDown(err error) bool {
	var away *serviceerror.Unavailable
	var late *serviceerror.DeadlineExceeded
	switch {
	case errors.As(err, &away), errors.As(err, &late), errors.Is(err, context.DeadlineExceeded):
		return true
	}
	c := status.Code(err)
	return c == codes.Unavailable || c == codes.DeadlineExceeded
}

// refusedForGood reports that a tenant is not there to be drained.
func refusedForGood(err error) bool {
	k := apperr.KindOf(err)
	return k == apperr.NotFound || k == apperr.Precondition
}
