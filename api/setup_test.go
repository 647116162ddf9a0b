package api

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect/v2"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	authv1 "tenantry/api/gen/tenantry/auth/v1"
	"tenantry/api/gen/tenantry/auth/v1/authv1connect"
	"tenantry/api/gen/tenantry/hooks/v1/hooksv1connect"
	"tenantry/api/gen/tenantry/invitations/v1/invitationsv1connect"
	"tenantry/api/gen/tenantry/operations/v1/operationsv1connect"
	"tenantry/api/gen/tenantry/operators/v1/operatorsv1connect"
	"tenantry/api/gen/tenantry/roles/v1/rolesv1connect"
	"tenantry/api/gen/tenantry/settings/v1/settingsv1connect"
	"tenantry/api/gen/tenantry/tenants/v1/tenantsv1connect"
	"tenantry/api/gen/tenantry/users/v1/usersv1connect"
	"tenantry/api/pages"
	"tenantry/internal/apikeys"
	"tenantry/internal/apperr"
	"tenantry/internal/auth"
	"tenantry/internal/clock"
	"tenantry/internal/db"
	"tenantry/internal/hooks"
	"tenantry/internal/ids"
	"tenantry/internal/invitations"
	"tenantry/internal/operations"
	"tenantry/internal/operators"
	"tenantry/internal/recovery"
	"tenantry/internal/secrets"
	"tenantry/internal/tenants"
)

const (
	centralHost = "tenantry.test"
	acmeHost    = "acme.tenantry.test"

	operatorKey = "key-of-operator"
	boundKey    = "key-of-source"
	userToken   = "token-of-jo"
	memberToken = "token-of-member"
	goodLink    = "good-link"
)

// fake is an API whose chain is real and whose use cases are these functions.
type fake struct {
	// What this file does not answer is unimplemented.
	tenantsv1connect.UnimplementedTenantServiceHandler
	authv1connect.UnimplementedAuthServiceHandler
	authv1connect.UnimplementedFactorServiceHandler

	deps   Deps
	wiring wiring
	logs   *logBuffer
	// effects counts the calls that would have written something.
	effects atomic.Int64
	login   func(context.Context, *authv1.LoginRequest) (*authv1.LoginResponse, error)

	server *Server
	url    string
}

func (f *fake) register(s *connect.Server) {
	authv1connect.RegisterAuthServiceHandler(s, f)
	authv1connect.RegisterFactorServiceHandler(s, f)
	usersv1connect.RegisterUserServiceHandler(s, f)
	invitationsv1connect.RegisterInvitationServiceHandler(s, f)
	rolesv1connect.RegisterRoleServiceHandler(s, f)
	settingsv1connect.RegisterSettingsServiceHandler(s, f)
	tenantsv1connect.RegisterTenantServiceHandler(s, f)
	operationsv1connect.RegisterOperationServiceHandler(s, f)
	operatorsv1connect.RegisterOperatorServiceHandler(s, f)
	hooksv1connect.RegisterHookServiceHandler(s, f)
}

func acme() tenants.Entry {
	pub, _, _ := ed25519.GenerateKey(nil)
	return tenants.Entry{
		ID: ids.NewTenant(), Slug: "acme", Name: "Acme & Sons <Ltd>", State: tenants.Active,
		Keys: []tenants.SigningKey{{ID: uuid.MustParse("0190b1c2-0000-7000-8000-000000000001"), Key: pub}},
	}
}

// setup starts an API; changes may replace any of its parts before.
func setup(t *testing.T, changes ...func(*fake)) *fake {
	t.Helper()
	f := &fake{logs: &logBuffer{}}
	f.deps = Deps{
		PublicURL: &url.URL{Scheme: "http", Host: centralHost}, Now: clock.System,
		Log: slog.New(slog.NewJSONHandler(f.logs, &slog.HandlerOptions{Level: slog.LevelDebug})), Flood: Flood{PerSecond: -1},
	}
	f.wiring = f.defaultWiring(acme())
	for _, change := range changes {
		change(f)
	}
	var err error
	f.server, err = build(f.deps, f.wiring)
	require.NoError(t, err)
	f.serve(t)
	return f
}

// serve listens as the real process does: HTTP/1.1, and HTTP/2 without TLS.
func (f *fake) serve(t *testing.T) {
	t.Helper()
	ts := httptest.NewUnstartedServer(f.server)
	ts.Config.Protocols = new(http.Protocols)
	ts.Config.Protocols.SetHTTP1(true)
	ts.Config.Protocols.SetUnencryptedHTTP2(true)
	ts.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	ts.Start()
	t.Cleanup(ts.Close)
	f.url = ts.URL
}

