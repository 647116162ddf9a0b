package cli_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connectproto"
	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	hooksv1 "tenantry/api/gen/tenantry/hooks/v1"
	"tenantry/api/gen/tenantry/hooks/v1/hooksv1connect"
	operationsv1 "tenantry/api/gen/tenantry/operations/v1"
	"tenantry/api/gen/tenantry/operations/v1/operationsv1connect"
	operatorsv1 "tenantry/api/gen/tenantry/operators/v1"
	"tenantry/api/gen/tenantry/operators/v1/operatorsv1connect"
	tenantsv1 "tenantry/api/gen/tenantry/tenants/v1"
	"tenantry/api/gen/tenantry/tenants/v1/tenantsv1connect"
	"tenantry/internal/cli"
)

const (
	tenantID    = "0193a1b2-0000-7000-8000-000000000001"
	operationID = "0193a1b2-0000-7000-8000-000000000002"
)

type tenants struct {
	tenantsv1connect.UnimplementedTenantServiceHandler
	create func(*tenantsv1.CreateTenantRequest) (*operationsv1.Operation, error)
	list   func(*tenantsv1.ListTenantsRequest) (*tenantsv1.ListTenantsResponse, error)
	get    func(*tenantsv1.GetTenantRequest) (*tenantsv1.Tenant, error)
}

func (h tenants) CreateTenant(_ context.Context, r *tenantsv1.CreateTenantRequest) (*operationsv1.Operation, error) {
	return h.create(r)
}

func (h tenants) ListTenants(_ context.Context, r *tenantsv1.ListTenantsRequest) (*tenantsv1.ListTenantsResponse, error) {
	return h.list(r)
}

func (h tenants) GetTenant(_ context.Context, r *tenantsv1.GetTenantRequest) (*tenantsv1.Tenant, error) {
	return h.get(r)
}

type operations struct {
	operationsv1connect.UnimplementedOperationServiceHandler
	get  func() (*operationsv1.Operation, error)
	wait func() (*operationsv1.Operation, error)
}

func (h operations) GetOperation(context.Context, *operationsv1.GetOperationRequest) (*operationsv1.Operation, error) {
	return h.get()
}

func (h operations) WaitOperation(context.Context, *operationsv1.WaitOperationRequest) (*operationsv1.Operation, error) {
	return h.wait()
}

func operation(state operationsv1.OperationState, steps ...string) *operationsv1.Operation {
	o := &operationsv1.Operation{
		Id: operationID, Kind: "tenant.provision", State: state, TenantId: tenantID, WorkflowId: "tenant/" + tenantID + "/provision",
		CreateTime: timestamppb.New(fixedNow), ProgressAvailable: true,
	}
	for i := 0; i < len(steps); i += 2 {
		o.Steps = append(o.Steps, &operationsv1.Step{Name: steps[i], State: steps[i+1]})
	}
	return o
}

const (
	pending   = operationsv1.OperationState_OPERATION_STATE_PENDING
	running   = operationsv1.OperationState_OPERATION_STATE_RUNNING
	succeeded = operationsv1.OperationState_OPERATION_STATE_SUCCEEDED
	failed    = operationsv1.OperationState_OPERATION_STATE_FAILED
)

// refusal is an error as the API writes it.
func refusal(t *testing.T, code connect.Code, message string, details ...proto.Message) *connect.Error {
	t.Helper()
	err := connect.NewError(code, message)
	for _, d := range details {
		detail, derr := connectproto.NewErrorDetail(d)
		require.NoError(t, derr)
		err = err.WithDetail(detail)
	}
	return err
}

var createArgs = []string{"tenant", "create", "--slug", "acme", "--name", "Acme GmbH", "--owner-email", "owner@acme.example"}

func created(*tenantsv1.CreateTenantRequest) (*operationsv1.Operation, error) {
	return operation(pending), nil
}

