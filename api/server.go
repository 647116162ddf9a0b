// Package api is everything that knows HTTP and Connect: the doors (Connect,
// gRPC, REST, the provisioning hook, the pages behind mail links) and the one
// chain in front of them.
//
// Every answer is JSON with a request id, errors and panics included, but for
// what notJSON lists. A request that has been answered with an error has had
// no effect unless the error says that the outcome is unknown.
package api

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"buf.build/go/protovalidate"
	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"
	"connectrpc.com/connect/v2/connectproto"
	"connectrpc.com/validate"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoregistry"

	"tenantry/api/gen/tenantry/apikeys/v1/apikeysv1connect"
	"tenantry/api/gen/tenantry/auth/v1/authv1connect"
	"tenantry/api/gen/tenantry/hooks/v1/hooksv1connect"
	"tenantry/api/gen/tenantry/invitations/v1/invitationsv1connect"
	"tenantry/api/gen/tenantry/operations/v1/operationsv1connect"
	"tenantry/api/gen/tenantry/operators/v1/operatorsv1connect"
	"tenantry/api/gen/tenantry/roles/v1/rolesv1connect"
	"tenantry/api/gen/tenantry/settings/v1/settingsv1connect"
	"tenantry/api/gen/tenantry/tenants/v1/tenantsv1connect"
	"tenantry/api/gen/tenantry/users/v1/usersv1connect"
	"tenantry/api/openapi"
	"tenantry/api/pages"
	"tenantry/internal/apikeys"
	"tenantry/internal/auth"
	"tenantry/internal/clock"
	"tenantry/internal/db"
	"tenantry/internal/factors"
	"tenantry/internal/hooks"
	"tenantry/internal/ids"
	"tenantry/internal/invitations"
	"tenantry/internal/magiclink"
	"tenantry/internal/metrics"
	"tenantry/internal/onetime"
	"tenantry/internal/operations"
	"tenantry/internal/operators"
	"tenantry/internal/rbac"
	"tenantry/internal/recovery"
	"tenantry/internal/replay"
	"tenantry/internal/secrets"
	"tenantry/internal/settings"
	"tenantry/internal/tenants"
	"tenantry/internal/users"
)

const (
	// maxBody bounds a body as sent and decompressed, 1 MiB.
	maxBody = 1 << 20
	// maxDepth bounds the nesting of a message.
	maxDepth = 64
)

// Deps is what the API uses.
type Deps struct {
	// PublicURL is the address of the central API; tenants answer at
	// {slug}.{its host}.
	PublicURL *url.URL
	Log       *slog.Logger
	Now       clock.Clock
	Flood     Flood
	Limits    Limits
	// TrustedProxies are the networks whose X-Forwarded headers count.
	TrustedProxies []netip.Prefix
	// Metrics counts requests; nil counts nothing.
	Metrics *metrics.Metrics
	// Timeout ends every request; 0 stands for 30 s.
	Timeout time.Duration
	// Ready answers what keeps this process from serving, by name; /readyz
	// shows the names only.
	Ready func(context.Context) map[string]error

	Directory   *tenants.Directory
	Router      *tenants.Router
	Auth        *auth.Service
	Recovery    *recovery.Service
	MagicLinks  *magiclink.Service
	Users       *users.Service
	Roles       *rbac.Service
	Settings    *settings.Service
	Invitations *invitations.Service
	Tenants     *tenants.Service
	Operations  *operations.Service
	Operators   *operators.Service
	APIKeys     *apikeys.Service
	Factors     *factors.Service
	Hooks       *hooks.Service

	// Central is where the marks of operators' calls are.
	Central *db.Central
	// Replays answers repeated calls in front of the durable marks; nil
	// leaves all to the marks.
	Replays *replay.Front
}

