package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"
	"github.com/stretchr/testify/require"

	"tenantry/api/gen/tenantry/auth/v1/authv1connect"
	"tenantry/api/gen/tenantry/hooks/v1/hooksv1connect"
	"tenantry/api/gen/tenantry/operations/v1/operationsv1connect"
	"tenantry/api/gen/tenantry/operators/v1/operatorsv1connect"
	"tenantry/api/gen/tenantry/tenants/v1/tenantsv1connect"
	"tenantry/internal/cli"
)

const operatorKey = "tnop_planted-operator-key"

var fixedNow = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

// fakeAPI is the four services of the central host; each test sets what it
// calls.
type fakeAPI struct {
	tenants    tenantsv1connect.TenantServiceHandler
	hooks      hooksv1connect.HookServiceHandler
	operators  operatorsv1connect.OperatorServiceHandler
	operations operationsv1connect.OperationServiceHandler
	factors    authv1connect.FactorServiceHandler

	mu      sync.Mutex
	headers []http.Header
}

func (f *fakeAPI) seen() []http.Header {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.headers
}

func (f *fakeAPI) serve(t *testing.T) *httptest.Server {
	t.Helper()
	server := connect.NewServer()
	if f.tenants != nil {
		tenantsv1connect.RegisterTenantServiceHandler(server, f.tenants)
	}
	if f.hooks != nil {
		hooksv1connect.RegisterHookServiceHandler(server, f.hooks)
	}
	if f.operators != nil {
		operatorsv1connect.RegisterOperatorServiceHandler(server, f.operators)
	}
	if f.operations != nil {
		operationsv1connect.RegisterOperationServiceHandler(server, f.operations)
	}
	if f.factors != nil {
		authv1connect.RegisterFactorServiceHandler(server, f.factors)
	}
	mux := http.NewServeMux()
	connecthttp.Mount(mux, server)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		f.headers = append(f.headers, r.Header.Clone())
		f.mu.Unlock()
		w.Header().Set("X-Request-Id", "req-from-header")
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

// result is one run of the command line.
type result struct {
	code        int
	out, stderr string
}

// command is a run to be.
type command struct {
	env     map[string]string
	stdin   string
	backend cli.Backend
	ctx     context.Context
}

func (c command) run(t *testing.T, args ...string) result {
	t.Helper()
	var out, stderr bytes.Buffer
	env := []string{"PATH=/bin"}
	for name, value := range c.env {
		env = append(env, "TENANTRY_"+name+"="+value)
	}
	ctx := c.ctx
	if ctx == nil {
		ctx = t.Context()
	}
	code := cli.Run(ctx, cli.Env{
		Stdin: strings.NewReader(c.stdin), Stdout: &out, Stderr: &stderr, Environ: env,
		DotEnv: filepath.Join(t.TempDir(), ".env"), Now: func() time.Time { return fixedNow },
	}, c.backend, args)
	return result{code, out.String(), stderr.String()}
}

// at runs a command against an API.
func at(s *httptest.Server) command {
	return command{env: map[string]string{"PUBLIC_URL": "http://tenantry.example", "API_URL": s.URL, "OPERATOR_KEY": operatorKey}}
}

func decode[T any](t *testing.T, text string) T {
	t.Helper()
	var v T
	require.NoError(t, json.Unmarshal([]byte(text), &v), text)
	return v
}