func TestTenantCreate_ShowsEachStepAsItIsDone(t *testing.T) {
	t.Parallel()
	answers := []*operationsv1.Operation{
		operation(running, "create_role", "done", "create_database", "running"),
		operation(running, "create_role", "done", "create_database", "running"),
		operation(succeeded, "create_role", "done", "create_database", "done"),
	}
	var asked atomic.Int32
	var request *tenantsv1.CreateTenantRequest
	api := &fakeAPI{
		tenants: tenants{create: func(r *tenantsv1.CreateTenantRequest) (*operationsv1.Operation, error) {
			request = r
			return operation(pending), nil
		}},
		operations: operations{wait: func() (*operationsv1.Operation, error) { return answers[asked.Add(1)-1], nil }},
	}
	r := at(api.serve(t)).run(t, append(createArgs, "--registration-policy", "open", "--language", "de", "--time-zone", "Europe/Berlin", "--max-users", "5")...)
	require.Equal(t, cli.OK, r.code, r.stderr)
	require.Equal(t, "operation "+operationID+"\n  [1/2] done         create_role\n  [2/2] done         create_database\n", r.stderr)
	require.Contains(t, r.out, "succeeded")
	require.True(t, proto.Equal(&tenantsv1.CreateTenantRequest{
		Slug: "acme", Name: "Acme GmbH", OwnerEmail: "owner@acme.example",
		Settings: &tenantsv1.InitialSettings{
			RegistrationPolicy: "open", Language: "de", TimeZone: "Europe/Berlin", MaxUsers: 5,
		},
	}, request), request)
	for i, h := range api.seen() {
		require.Equal(t, "Bearer "+operatorKey, h.Get("Authorization"))
		require.Equal(t, i == 0, h.Get("Idempotency-Key") != "", "the creation has a key, the waiting none")
		require.Equal(t, "application/json", h.Get("Content-Type"))
	}
	require.NotContains(t, r.out+r.stderr, "planted")
}

func TestTenantCreate_FailsWithTheReasonOfAFailedOperation(t *testing.T) {
	t.Parallel()
	end := operation(failed, "create_role", "compensated", "create_database", "failed")
	end.Reason = "TENANT_UNREACHABLE"
	api := &fakeAPI{tenants: tenants{create: created}, operations: operations{wait: func() (*operationsv1.Operation, error) { return end, nil }}}
	r := at(api.serve(t)).run(t, append(createArgs, "--json")...)
	require.Equal(t, cli.Failed, r.code)
	require.Contains(t, r.stderr, "[1/2] compensated  create_role")
	require.Contains(t, r.stderr, "TENANT_UNREACHABLE")
	op := decode[map[string]any](t, r.out)
	require.Equal(t, "failed", op["state"])
}

func TestTenantCreate_KeepsWaitingWhileTheAPIIsAway(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	api := &fakeAPI{tenants: tenants{create: created}, operations: operations{wait: func() (*operationsv1.Operation, error) {
		if asked.Add(1) < 3 {
			return nil, connect.NewError(connect.CodeUnavailable, "draining")
		}
		return operation(succeeded), nil
	}}}
	r := at(api.serve(t)).run(t, createArgs...)
	require.Equal(t, cli.OK, r.code, r.stderr)
	require.Equal(t, 1, strings.Count(r.stderr, "the operation goes on"))
}

func TestTenantCreate_StopsWaitingAndSaysHowToGoOn(t *testing.T) {
	t.Parallel()
	api := &fakeAPI{tenants: tenants{create: created}, operations: operations{wait: func() (*operationsv1.Operation, error) { return operation(running), nil }}}
	s := api.serve(t)
	r := at(s).run(t, append(createArgs, "--timeout", "300ms")...)
	require.Equal(t, cli.Failed, r.code)
	require.Contains(t, r.stderr, "not ended after 300ms; the operation goes on: tenantry ops wait "+operationID)

	c := at(s)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	c.ctx = ctx
	r = c.run(t, createArgs...)
	require.Equal(t, cli.Failed, r.code)
	require.Contains(t, r.stderr, "interrupted; the operation goes on")
}