func (f *fake) defaultWiring(entry tenants.Entry) wiring {
	refused := apperr.New(apperr.Unauthenticated, "CREDENTIAL_INVALID", "The credential is not valid here.")
	source := uuid.MustParse("0190b1c2-0000-7000-8000-00000000000a")
	return wiring{
		register: f.register,
		resolve: func(_ context.Context, slug string) (tenants.Entry, error) {
			switch slug {
			case "acme":
				return entry, nil
			case "shut":
				return tenants.Entry{ID: ids.NewTenant(), Slug: slug, State: tenants.Suspended}, nil
			case "waking":
				return tenants.Entry{ID: ids.NewTenant(), Slug: slug, State: tenants.Resuming}, nil
			case "sleepy":
				return tenants.Entry{ID: ids.NewTenant(), Slug: slug, State: tenants.Provisioning}, nil
			}
			return tenants.Entry{}, apperr.New(apperr.NotFound, "UNKNOWN_HOST", "No organization answers at this host.")
		},
		lease: func(e tenants.Entry) (*db.Lease, error) {
			return db.NewLease(e.ID, secrets.DataKey{}, nil, nil), nil
		},
		verify: func(_ tenants.Entry, token string) (auth.Claims, error) {
			if token != userToken && token != memberToken {
				return auth.Claims{}, refused
			}
			return auth.Claims{Version: int64(len(token))}, nil
		},
		principal: func(_ context.Context, _ *db.Lease, c auth.Claims) (auth.Principal, error) {
			p := auth.Principal{Name: "Jo", User: ids.User(uuid.New()), Roles: []string{"member"}, AAL: auth.OneFactor, AuthTime: f.deps.Now()}
			if c.Version == int64(len(userToken)) {
				p.Permissions = []string{"users.read", "audit.read"}
			}
			return p, nil
		},
		operator: func(_ context.Context, key string) (operators.Principal, error) {
			switch key {
			case operatorKey:
				return operators.Principal{ID: uuid.New(), Scopes: operators.Scopes}, nil
			case boundKey:
				return operators.Principal{ID: uuid.New(), Scopes: operators.Scopes, Source: &source}, nil
			}
			return operators.Principal{}, refused
		},
		apiKey: func(context.Context, *db.Lease, apikeys.Presented, netip.Addr) (auth.Principal, error) {
			return auth.Principal{}, refused
		},
		centralKey: func(context.Context) (secrets.DataKey, error) { return secrets.DataKey{}, nil },
		verifyHook: func(_ context.Context, name string, m hooks.Message) (hooks.Source, error) {
			if m.Signature != "v1,good" {
				return hooks.Source{}, apperr.New(apperr.Unauthenticated, "HOOK_SIGNATURE_INVALID", "webhook-signature: no entry matches.")
			}
			return hooks.Source{ID: source, Name: name}, nil
		},
		acceptHook: func(context.Context, hooks.Source, hooks.Message, tenants.ReserveInput, string) (operations.Operation, error) {
			f.effects.Add(1)
			return operations.Operation{ID: ids.NewOperation(), State: operations.Pending}, nil
		},
		pages: f.defaultPages(),
	}
}

func (f *fake) defaultPages() pages.Deps {
	check := func(_ context.Context, _ *db.Lease, token string) error {
		if token != goodLink {
			return apperr.New(apperr.Invalid, "TOKEN_INVALID", "token: the link is not valid any more.")
		}
		return nil
	}
	act := func(ctx context.Context, l *db.Lease, token string, _ auth.Meta) error {
		f.effects.Add(1)
		return check(ctx, l, token)
	}
	return pages.Deps{
		Recovery: pages.Recovery{
			CheckReset: check, CheckEmailChange: check, CheckEmailUndo: check, CheckNotMe: check,
			ConfirmEmailChange: act, UndoEmailChange: act, ReportNotMe: act,
			ResetPassword: func(ctx context.Context, l *db.Lease, _ tenants.Entry, in recovery.ResetInput, m auth.Meta) error {
				return act(ctx, l, in.Token, m)
			},
		},
		MagicLinks: pages.MagicLinks{
			Check: check,
			Approve: func(ctx context.Context, l *db.Lease, token, _ string, m auth.Meta) error {
				return act(ctx, l, token, m)
			},
			Continue: func(ctx context.Context, l *db.Lease, token string, m auth.Meta) (string, error) {
				return "https://app.acme.example/start?code=c", act(ctx, l, token, m)
			},
		},
		URLs: tenants.NewURLs(&url.URL{Scheme: "http", Host: centralHost}), Now: clock.System,
		CheckInvitation: check, CheckVerification: check,
		AcceptInvitation: func(ctx context.Context, l *db.Lease, _ tenants.Entry, in invitations.AcceptInput, _ auth.Meta) (ids.User, error) {
			if err := check(ctx, l, in.Token); err != nil {
				return ids.User{}, err
			}
			if err := in.Validate(); err != nil {
				return ids.User{}, err
			}
			f.effects.Add(1)
			return ids.User{}, nil
		},
		VerifyEmail: act,
		AppURL:      func(context.Context, *db.Lease) (string, error) { return "https://app.acme.example/start", nil },
	}
}

