package api

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"connectrpc.com/connect/v2"
	"google.golang.org/protobuf/proto"

	"tenantry/api/edge"
	commonv1 "tenantry/api/gen/tenantry/common/v1"
	operationsv1 "tenantry/api/gen/tenantry/operations/v1"
	"tenantry/internal/apikeys"
	"tenantry/internal/apperr"
	"tenantry/internal/auth"
)

// maxCredential bounds what is looked at: keys and tokens are far shorter.
const maxCredential = 4096

// bearerToken answers the one b64token of RFC 6750's header, the scheme in any
// case; empty for anything else. Every request passes here, so it is no regexp.
func bearerToken(header string) string {
	header = strings.TrimSpace(header)
	scheme, rest, found := strings.Cut(header, " ")
	if !found || !strings.EqualFold(scheme, "bearer") {
		return ""
	}
	token := strings.TrimLeft(rest, " ")
	body := strings.TrimRight(token, "=")
	for i := range len(body) {
		c := body[i]
		alphanumeric := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !alphanumeric && strings.IndexByte("._~+/-", c) < 0 {
			return ""
		}
	}
	if body == "" {
		return ""
	}
	return token
}

// answerErrors is the outermost interceptor: whatever goes wrong inside leaves
// as one error with details, at every door.
func (s *Server) answerErrors(next connect.ServerFunc) connect.ServerFunc {
	return func(ctx context.Context, spec connect.Spec, stream connect.ServerStream) (err error) {
		defer func() {
			if v := recover(); v != nil {
				err = panicError(v)
			}
			if err == nil {
				return
			}
			e := s.failure(ctx, err)
			if info, ok := connect.CallInfoForServerContext(ctx); ok {
				errorHeaders(info.ResponseHeader().Set, edge.From(ctx), e)
			}
			err = e
		}()
		return next(ctx, spec, decoding{stream, s.methods[spec.Procedure]})
	}
}

// authorize decides whether the RPC may run.
func (s *Server) authorize(next connect.ServerFunc) connect.ServerFunc {
	return func(ctx context.Context, spec connect.Spec, stream connect.ServerStream) error {
		call, m := edge.From(ctx), s.methods[spec.Procedure]
		// 1. The host.
		if central := m.policy.GetHost() == commonv1.Host_HOST_CENTRAL; central != call.Central {
			return s.errWrongHost(central)
		}
		// 2. The credential, without I/O: garbage costs nothing.
		cred, err := s.checkCredential(ctx, call, m)
		if err != nil {
			return err
		}
		// The rate limit, before anything is fetched for the call.
		later := s.later(cred)
		if err := s.limitCall(ctx, call, m, cred, later); err != nil {
			return err
		}
		// 3. The message, whole: a client that sends slowly holds no database, and
		// acts by what is true when it has sent, not when it began.
		in, err := receive(stream, m)
		if err != nil {
			return err
		}
		call.Room.Settle(proto.Size(in.message))
		// 4. The tenant's database. A lease holds no connection.
		if !call.Central {
			if call.Lease, err = s.lease(call.Tenant); err != nil {
				return err
			}
		}
		// 5. Who is calling, as the database knows them now.
		if err := s.loadPrincipal(ctx, call, m, cred); err != nil {
			return err
		}
		if later {
			if err := s.limitTenant(ctx, call, m, cred); err != nil {
				return err
			}
		}
		// 6. What they may.
		if err := permit(call, m, s.now()); err != nil {
			return err
		}
		return next(ctx, spec, in)
	}
}

// receive reads the one message of a call before it is handed on.
func receive(stream connect.ServerStream, m *method) (received, error) {
	in, err := newMessage(m.desc.Input())
	if err != nil {
		return received{}, err
	}
	return received{stream, in}, stream.Receive(in)
}

// received is a stream whose message has come.
type received struct {
	connect.ServerStream
	message proto.Message
}

// Receive answers a copy of the message.
func (r received) Receive(msg any) error {
	m, ok := msg.(proto.Message)
	if !ok {
		return fmt.Errorf("%T is no message", msg)
	}
	proto.Merge(m, r.message)
	return nil
}

func (s *Server) errWrongHost(central bool) error {
	at := s.urls.Tenant("{slug}")
	if central {
		at = s.urls.Central()
	}
	return apperr.Newf(apperr.NotFound, "WRONG_HOST", "This is not served at this host, but at %s.", at).WithParams("url", at)
}

// credential is what a request presented, as far as it can be judged without
// I/O.
type credential struct {
	text   string
	claims auth.Claims
	// key is set for an API key.
	key *apikeys.Presented
}

func (s *Server) checkCredential(ctx context.Context, call *edge.Call, m *method) (credential, error) {
	if m.accepts(commonv1.Credential_CREDENTIAL_NONE) {
		return credential{}, nil
	}
	text, err := presented(ctx, call.Central)
	if err != nil || call.Central {
		return credential{text: text}, err
	}
	if apikeys.LooksLikeKey(text) {
		key, ok := apikeys.Parse(text)
		if !ok {
			return credential{}, apikeys.ErrKey()
		}
		return credential{text: text, key: &key}, nil
	}
	claims, err := s.verify(call.Tenant, text)
	return credential{text: text, claims: claims}, err
}