func TestTenantCreate_NoWaitReturnsAtOnce(t *testing.T) {
	t.Parallel()
	api := &fakeAPI{tenants: tenants{create: created}}
	r := at(api.serve(t)).run(t, append(createArgs, "--no-wait", "--json")...)
	require.Equal(t, cli.OK, r.code, r.stderr)
	op := decode[map[string]any](t, r.out)
	require.Equal(t, operationID, op["id"])
	require.Equal(t, "pending", op["state"])
}

func TestTenantCreate_ReserveOnlyPrintsTheStartLine(t *testing.T) {
	t.Parallel()
	api := &fakeAPI{tenants: tenants{create: func(r *tenantsv1.CreateTenantRequest) (*operationsv1.Operation, error) {
		if !r.GetReserveOnly() {
			return nil, connect.NewError(connect.CodeInternal, "")
		}
		return operation(pending), nil
	}}}
	c := at(api.serve(t))
	c.env["TEMPORAL_ADDRESS"] = "127.0.0.1:7239"
	c.env["TEMPORAL_NAMESPACE"] = "tenantry"
	want := "temporal workflow start --type ProvisionTenant --workflow-id tenant/" + tenantID + "/provision --task-queue provisioning" +
		` --input '{"tenant_id":"` + tenantID + `"}' --static-summary 'Provision tenant ` + tenantID + `' --search-attribute 'TenantryTenant="` + tenantID +
		`"' --search-attribute 'TenantryOperation="` + operationID + `"' --search-attribute 'TenantryKind="tenant.provision"' --address 127.0.0.1:7239 --namespace tenantry`
	r := c.run(t, append(createArgs, "--reserve-only")...)
	require.Equal(t, cli.OK, r.code, r.stderr)
	require.Contains(t, r.out, operationID)
	require.Contains(t, r.out, "\n  "+want+"\n")
	r = c.run(t, append(createArgs, "--reserve-only", "--json")...)
	require.Equal(t, want, decode[map[string]any](t, r.out)["start"])
}

func TestErrors_TellWhatWhyWhatIsAllowedAndTheRequest(t *testing.T) {
	t.Parallel()
	answer := refusal(t, connect.CodeInvalidArgument, "The request has 2 invalid fields.",
		&errdetails.ErrorInfo{Reason: "INVALID_ARGUMENT", Domain: "tenantry"},
		&errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{
			{Field: "slug", Description: "must be 3 to 40 characters"}, {Field: "owner_email", Description: "must be an address"},
		}},
		&errdetails.RequestInfo{RequestId: "req-1"}, &errdetails.RetryInfo{RetryDelay: durationpb.New(2 * time.Second)})
	api := &fakeAPI{tenants: tenants{create: func(*tenantsv1.CreateTenantRequest) (*operationsv1.Operation, error) { return nil, answer }}}
	r := at(api.serve(t)).run(t, createArgs...)
	require.Equal(t, cli.Failed, r.code)
	require.Empty(t, r.out)
	require.Equal(t, `error: The request has 2 invalid fields.
  reason:     INVALID_ARGUMENT (invalid_argument)
  allowed:    slug: must be 3 to 40 characters
  allowed:    owner_email: must be an address
  retry:      after 2s
  request id: req-1
`, r.stderr)
}

func TestErrors_FallBackToTheHeaderAndTheStatus(t *testing.T) {
	t.Parallel()
	r := at((&fakeAPI{}).serve(t)).run(t, "tenant", "get", tenantID)
	require.Equal(t, cli.Failed, r.code)
	require.Contains(t, r.stderr, "HTTP 404")
	require.Contains(t, r.stderr, "request id: req-from-header")
}

func TestErrors_NameAnAPIThatCannotBeReached(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.NotFoundHandler())
	s.Close()
	r := at(s).run(t, "tenant", "list")
	require.Equal(t, cli.Failed, r.code)
	require.Contains(t, r.stderr, "cannot reach the API at "+s.URL)
	require.Contains(t, r.stderr, "connection refused")
	require.NotContains(t, r.stderr, "planted")
}

