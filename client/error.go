package client

import (
	"errors"
	"strconv"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connectproto"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
)

// Error is a refusal of the API, in the words of its catalogue.
type Error struct {
	// Reason is stable and made for programs: "VERSION_CONFLICT".
	Reason string
	Code   connect.Code
	// Message is for people, in the language that was asked for.
	Message string
	// Fields are the refused ones.
	Fields []Field
	// RetryAfter is when to come back; 0 where the API did not say.
	RetryAfter time.Duration
	// CurrentVersion is the row's, on VERSION_CONFLICT.
	CurrentVersion int64
	// RequestID names the request in the API's logs.
	RequestID string
	cause     error
}

// Field is one field that was refused.
type Field struct {
	// Path is "settings.time_zone".
	Path string
	// Rule is a stable id: "string.email".
	Rule string
	// Message says what is allowed.
	Message string
}

// Error is the message with its reason.
func (e *Error) Error() string { return e.Message + " (" + e.Reason + ")" }

// Unwrap answers Connect's error.
func (e *Error) Unwrap() error { return e.cause }

// AsError answers what the API said, if it was the API: a broken connection or
// a proxy's page is no Error.
func AsError(err error) (*Error, bool) {
	var remote *connect.Error
	if !errors.As(err, &remote) {
		return nil, false
	}
	e := &Error{Code: remote.Code(), Message: remote.Message(), cause: err}
	for _, d := range remote.Details() {
		m, err := connectproto.UnmarshalErrorDetail(d)
		if err != nil {
			continue // a detail of a newer API
		}
		switch m := m.(type) {
		case *errdetails.ErrorInfo:
			e.Reason = m.GetReason()
			e.CurrentVersion, _ = strconv.ParseInt(m.GetMetadata()["currentVersion"], 10, 64) // absent: 0
		case *errdetails.BadRequest:
			for _, v := range m.GetFieldViolations() {
				e.Fields = append(e.Fields, Field{Path: v.GetField(), Rule: v.GetReason(), Message: v.GetDescription()})
			}
		case *errdetails.RetryInfo:
			e.RetryAfter = m.GetRetryDelay().AsDuration()
		case *errdetails.LocalizedMessage:
			e.Message = m.GetMessage()
		case *errdetails.RequestInfo:
			e.RequestID = m.GetRequestId()
		}
	}
	return e, e.Reason != ""
}