// wiring is what the chain itself calls; tests of the chain bring their own.
type wiring struct {
	resolve   func(ctx context.Context, slug string) (tenants.Entry, error)
	lease     func(tenants.Entry) (*db.Lease, error)
	verify    func(tenants.Entry, string) (auth.Claims, error)
	principal func(context.Context, *db.Lease, auth.Claims) (auth.Principal, error)
	apiKey    func(context.Context, *db.Lease, apikeys.Presented, netip.Addr) (auth.Principal, error)
	operator  func(ctx context.Context, key string) (operators.Principal, error)
	// device answers whose known device sends a token, without any I/O.
	device func(tenants.Entry, string) (ids.User, bool)
	// centralKey is the installation's data key.
	centralKey func(context.Context) (secrets.DataKey, error)
	// centralMark is what a keyed call at the central host has answered.
	centralMark func(context.Context, db.MarkKey, time.Time) ([]byte, error)
	// originsOf answers the origins whose pages may call a tenant's API.
	originsOf func(context.Context, tenants.Entry) ([]string, error)

	verifyHook func(ctx context.Context, source string, m hooks.Message) (hooks.Source, error)
	acceptHook func(context.Context, hooks.Source, hooks.Message, tenants.ReserveInput, string) (operations.Operation, error)

	pages    pages.Deps
	register func(*connect.Server)
}

// Server is the API's handler.
type Server struct {
	wiring
	log  *slog.Logger
	now  clock.Clock
	urls tenants.URLs
	// replays may be nil.
	replays *replay.Front
	flood   *floodGuard
	places  *places
	limits  Limits
	// goodKeys are the API keys that are charged in the first round trip.
	goodKeys goodKeys
	proxies  proxies
	metrics  *metrics.Metrics
	origins  *originCache
	ready    *readiness
	https    bool
	// timeout ends every request.
	timeout time.Duration

	methods    map[string]*method
	validator  protovalidate.Validator
	json       jsonDoor
	procedures map[string]http.Handler
	rest       *restDoor
	pages      *pages.Pages
	docs       *openapi.Documents
	handler    http.Handler
}

// New wires the doors. It refuses to start while one RPC lacks a complete
// policy or a rule of the schema does not compile.
func New(d Deps) (*Server, error) {
	urls := tenants.NewURLs(d.PublicURL)
	return build(d, wiring{
		resolve: d.Directory.BySlug, lease: d.Router.LeaseEntry,
		verify: d.Auth.VerifyAccess, principal: d.Auth.LoadPrincipal, apiKey: d.APIKeys.Authenticate, operator: d.Operators.Authenticate,
		device: func(e tenants.Entry, token string) (ids.User, bool) {
			return auth.DeviceAccount(e.DataKey(), token, d.Now())
		},
		centralKey: d.Central.Key,
		centralMark: func(ctx context.Context, k db.MarkKey, now time.Time) ([]byte, error) {
			return db.CentralMark(ctx, d.Central, k, now)
		},
		originsOf:  tenantOrigins(d.Router.LeaseEntry),
		verifyHook: d.Hooks.Verify, acceptHook: d.Hooks.Accept,
		pages: pages.Deps{
			URLs: urls, Now: d.Now,
			CheckInvitation: d.Invitations.Check, AcceptInvitation: d.Invitations.Accept,
			CheckVerification: d.Auth.CheckVerification, VerifyEmail: d.Auth.VerifyEmail,
			Recovery: pages.Recovery{
				CheckReset: d.Recovery.Check(onetime.Reset), ResetPassword: d.Recovery.Reset,
				CheckEmailChange: d.Recovery.Check(onetime.EmailChange), ConfirmEmailChange: d.Recovery.ConfirmEmailChange,
				CheckEmailUndo: d.Recovery.Check(onetime.EmailUndo), UndoEmailChange: d.Recovery.UndoEmailChange,
				CheckNotMe: d.Recovery.Check(onetime.NotMe), ReportNotMe: d.Recovery.ReportNotMe,
			},
			MagicLinks: pages.MagicLinks{Check: d.MagicLinks.Check, Continue: d.MagicLinks.Continue, Approve: d.MagicLinks.Approve},
			AppURL:     appURL,
		},
		register: func(s *connect.Server) {
			authv1connect.RegisterAuthServiceHandler(s, &authHandler{d.Auth})
			authv1connect.RegisterSessionServiceHandler(s, &sessionsHandler{d.Auth})
			authv1connect.RegisterAccountServiceHandler(s, &accountHandler{d.Recovery})
			authv1connect.RegisterMagicLinkServiceHandler(s, &magicLinkHandler{d.MagicLinks})
			authv1connect.RegisterFactorServiceHandler(s, &factorsHandler{d.Factors})
			usersv1connect.RegisterUserServiceHandler(s, &usersHandler{d.Users})
			rolesv1connect.RegisterRoleServiceHandler(s, &rolesHandler{d.Roles})
			settingsv1connect.RegisterSettingsServiceHandler(s, &settingsHandler{d.Settings, d.Now})
			invitationsv1connect.RegisterInvitationServiceHandler(s, &invitationsHandler{d.Invitations})
			tenantsv1connect.RegisterTenantServiceHandler(s, &tenantsHandler{d.Tenants, urls})
			operationsv1connect.RegisterOperationServiceHandler(s, &operationsHandler{d.Operations})
			operatorsv1connect.RegisterOperatorServiceHandler(s, &operatorsHandler{d.Operators})
			hooksv1connect.RegisterHookServiceHandler(s, &hooksHandler{d.Hooks})
			apikeysv1connect.RegisterApiKeyServiceHandler(s, &apiKeysHandler{d.APIKeys})
			apikeysv1connect.RegisterServiceAccountServiceHandler(s, &serviceAccountsHandler{d.APIKeys})
		},
	})
}