func TestClient_FollowsNoRedirectWithItsKey(t *testing.T) {
	t.Parallel()
	var reached atomic.Bool
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Store(true) }))
	t.Cleanup(other.Close)
	s := httptest.NewServer(http.RedirectHandler(other.URL, http.StatusTemporaryRedirect))
	t.Cleanup(s.Close)
	r := at(s).run(t, "tenant", "list")
	require.Equal(t, cli.Failed, r.code)
	require.False(t, reached.Load())
}

func TestClient_WarnsBeforeTheKeyLeavesTheMachineUnencrypted(t *testing.T) {
	t.Parallel()
	c := command{env: map[string]string{"PUBLIC_URL": "http://tenantry.invalid", "OPERATOR_KEY": operatorKey}}
	require.Contains(t, c.run(t, "tenant", "list").stderr, "unencrypted")
	c.env["PUBLIC_URL"] = "http://localhost:1"
	require.NotContains(t, c.run(t, "tenant", "list").stderr, "unencrypted")
}

func TestTenantList_WalksEveryPage(t *testing.T) {
	t.Parallel()
	api := &fakeAPI{tenants: tenants{list: func(r *tenantsv1.ListTenantsRequest) (*tenantsv1.ListTenantsResponse, error) {
		one := &tenantsv1.Tenant{Id: "id-" + r.GetCursor(), Slug: "slug", Name: "evil\x1b[2J\u202ename", State: tenantsv1.TenantState_TENANT_STATE_ACTIVE}
		next := map[string]string{"": "b", "b": "c"}[r.GetCursor()]
		return &tenantsv1.ListTenantsResponse{Tenants: []*tenantsv1.Tenant{one}, NextCursor: next}, nil
	}}}
	s := api.serve(t)
	all := decode[struct {
		Tenants []struct{ ID, State string }
		Next    string `json:"next_cursor"`
	}](t, at(s).run(t, "tenant", "list", "--all", "--json").out)
	require.Len(t, all.Tenants, 3)
	require.Equal(t, "active", all.Tenants[0].State)
	require.Empty(t, all.Next)

	r := at(s).run(t, "tenant", "list", "--limit", "1")
	require.Equal(t, cli.OK, r.code)
	require.Contains(t, r.stderr, "more: --cursor b")
	require.NotContains(t, r.out, "\x1b", "a name must not command the terminal")
	require.NotContains(t, r.out, "\u202e")
}

func TestOpsWait_ExitsWithTheOutcome(t *testing.T) {
	t.Parallel()
	ops := operations{
		get:  func() (*operationsv1.Operation, error) { return operation(running), nil },
		wait: func() (*operationsv1.Operation, error) { return operation(failed), nil },
	}
	require.Equal(t, cli.Failed, at((&fakeAPI{operations: ops}).serve(t)).run(t, "ops", "wait", operationID).code)
	ops.get = func() (*operationsv1.Operation, error) { return operation(succeeded), nil }
	require.Equal(t, cli.OK, at((&fakeAPI{operations: ops}).serve(t)).run(t, "ops", "wait", operationID).code)
	require.Contains(t, at((&fakeAPI{operations: ops}).serve(t)).run(t, "ops", "get", operationID).out, "tenant.provision")
}

type hooks struct {
	hooksv1connect.UnimplementedHookServiceHandler
}

func (hooks) CreateHookSource(_ context.Context, r *hooksv1.CreateHookSourceRequest) (*hooksv1.CreateHookSourceResponse, error) {
	return &hooksv1.CreateHookSourceResponse{
		Source: &hooksv1.HookSource{Source: r.GetSource(), CallbackUrl: r.GetCallbackUrl()}, Secret: "whsec_once", OperatorKey: "tnop_once",
	}, nil
}

func (hooks) AddHookSecret(context.Context, *hooksv1.AddHookSecretRequest) (*hooksv1.AddHookSecretResponse, error) {
	return &hooksv1.AddHookSecretResponse{Meta: &hooksv1.HookSecret{Id: "s2"}, Secret: "whsec_two"}, nil
}

func (hooks) RetireHookSecret(context.Context, *hooksv1.RetireHookSecretRequest) (*hooksv1.RetireHookSecretResponse, error) {
	return &hooksv1.RetireHookSecretResponse{}, nil
}

