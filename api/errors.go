package api

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"buf.build/go/protovalidate"
	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"
	"connectrpc.com/connect/v2/connectproto"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"tenantry/api/edge"
	"tenantry/internal/apperr"
)

// errorDomain is the domain of google.rpc.ErrorInfo (AIP-193).
const errorDomain = "tenantry"

// internalMessage is all that leaves the process about an internal error.
const internalMessage = "Something went wrong on our side. Quote the request id when you report it."

// statusClientClosed is the status of a request whose client has left
// (nginx's 499); nobody reads it but the access log.
const statusClientClosed = 499

// codes maps every kind; the test walks apperr.Kinds.
var codes = map[apperr.Kind]connect.Code{
	apperr.Internal:        connect.CodeInternal,
	apperr.Invalid:         connect.CodeInvalidArgument,
	apperr.Unauthenticated: connect.CodeUnauthenticated,
	apperr.Forbidden:       connect.CodePermissionDenied,
	apperr.NotFound:        connect.CodeNotFound,
	apperr.AlreadyExists:   connect.CodeAlreadyExists,
	apperr.Conflict:        connect.CodeAborted,
	apperr.Precondition:    connect.CodeFailedPrecondition,
	apperr.RateLimited:     connect.CodeResourceExhausted,
	apperr.Unavailable:     connect.CodeUnavailable,
}

// statuses are those of the Connect protocol, so both JSON doors agree.
var statuses = map[connect.Code]int{
	connect.CodeInternal:           http.StatusInternalServerError,
	connect.CodeInvalidArgument:    http.StatusBadRequest,
	connect.CodeUnauthenticated:    http.StatusUnauthorized,
	connect.CodePermissionDenied:   http.StatusForbidden,
	connect.CodeNotFound:           http.StatusNotFound,
	connect.CodeAlreadyExists:      http.StatusConflict,
	connect.CodeAborted:            http.StatusConflict,
	connect.CodeFailedPrecondition: http.StatusBadRequest,
	connect.CodeResourceExhausted:  http.StatusTooManyRequests,
	connect.CodeUnavailable:        http.StatusServiceUnavailable,
}

// answerable answers the error a client gets for err; what it may not see
// becomes the fixed internal error.
func answerable(ctx context.Context, err error) *apperr.Error {
	// A database that was not waited for is not one that is away: the caller's
	// own deadline is said as such.
	late := errors.Is(err, context.DeadlineExceeded) && errors.Is(ctx.Err(), context.DeadlineExceeded)
	if e, ok := apperr.As(err); ok && e.Kind != apperr.Internal && !late {
		return e
	}
	var violations *protovalidate.ValidationError
	if errors.As(err, &violations) {
		return invalid(violations)
	}
	// What err itself says comes first: a read past its deadline also cancels
	// the context.
	cause := err
	if !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) {
		cause = ctx.Err()
	}
	switch {
	case errors.Is(cause, context.DeadlineExceeded):
		return apperr.New(apperr.Unavailable, "DEADLINE", "The answer took too long. Its effect may have happened: look before you repeat the call.").WithCause(err)
	case errors.Is(cause, context.Canceled):
		return apperr.New(apperr.Unavailable, "DEADLINE", "The request was cancelled before its answer was ready.").
			WithStatus(statusClientClosed).WithCause(err)
	}
	return apperr.New(apperr.Internal, "INTERNAL", internalMessage)
}

// invalid converts protovalidate's violations: dotted snake_case paths and
// the rule ids of the schema, which are stable.
func invalid(v *protovalidate.ValidationError) *apperr.Error {
	e := apperr.New(apperr.Invalid, "INVALID_ARGUMENT", "")
	var parts []string
	for _, violation := range v.Violations {
		f := apperr.Field{
			Path: protovalidate.FieldPathString(violation.Proto.GetField()),
			Rule: violation.Proto.GetRuleId(), Message: violation.Proto.GetMessage(), Params: ruleParams(violation),
		}
		if f.Message == "" {
			f.Message = "breaks the rule " + f.Rule
		}
		e.Fields = append(e.Fields, f)
		parts = append(parts, f.Path+": "+f.Message)
	}
	e.Message = strings.Join(parts, "; ")
	return e
}

// failure turns err into what the doors write, logs what the client is not
// told, and notes status and reason on the call.
func (s *Server) failure(ctx context.Context, err error) *connect.Error {
	call, e := edge.From(ctx), answerable(ctx, err)
	switch {
	case e.Kind == apperr.Internal:
		s.log.ErrorContext(ctx, "internal error", slog.String("request_id", call.RequestID), slog.String("error", err.Error()))
	case e.Kind == apperr.Unavailable && e.HTTPStatus != statusClientClosed:
		s.log.WarnContext(ctx, "unavailable", slog.String("request_id", call.RequestID), slog.String("error", e.Error()))
	}
	call.HTTPStatus, call.Reason, call.Code, call.Failed = e.HTTPStatus, e.Reason, codes[e.Kind].String(), e
	return encodable(e, call)
}