func build(d Deps, w wiring) (*Server, error) {
	s := &Server{
		wiring: w, log: d.Log, now: d.Now, replays: d.Replays, urls: tenants.NewURLs(d.PublicURL), flood: newFloodGuard(d.Flood, d.Now), places: newPlaces(),
		ready: &readiness{ask: d.Ready, now: d.Now, log: d.Log}, https: d.PublicURL.Scheme == "https",
		json: jsonCodec(), methods: map[string]*method{}, timeout: cmp.Or(d.Timeout, defaultTimeout),
		limits: d.Limits, proxies: d.TrustedProxies, metrics: d.Metrics, origins: newOriginCache(w.originsOf, d.Now, d.Log),
	}
	// What an RPC passes, whichever door it came through.
	server := connect.NewServer(
		s.answerErrors,     // errors.go: outermost, so each door writes the same error
		s.authorize,        // access.go: host, credential, rate limit, lease, principal, policy
		s.refuseNUL,        // validate.go
		s.versions,         // version.go: If-Match and ETag
		s.validating(),     // validate.go: the schema's rules, on the decoded message
		s.pointToOperation, // access.go: Location of what a mutation started
		s.idempotent,       // idempotency.go: a keyed call happens once
	)
	w.register(server)
	if err := s.loadMethods(server); err != nil {
		return nil, err
	}
	s.mountRPC(server)
	var err error
	if s.rest, err = newRESTDoor(s, server); err != nil {
		return nil, err
	}
	if s.pages, err = pages.New(w.pages); err != nil {
		return nil, err
	}
	if s.docs, err = openapi.New(s.urls.Central(), s.urls.Tenant("{slug}")); err != nil {
		return nil, err
	}
	// What a request passes, in this order, before the doors.
	s.handler = chain(http.HandlerFunc(s.route),
		s.begin,       // request id, headers of every answer, access log
		s.recover,     // a panic is an internal error
		s.clientIP,    // who is calling (proxies.go)
		s.probes,      // /livez and /readyz answer at any host
		s.guard,       // flood guard
		s.limit,       // body size and time
		s.resolveHost, // central, or which tenant
		s.cors,        // which pages may call it
	)
	return s, nil
}