func (hooks) ListHookSources(context.Context, *hooksv1.ListHookSourcesRequest) (*hooksv1.ListHookSourcesResponse, error) {
	secrets := []*hooksv1.HookSecret{{Id: "live"}, {Id: "gone", RetireTime: timestamppb.New(fixedNow)}}
	return &hooksv1.ListHookSourcesResponse{Sources: []*hooksv1.HookSource{{Source: "demo", Secrets: secrets}}}, nil
}

func TestHookCommands_PrintWhatIsShownOnce(t *testing.T) {
	t.Parallel()
	s := (&fakeAPI{hooks: hooks{}}).serve(t)
	got := decode[map[string]any](t, at(s).run(t, "hook", "create", "--name", "demo", "--callback-url", "https://a.example/x", "--json").out)
	require.Equal(t, []any{"demo", "https://a.example/x", "whsec_once", "tnop_once", s.URL + "/v1/hooks/provisioning/demo"},
		[]any{got["source"], got["callback_url"], got["secret"], got["operator_key"], got["hook_url"]})
	require.Contains(t, at(s).run(t, "hook", "create", "--name", "demo").out, "whsec_once")
	require.Equal(t, "whsec_two", decode[map[string]any](t, at(s).run(t, "hook", "add-secret", "--source", "demo", "--json").out)["secret"])
	list := at(s).run(t, "hook", "list").out
	require.Contains(t, list, "live")
	require.NotContains(t, list, "gone")
	require.Equal(t, "retired s2 of demo\n", at(s).run(t, "hook", "retire-secret", "--source", "demo", "--secret-id", "s2").out)
}

type keys struct {
	operatorsv1connect.UnimplementedOperatorServiceHandler
}

func (keys) CreateOperatorKey(_ context.Context, r *operatorsv1.CreateOperatorKeyRequest) (*operatorsv1.CreateOperatorKeyResponse, error) {
	return &operatorsv1.CreateOperatorKeyResponse{Meta: &operatorsv1.OperatorKey{Id: "k1", Name: r.GetName(), Scopes: r.GetScopes()}, Key: "tnop_by-api"}, nil
}

func (keys) ListOperatorKeys(context.Context, *operatorsv1.ListOperatorKeysRequest) (*operatorsv1.ListOperatorKeysResponse, error) {
	return &operatorsv1.ListOperatorKeysResponse{Keys: []*operatorsv1.OperatorKey{{Id: "k1", Name: "me", Scopes: []string{"ops"}}}}, nil
}

func (keys) RevokeOperatorKey(context.Context, *operatorsv1.RevokeOperatorKeyRequest) (*operatorsv1.RevokeOperatorKeyResponse, error) {
	return &operatorsv1.RevokeOperatorKeyResponse{}, nil
}

func TestOperatorCreate_UsesTheDatabaseOnlyWithoutAKeyOrWithFirst(t *testing.T) {
	t.Parallel()
	s := (&fakeAPI{operators: keys{}}).serve(t)
	args := []string{"operator", "create", "--name", "me", "--scopes", "ops,tenants.read", "--json"}
	withKey := at(s)
	got := decode[map[string]any](t, withKey.run(t, args...).out)
	require.Equal(t, "tnop_by-api", got["key"])
	require.Equal(t, []any{"ops", "tenants.read"}, got["scopes"])

	withKey.backend = fakeBackend()
	for name, value := range databaseEnv() {
		withKey.env[name] = value
	}
	require.Equal(t, "tnop_by-database", decode[map[string]any](t, withKey.run(t, append(args, "--first")...).out)["key"])
	without := command{env: databaseEnv(), backend: fakeBackend()}
	require.Equal(t, "tnop_by-database", decode[map[string]any](t, without.run(t, args...).out)["key"])

	require.Contains(t, at(s).run(t, "operator", "list").out, "me")
	require.Equal(t, "revoked k1\n", at(s).run(t, "operator", "revoke", "k1").out)
}
