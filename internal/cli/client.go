package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"
	"connectrpc.com/connect/v2/connectproto"
	"github.com/google/uuid"
	"google.golang.org/genproto/googleapis/rpc/errdetails"

	"tenantry/api/gen/tenantry/auth/v1/authv1connect"
	"tenantry/api/gen/tenantry/hooks/v1/hooksv1connect"
	"tenantry/api/gen/tenantry/operations/v1/operationsv1connect"
	"tenantry/api/gen/tenantry/operators/v1/operatorsv1connect"
	"tenantry/api/gen/tenantry/tenants/v1/tenantsv1connect"
	apiclient "tenantry/client"
	"tenantry/internal/config"
)

// client is the central API as the commands see it.
type client struct {
	tenants    tenantsv1connect.TenantServiceClient
	factors    authv1connect.FactorServiceClient
	hooks      hooksv1connect.HookServiceClient
	operators  operatorsv1connect.OperatorServiceClient
	operations operationsv1connect.OperationServiceClient
	base       string
	key        config.Secret
}

// connect loads the configuration of a client.
func (a *app) connect() (*client, config.Config, error) {
	c, err := a.load(config.ForClient)
	if err != nil {
		return nil, c, err
	}
	base := c.ClientBase()
	if plainAndFar(base) {
		a.say("warning: the operator key goes to %s unencrypted", base)
	}
	cc := connect.NewClient(connecthttp.NewTransport(a.HTTP, base, connecthttp.WithProtoJSON()), keyed)
	return &client{
		tenants: tenantsv1connect.NewTenantServiceClient(cc), factors: authv1connect.NewFactorServiceClient(cc), hooks: hooksv1connect.NewHookServiceClient(cc),
		operators: operatorsv1connect.NewOperatorServiceClient(cc), operations: operationsv1connect.NewOperationServiceClient(cc),
		base: base, key: c.OperatorKey,
	}, c, nil
}

// plainAndFar reports whether a URL leaves this machine without TLS.
func plainAndFar(base string) bool {
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "http" {
		return false
	}
	host := u.Hostname()
	ip := net.ParseIP(host)
	return host != "localhost" && !strings.HasSuffix(host, ".localhost") && (ip == nil || !ip.IsLoopback())
}

// keyed gives each call that takes one an idempotency key of its own.
func keyed(next connect.ClientFunc) connect.ClientFunc {
	return func(ctx context.Context, spec connect.Spec) (connect.ClientStream, error) {
		if info, ok := connect.CallInfoForClientContext(ctx); ok && apiclient.TakesKey(spec.Procedure) {
			info.RequestHeader().Set("Idempotency-Key", uuid.NewString())
		}
		return next(ctx, spec)
	}
}

// call makes one call with the operator key.
func call[Req, Res any](ctx context.Context, c *client, rpc func(context.Context, Req) (Res, error), req Req) (Res, error) {
	ctx, info := connect.NewClientContext(ctx)
	info.RequestHeader().Set("Authorization", "Bearer "+c.key.Reveal())
	res, err := rpc(ctx, req)
	if err != nil {
		return res, c.explain(ctx, err, info)
	}
	return res, nil
}

// apiError is a refusal of the API, for a person.
type apiError struct {
	Code       connect.Code
	Message    string
	Reason     string
	Allowed    []string
	RequestID  string
	RetryAfter time.Duration
}

// Error is a block: what was wrong, why, what is allowed, whom to ask about.
func (e *apiError) Error() string {
	var b strings.Builder
	b.WriteString(e.Message)
	line := func(label, text string) {
		if text != "" {
			b.WriteString("\n" + labelled(label, text))
		}
	}
	reason := e.Code.String()
	if e.Reason != "" {
		reason = e.Reason + " (" + e.Code.String() + ")"
	}
	line("reason", reason)
	for _, a := range e.Allowed {
		line("allowed", a)
	}
	if e.RetryAfter > 0 {
		line("retry", "after "+e.RetryAfter.String())
	}
	line("request id", e.RequestID)
	return b.String()
}

// explain turns a Connect error into what a person needs.
func (c *client) explain(ctx context.Context, err error, info *connect.CallInfo) error {
	if cause := context.Cause(ctx); errors.Is(cause, context.Canceled) {
		return cause
	}
	// Something may have answered that is not our API: a proxy, another server.
	status := 0
	if http, ok := info.TransportInfo.(*connecthttp.ClientInfo); ok {
		status = http.ResponseStatus()
	}
	var remote *connect.Error
	if !errors.As(err, &remote) || status == 0 {
		return c.unreachable(err)
	}
	out := &apiError{Code: remote.Code(), Message: remote.Message(), RequestID: info.ResponseHeader().Get("X-Request-Id")}
	for _, d := range remote.Details() {
		out.add(d)
	}
	if out.Message == "" {
		out.Message = "the API answered " + remote.Code().String()
	}
	if out.Reason == "" {
		out.Message += fmt.Sprintf(" (HTTP %d from %s)", status, c.base)
	}
	return out
}

func (e *apiError) add(d *connect.ErrorDetail) {
	m, err := connectproto.UnmarshalErrorDetail(d)
	if err != nil {
		return
	}
	switch v := m.(type) {
	case *errdetails.ErrorInfo:
		e.Reason = v.GetReason()
		if allowed := v.GetMetadata()["allowed"]; allowed != "" {
			e.Allowed = append(e.Allowed, allowed)
		}
	case *errdetails.BadRequest:
		for _, f := range v.GetFieldViolations() {
			e.Allowed = append(e.Allowed, f.GetField()+": "+f.GetDescription())
		}
	case *errdetails.RequestInfo:
		e.RequestID = v.GetRequestId()
	case *errdetails.RetryInfo:
		e.RetryAfter = v.GetRetryDelay().AsDuration()
	}
}

// unreachable is an error without an answer.
func (c *client) unreachable(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	return &unreachableError{base: c.base, cause: err}
}

type unreachableError struct {
	base  string
	cause error
}

func (e *unreachableError) Error() string {
	return fmt.Sprintf("cannot reach the API at %s: %v\n%s", e.base, e.cause,
		labelled("allowed", "a running `tenantry api` at TENANTRY_API_URL or TENANTRY_PUBLIC_URL"))
}

// temporary reports whether the same call may succeed later.
func temporary(err error) bool {
	var api *apiError
	if errors.As(err, &api) {
		return api.Code == connect.CodeUnavailable || api.Code == connect.CodeResourceExhausted || api.Code == connect.CodeDeadlineExceeded
	}
	var unreachable *unreachableError
	return errors.As(err, &unreachable)
}