// call is a request of a test; zero fields are left out.
type call struct {
	method, host, path, bearer, body, contentType string
	header                                        map[string]string
	reader                                        io.Reader
}

// answer is a response, read whole.
type answer struct {
	status int
	header http.Header
	body   string
}

func (f *fake) do(t *testing.T, c call) answer {
	t.Helper()
	var body io.Reader
	if c.body != "" {
		body = strings.NewReader(c.body)
	}
	if c.reader != nil {
		body = c.reader
	}
	req, err := http.NewRequestWithContext(t.Context(), c.method, f.url+c.path, body)
	require.NoError(t, err)
	req.Host = c.host
	if c.contentType == "" && body != nil {
		c.contentType = "application/json"
	}
	if c.contentType != "" {
		req.Header.Set("Content-Type", c.contentType)
	}
	if c.bearer != "" {
		req.Header.Set("Authorization", "Bearer "+c.bearer)
	}
	for k, v := range c.header {
		req.Header.Set(k, v)
	}
	resp, err := noRedirects.Do(req)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return answer{resp.StatusCode, resp.Header, string(text)}
}

var noRedirects = &http.Client{
	Timeout:       30 * time.Second,
	Transport:     &http.Transport{MaxIdleConnsPerHost: 16, DisableCompression: true},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// problem is the decoded body of an error.
type problem struct {
	Code, Message   string
	Reason, Request string
	Fields          map[string]string
	// Locale and Said are of the LocalizedMessage, FieldsSaid of each field's.
	Locale, Said string
	FieldsSaid   map[string]string
}

// problem decodes an error and checks what every error has.
func (a answer) problem(t *testing.T) problem {
	t.Helper()
	require.Equal(t, "application/json", a.header.Get("Content-Type"), a.body)
	require.Equal(t, "nosniff", a.header.Get("X-Content-Type-Options"))
	require.Equal(t, "no-store", a.header.Get("Cache-Control"))
	var body struct {
		Code, Message string
		Details       []struct {
			Type, Value string
			Debug       struct {
				Reason, Domain, RequestID, Locale, Message string
				FieldViolations                            []struct {
					Field, Description, Reason string
					LocalizedMessage           struct{ Locale, Message string }
				}
			}
		}
	}
	require.NoError(t, json.Unmarshal([]byte(a.body), &body), a.body)
	p := problem{Code: body.Code, Message: body.Message, Fields: map[string]string{}, FieldsSaid: map[string]string{}}
	for _, d := range body.Details {
		require.NotEmpty(t, d.Value)
		switch d.Type {
		case "google.rpc.ErrorInfo":
			require.Equal(t, "tenantry", d.Debug.Domain)
			p.Reason = d.Debug.Reason
		case "google.rpc.LocalizedMessage":
			p.Locale, p.Said = d.Debug.Locale, d.Debug.Message
		case "google.rpc.RequestInfo":
			p.Request = d.Debug.RequestID
		case "google.rpc.BadRequest":
			for _, v := range d.Debug.FieldViolations {
				require.NotEmpty(t, v.Description)
				p.Fields[v.Field], p.FieldsSaid[v.Field] = v.Reason, v.LocalizedMessage.Message
				require.NotEmpty(t, v.LocalizedMessage.Message)
				require.Equal(t, a.header.Get("Content-Language"), v.LocalizedMessage.Locale)
			}
		}
	}
	require.NotEmpty(t, p.Reason, a.body)
	require.NotEmpty(t, p.Message, a.body)
	require.NotEmpty(t, p.Said, a.body)
	require.Equal(t, p.Locale, a.header.Get("Content-Language"))
	require.Contains(t, strings.Join(a.header.Values("Vary"), ", "), "Accept, Accept-Language")
	require.Equal(t, a.header.Get("X-Request-Id"), p.Request)
	require.NotEmpty(t, p.Request)
	return p
}

// logBuffer is a log that may be read while it is written.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