// encodable builds the error with its google.rpc details. The message is for
// developers, in English; what is said to people is in their language (AIP-193).
func encodable(e *apperr.Error, call *edge.Call) *connect.Error {
	out := connect.NewError(codes[e.Kind], e.Message)
	details := []proto.Message{&errdetails.ErrorInfo{Reason: e.Reason, Domain: errorDomain, Metadata: e.Metadata}}
	if len(e.Fields) > 0 {
		bad := &errdetails.BadRequest{}
		for _, f := range e.Fields {
			bad.FieldViolations = append(bad.FieldViolations, &errdetails.BadRequest_FieldViolation{
				Field: f.Path, Description: f.Message, Reason: f.Rule,
				LocalizedMessage: localized(call.Locale, call.Locale.Field(e, f)),
			})
		}
		details = append(details, bad)
	}
	if e.RetryAfter > 0 {
		details = append(details, &errdetails.RetryInfo{RetryDelay: durationpb.New(e.RetryAfter)})
	}
	details = append(details, localized(call.Locale, call.Locale.Reason(e)), &errdetails.RequestInfo{RequestId: call.RequestID})
	for _, d := range details {
		if detail, err := connectproto.NewErrorDetail(d); err == nil { // fails only for text that is not UTF-8
			out = out.WithDetail(detail)
		}
	}
	return out
}

// errorHeaders are the headers that say the same as the details.
func errorHeaders(set func(key, value string), call *edge.Call, e *connect.Error) {
	set("Content-Language", string(call.Locale))
	if e.Code() == connect.CodeUnauthenticated {
		set("WWW-Authenticate", challengeOf(call))
	}
	for _, d := range e.Details() {
		m, err := connectproto.UnmarshalErrorDetail(d)
		if retry, ok := m.(*errdetails.RetryInfo); err == nil && ok {
			set("Retry-After", retryAfter(retry.GetRetryDelay().AsDuration()))
		}
	}
}

// challengeOf is what a 401 asks for: a credential (RFC 6750), or a newer or
// stronger authentication of the one that came (RFC 9470, 3).
func challengeOf(call *edge.Call) string {
	const bearer = `Bearer realm="tenantry"`
	if call.Failed == nil || call.Failed.Reason != "STEP_UP_REQUIRED" {
		return bearer
	}
	return fmt.Sprintf(`%s, error="insufficient_user_authentication", error_description="A recent authentication is required", acr_values="%s", max_age=%s`,
		bearer, call.Failed.Metadata["acrValues"], call.Failed.Metadata["maxAge"])
}

// retryAfter is whole seconds, rounded up (RFC 9110, 10.2.3).
func retryAfter(d time.Duration) string { return strconv.Itoa(int(math.Ceil(d.Seconds()))) }

type errorBody struct {
	Code    string        `json:"code"`
	Message string        `json:"message"`
	Details []errorDetail `json:"details"`
}

type errorDetail struct {
	Type  string          `json:"type"`
	Value string          `json:"value"`
	Debug json.RawMessage `json:"debug,omitempty"`
}

// grpcErrors writes errors to gRPC clients, which read trailers, not JSON.
var grpcErrors = connecthttp.NewErrorWriter()

// fail answers err outside the RPC door: middleware, REST, hook. The body is
// the one that Connect writes, so a client needs one decoder.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	s.writeError(w, r, s.failure(r.Context(), err))
}

func (s *Server) writeError(w http.ResponseWriter, r *http.Request, e *connect.Error) {
	call := edge.From(r.Context())
	errorHeaders(w.Header().Set, call, e)
	switch {
	case isGRPC(r):
		_ = grpcErrors.Write(w, r, e) // the client has left; nobody to tell
		return
	case call.Problem && call.Failed != nil:
		s.writeProblem(w, r, call)
		return
	}
	body := errorBody{Code: e.Code().String(), Message: e.Message(), Details: []errorDetail{}}
	for _, d := range e.Details() {
		wire := errorDetail{Type: d.Type, Value: base64.RawStdEncoding.EncodeToString(d.Value)}
		if m, err := connectproto.UnmarshalErrorDetail(d); err == nil {
			wire.Debug, _ = protojson.Marshal(m) // the value above says the same
		}
		body.Details = append(body.Details, wire)
	}
	status := call.HTTPStatus
	if status == 0 {
		status = statuses[e.Code()]
	}
	writeJSON(w, status, body)
}

func isGRPC(r *http.Request) bool {
	return strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc")
}

func writeJSON(w http.ResponseWriter, status int, body any) { writeAs(w, contentJSON, status, body) }

func writeAs(w http.ResponseWriter, contentType string, status int, body any) {
	text, err := json.Marshal(body)
	if err != nil {
		panic(err) // our own types of strings
	}
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	_, _ = w.Write(text) // the client has left; nobody to tell
}
