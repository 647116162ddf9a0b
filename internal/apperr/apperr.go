// Package apperr is the vocabulary of failure shared by every module.
//
// A module answers an [Error] for whatever its caller may act on: the kind
// decides the status, the reason is stable and machine-readable (the enum
// tenantry.common.v1.Reason without its prefix), the message is public. The
// cause is for the log alone and never leaves the process. Any other error is
// internal: logged whole, answered with a fixed sentence.
//
// Kinds are mapped in two places only: api/errors.go (Connect codes) and
// activities/errors.go (retryable or not).
package apperr

import (
	"errors"
	"fmt"
	"maps"
	"strconv"
	"time"
)

// Kind is the class of a failure.
type Kind int

// The kinds. A new one must be mapped at both mappers; their tests walk Kinds.
const (
	Internal Kind = iota
	Invalid
	Unauthenticated
	Forbidden
	NotFound
	AlreadyExists
	Conflict
	Precondition
	RateLimited
	Unavailable
)

// Kinds is every kind, for the mappers' tests.
var Kinds = []Kind{Internal, Invalid, Unauthenticated, Forbidden, NotFound, AlreadyExists, Conflict, Precondition, RateLimited, Unavailable}

var kindNames = [...]string{"internal", "invalid", "unauthenticated", "forbidden", "not_found", "already_exists", "conflict", "precondition", "rate_limited", "unavailable"}

// String is the kind's name in logs.
func (k Kind) String() string {
	if k < 0 || int(k) >= len(kindNames) {
		return "internal"
	}
	return kindNames[k]
}

// Field is one field that was refused.
type Field struct {
	// Path as the client wrote it: "owner_email", "settings.time_zone".
	Path string
	// Rule is a stable id ("string.email").
	Rule string
	// Message says what is allowed.
	Message string
	// Params are what the localized sentence names, beside those of the Error.
	Params map[string]string
}

// Error is a failure the caller may act on.
type Error struct {
	Kind   Kind
	Reason string
	// Message is public: it names what was wrong and what is allowed, and
	// holds nothing about anybody but the caller. It is English and written for
	// developers; what people read is made from Reason, Fields and Params by
	// internal/i18n.
	Message string
	// Params are what the localized sentence names: a limit, allowed values.
	// They are as public as the message.
	Params     map[string]string
	Fields     []Field
	RetryAfter time.Duration
	// HTTPStatus overrides the status that the kind implies at HTTP doors
	// (413, 405, 415); 0 keeps it.
	HTTPStatus int
	// Metadata is google.rpc.ErrorInfo's: public facts for a program, with
	// lowerCamelCase keys (AIP-193).
	Metadata map[string]string
	cause    error
}

// New answers an error of a kind with its reason and public message.
func New(kind Kind, reason, message string) *Error {
	return &Error{Kind: kind, Reason: reason, Message: message}
}

// Newf is New with a format. The arguments become public.
func Newf(kind Kind, reason, format string, args ...any) *Error {
	return New(kind, reason, fmt.Sprintf(format, args...))
}

// InvalidField is the common case: one field, its rule, what is allowed.
func InvalidField(path, rule, message string) *Error {
	return &Error{
		Kind: Invalid, Reason: "INVALID_ARGUMENT", Message: path + ": " + message,
		Fields: []Field{{Path: path, Rule: rule, Message: message}},
	}
}

// VersionRequired refuses an update or deletion that names no version (U4);
// HTTP doors answer 428 (RFC 6585).
func VersionRequired() *Error {
	e := InvalidField("version", "version.required", "must be the version you have read (REST: If-Match, the ETag of the answer)")
	e.Kind, e.Reason, e.HTTPStatus = Precondition, "VERSION_REQUIRED", 428
	return e
}

// VersionConflict refuses a change of a row that somebody else has changed
// since; REST answers 412 to an If-Match.
func VersionConflict(current int64) *Error {
	e := Newf(Conflict, "VERSION_CONFLICT", "version: it has changed meanwhile, its version is %d now. Read it again, then repeat the change.", current)
	e.Metadata = map[string]string{"currentVersion": strconv.FormatInt(current, 10)}
	return e
}

// CheckVersion compares the version a caller has read with the row's.
func CheckVersion(given, current int64) error {
	switch {
	case given == 0:
		return VersionRequired()
	case given != current:
		return VersionConflict(current)
	}
	return nil
}

// WithCause attaches what the log should say.
func (e *Error) WithCause(err error) *Error {
	c := *e
	c.cause = err
	return &c
}

// WithRetryAfter says when to come back.
func (e *Error) WithRetryAfter(d time.Duration) *Error {
	c := *e
	c.RetryAfter = d
	return &c
}

// WithParams adds what the localized sentences name, as name and value in
// turn. Without them a sentence is less precise, but there is always one.
func (e *Error) WithParams(pairs ...string) *Error {
	c := *e
	c.Params = maps.Clone(e.Params)
	if c.Params == nil {
		c.Params = map[string]string{}
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		c.Params[pairs[i]] = pairs[i+1]
	}
	return &c
}

// WithStatus overrides the HTTP status.
func (e *Error) WithStatus(code int) *Error {
	c := *e
	c.HTTPStatus = code
	return &c
}

// Error is the log's text: it may hold the cause.
func (e *Error) Error() string {
	if e.cause != nil {
		return fmt.Sprintf("%s/%s: %s: %v", e.Kind, e.Reason, e.Message, e.cause)
	}
	return fmt.Sprintf("%s/%s: %s", e.Kind, e.Reason, e.Message)
}

// Unwrap answers the cause.
func (e *Error) Unwrap() error { return e.cause }

// As answers the Error in err's chain.
func As(err error) (*Error, bool) {
	var e *Error
	ok := errors.As(err, &e)
	return e, ok
}

// KindOf answers the kind of err; Internal for foreign errors.
func KindOf(err error) Kind {
	if e, ok := As(err); ok {
		return e.Kind
	}
	return Internal
}

// ReasonOf answers the reason of err, "INTERNAL" for foreign errors.
func ReasonOf(err error) string {
	if e, ok := As(err); ok {
		return e.Reason
	}
	return "INTERNAL"
}