func chain(h http.Handler, outermostFirst ...func(http.Handler) http.Handler) http.Handler {
	for i := len(outermostFirst) - 1; i >= 0; i-- {
		h = outermostFirst[i](h)
	}
	return h
}

// ServeHTTP serves a request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// route picks the door.
func (s *Server) route(w http.ResponseWriter, r *http.Request) {
	path := r.URL.Path
	switch {
	case path == jwksPath:
		s.serveJWKS(w, r)
	case strings.HasPrefix(path, hookPrefix):
		s.serveHook(w, r)
	case pages.Serves(path):
		s.servePage(w, r)
	case path == docsPath || path == errorsPath || path == documentPath:
		s.serveDocs(w, r)
	case s.procedures[path] != nil:
		s.serveRPC(w, r)
	default:
		s.rest.serve(w, r)
	}
}

// notJSON is everything that is answered in another form than JSON (E7).
var notJSON = struct {
	// ContentTypes are the binary framings of the RPC door; errors of
	// application/proto are JSON all the same, as the Connect protocol says.
	ContentTypes []string
	// Paths are the pages that mails link to, and the docs (docs.go).
	Paths []string
	// Empty are the statuses without a body: the preflight (CORS) of an origin
	// that the tenant allows.
	Empty []int
}{
	ContentTypes: []string{
		"application/proto",
		"application/grpc", "application/grpc+proto", "application/grpc+json",
		"application/grpc-web", "application/grpc-web+proto", "application/grpc-web+json",
	},
	Paths: htmlPaths,
	Empty: []int{http.StatusNoContent},
}

func (s *Server) mountRPC(server *connect.Server) {
	binary := connectproto.NewBinaryCodec()
	binary.UnmarshalOptions.RecursionLimit = maxDepth
	s.procedures = map[string]http.Handler{}
	connecthttp.Mount(procedureMux(s.procedures), server, connecthttp.WithCodecs(binary, s.json), connecthttp.WithReadMaxBytes(maxBody))
}

// procedureMux keeps the exact procedures. What Connect mounts for unknown
// methods answers plain text, so those paths go on to the JSON 404.
type procedureMux map[string]http.Handler

// Handle keeps a procedure.
func (m procedureMux) Handle(pattern string, h http.Handler) {
	if !strings.HasSuffix(pattern, "/") {
		m[pattern] = h
	}
}

// loadMethods reads every RPC's policy and compiles every rule.
func (s *Server) loadMethods(server *connect.Server) error {
	var errs []error
	var inputs []proto.Message
	for spec := range server.Specs() {
		m, err := newMethod(spec)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		s.methods[spec.Procedure] = m
		in, err := protoregistry.GlobalTypes.FindMessageByName(m.desc.Input().FullName())
		if err != nil {
			errs = append(errs, err)
			continue
		}
		inputs = append(inputs, in.Zero().Interface())
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	v, err := protovalidate.New(protovalidate.WithMessages(inputs...))
	if err != nil {
		return err
	}
	for _, in := range inputs {
		var compilation *protovalidate.CompilationError
		if err := v.Validate(in.ProtoReflect().New().Interface()); errors.As(err, &compilation) {
			errs = append(errs, err)
		}
	}
	s.validator = v
	return errors.Join(errs...)
}

func (s *Server) validating() connect.ServerInterceptor {
	return validate.NewServerInterceptor(validate.WithValidator(lateValidator{s}), validate.WithoutErrorDetails())
}

// lateValidator is the validator that loadMethods makes once it knows the
// methods, which are registered with their interceptors.
type lateValidator struct{ s *Server }

// Validate checks a message against the rules of its schema.
func (l lateValidator) Validate(m proto.Message, o ...protovalidate.ValidationOption) error {
	return l.s.validator.Validate(m, o...)
}