// presented answers the one bearer credential of the request.
func presented(ctx context.Context, central bool) (string, error) {
	wanted := "an access token or API key"
	if central {
		wanted = "an operator key"
	}
	var headers []string
	if info, ok := connect.CallInfoForServerContext(ctx); ok {
		headers = info.RequestHeader().Values("Authorization")
	}
	if len(headers) == 0 {
		return "", apperr.Newf(apperr.Unauthenticated, "CREDENTIAL_MISSING", "Send %s as \"Authorization: Bearer …\".", wanted)
	}
	token := ""
	if len(headers) == 1 && len(headers[0]) <= maxCredential {
		token = bearerToken(headers[0])
	}
	if token == "" {
		return "", apperr.Newf(apperr.Unauthenticated, "CREDENTIAL_INVALID", "Send %s as one \"Authorization: Bearer …\".", wanted)
	}
	return token, nil
}

func (s *Server) loadPrincipal(ctx context.Context, call *edge.Call, m *method, cred credential) (err error) {
	switch {
	case m.accepts(commonv1.Credential_CREDENTIAL_NONE):
		return nil
	case call.Central:
		if call.Operator, err = s.operator(ctx, cred.text); err == nil {
			call.Caller = edge.Operator
		}
	case cred.key != nil:
		if call.User, err = s.apiKey(ctx, call.Lease, *cred.key, call.ClientIP); err == nil {
			call.Caller = edge.APIKey
		}
	default:
		if call.User, err = s.principal(ctx, call.Lease, cred.claims); err == nil {
			call.Caller = edge.User
		}
	}
	return err
}

// permit compares the principal with the policy. A key that is bound to a
// hook's source reads operations, and the service shows it only its own.
func permit(call *edge.Call, m *method, now time.Time) error {
	permission, scope := m.policy.GetPermission(), m.policy.GetOperatorScope()
	switch call.Caller {
	case edge.APIKey:
		if !m.accepts(commonv1.Credential_CREDENTIAL_API_KEY) {
			return apperr.New(apperr.Forbidden, "CREDENTIAL_KIND", "This call takes a person's access token; an API key cannot make it.")
		}
		if permission != "" && !call.User.Can(permission) {
			return apperr.Newf(apperr.Forbidden, "PERMISSION_MISSING", "This needs the permission %q, which this key does not have now: its scopes name it and its owner holds it, or not.", permission)
		}
	case edge.User:
		if permission != "" && !call.User.Can(permission) {
			return apperr.Newf(apperr.Forbidden, "PERMISSION_MISSING", "This needs the permission %q, which none of your roles has.", permission).
				WithParams("permission", permission)
		}
		if m.policy.GetStepUp() {
			return recent(call.User, now)
		}
	case edge.Operator:
		bound := call.Operator.Source != nil && scope != "operations.read"
		if bound || !call.Operator.Has(scope) {
			return apperr.Newf(apperr.Forbidden, "SCOPE_MISSING", "This needs an operator key with the scope %q.", scope).WithParams("scope", scope)
		}
	case edge.Anonymous:
		if !m.accepts(commonv1.Credential_CREDENTIAL_NONE) {
			return errors.New("an RPC that needs a credential got through without one")
		}
	}
	return nil
}

// maxAuthAge is how old an authentication may be where it must be recent.
const maxAuthAge = 10 * time.Minute

// recent refuses a session that has not been authenticated lately at the
// account's highest level (A13). An authentication that seems to come from the
// future, after a clock was set back, is not recent either.
func recent(p auth.Principal, now time.Time) error {
	level := auth.OneFactor
	if p.SecondFactor {
		level = auth.TwoFactors
	}
	if age := now.Sub(p.AuthTime); p.AAL >= level && age <= maxAuthAge && age >= -maxAuthAge {
		return nil
	}
	e := apperr.Newf(apperr.Unauthenticated, "STEP_UP_REQUIRED",
		"This needs an authentication of the last %d minutes at level aal%d. Call POST /v1/auth/step-up, then repeat with its access token.", int(maxAuthAge.Minutes()), level)
	e.Metadata = map[string]string{"acrValues": fmt.Sprintf("aal%d", level), "maxAge": strconv.Itoa(int(maxAuthAge.Seconds()))}
	return e
}

// pointToOperation tells where the operation can be followed that a mutation
// has started (AIP-151).
func (s *Server) pointToOperation(next connect.ServerFunc) connect.ServerFunc {
	return func(ctx context.Context, spec connect.Spec, stream connect.ServerStream) error {
		if s.methods[spec.Procedure].startsOperation() {
			stream = locating{stream, ctx}
		}
		return next(ctx, spec, stream)
	}
}

type locating struct {
	connect.ServerStream
	ctx context.Context
}

// Send adds the Location of an operation.
func (l locating) Send(msg any) error {
	info, ok := connect.CallInfoForServerContext(l.ctx)
	if op, isOp := msg.(*operationsv1.Operation); ok && isOp {
		info.ResponseHeader().Set("Location", operationPath(op))
	}
	return l.ServerStream.Send(msg)
}

func operationPath(op *operationsv1.Operation) string { return "/v1/operations/" + op.GetId() }
