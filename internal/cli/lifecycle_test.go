package cli_test

import (
	"context"
	"testing"

	"connectrpc.com/connect/v2"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	operationsv1 "tenantry/api/gen/tenantry/operations/v1"
	tenantsv1 "tenantry/api/gen/tenantry/tenants/v1"
	"tenantry/internal/cli"
)

// lifecycle answers the calls on the tenant "acme" and keeps them.
type lifecycle struct {
	tenants
	asked []proto.Message
}

func (l *lifecycle) answer(m proto.Message) (*operationsv1.Operation, error) {
	l.asked = append(l.asked, m)
	return operation(pending), nil
}

func (l *lifecycle) SuspendTenant(_ context.Context, r *tenantsv1.SuspendTenantRequest) (*operationsv1.Operation, error) {
	return l.answer(r)
}

func (l *lifecycle) ResumeTenant(_ context.Context, r *tenantsv1.ResumeTenantRequest) (*operationsv1.Operation, error) {
	return l.answer(r)
}

func (l *lifecycle) InviteTenantOwner(_ context.Context, r *tenantsv1.InviteTenantOwnerRequest) (*operationsv1.Operation, error) {
	return l.answer(r)
}

func (l *lifecycle) SetTenantLimits(_ context.Context, r *tenantsv1.SetTenantLimitsRequest) (*operationsv1.Operation, error) {
	return l.answer(r)
}

func newLifecycle() *lifecycle {
	acme := &tenantsv1.Tenant{Id: tenantID, Slug: "acme", Version: 7}
	return &lifecycle{tenants: tenants{
		get: func(*tenantsv1.GetTenantRequest) (*tenantsv1.Tenant, error) { return acme, nil },
		list: func(r *tenantsv1.ListTenantsRequest) (*tenantsv1.ListTenantsResponse, error) {
			if r.GetCursor() == "" {
				return &tenantsv1.ListTenantsResponse{Tenants: []*tenantsv1.Tenant{{Slug: "other"}}, NextCursor: "b"}, nil
			}
			return &tenantsv1.ListTenantsResponse{Tenants: []*tenantsv1.Tenant{acme}}, nil
		},
	}}
}

func TestTenantCalls_AskForOneThingAtATenantByIDOrSlug(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args []string
		want proto.Message
	}{
		{[]string{"suspend"}, &tenantsv1.SuspendTenantRequest{Id: tenantID}},
		{[]string{"resume"}, &tenantsv1.ResumeTenantRequest{Id: tenantID}},
		{[]string{"invite-owner"}, &tenantsv1.InviteTenantOwnerRequest{Id: tenantID}},
		{[]string{"invite-owner", "--email", "o@acme.example"}, &tenantsv1.InviteTenantOwnerRequest{Id: tenantID, OwnerEmail: "o@acme.example"}},
		{[]string{"set-limits", "--max-users", "0"}, &tenantsv1.SetTenantLimitsRequest{Id: tenantID, MaxUsers: proto.Int32(0), Version: 7}},
	} {
		for _, name := range []string{tenantID, "acme"} {
			l := newLifecycle()
			api := &fakeAPI{tenants: l}
			r := at(api.serve(t)).run(t, append([]string{"tenant", c.args[0], name, "--json"}, c.args[1:]...)...)
			require.Equal(t, cli.OK, r.code, r.stderr)
			require.Len(t, l.asked, 1)
			require.True(t, proto.Equal(c.want, l.asked[0]), "%v: %v", c.args, l.asked[0])
			require.Equal(t, operationID, decode[map[string]any](t, r.out)["id"])
		}
	}
}

func TestTenantCalls_WaitShowsTheStepsAndExitsWithTheOutcome(t *testing.T) {
	t.Parallel()
	end := operation(failed, "begin", "done", "apply_access", "done")
	end.Reason = "SUPERSEDED"
	api := &fakeAPI{tenants: newLifecycle(), operations: operations{wait: func() (*operationsv1.Operation, error) { return end, nil }}}
	r := at(api.serve(t)).run(t, "tenant", "suspend", "acme", "--wait")
	require.Equal(t, cli.Failed, r.code)
	require.Contains(t, r.stderr, "operation "+operationID+"\n  [1/2] done         begin\n  [2/2] done         apply_access\n")
	require.Contains(t, r.stderr, "SUPERSEDED")
}

func TestTenantCalls_NameWhatIsWrong(t *testing.T) {
	t.Parallel()
	s := (&fakeAPI{tenants: newLifecycle()}).serve(t)
	r := at(s).run(t, "tenant", "suspend", "nobody")
	require.NotEqual(t, cli.OK, r.code)
	require.Contains(t, r.stderr, "no tenant has the slug nobody")
	require.NotEqual(t, cli.OK, at(s).run(t, "tenant", "set-limits", "acme").code, "--max-users is required")
	require.NotEqual(t, cli.OK, at(s).run(t, "tenant", "suspend").code)
	refusing := newLifecycle()
	refusing.get = func(*tenantsv1.GetTenantRequest) (*tenantsv1.Tenant, error) {
		return nil, connect.NewError(connect.CodeNotFound, "No such tenant.")
	}
	require.Contains(t, at((&fakeAPI{tenants: refusing}).serve(t)).run(t, "tenant", "resume", tenantID).stderr, "No such tenant.")
}

// What answers a credential takes no idempotency key, so none is sent.
func TestCalls_ThatIssueCredentialsSendNoIdempotencyKey(t *testing.T) {
	t.Parallel()
	api := &fakeAPI{hooks: hooks{}, operators: keys{}}
	s := api.serve(t)
	at(s).run(t, "hook", "create", "--name", "demo")
	at(s).run(t, "hook", "add-secret", "--source", "demo")
	at(s).run(t, "operator", "create", "--name", "me", "--scopes", "ops")
	require.Len(t, api.seen(), 3)
	for _, h := range api.seen() {
		require.Empty(t, h.Get("Idempotency-Key"))
	}
	at(s).run(t, "hook", "retire-secret", "--source", "demo", "--secret-id", "s2")
	require.NotEmpty(t, api.seen()[3].Get("Idempotency-Key"))
}

// Planted: a get that asks for an id alone.
func TestTenantGet_TakesASlugLikeTheOthers(t *testing.T) {
	t.Parallel()
	s := (&fakeAPI{tenants: newLifecycle()}).serve(t)
	for _, name := range []string{"acme", tenantID} {
		r := at(s).run(t, "tenant", "get", name, "--json")
		require.Equal(t, cli.OK, r.code, r.stderr)
		require.Equal(t, tenantID, decode[map[string]any](t, r.out)["id"])
	}
	r := at(s).run(t, "tenant", "get", "nobody")
	require.NotEqual(t, cli.OK, r.code)
	require.Contains(t, r.stderr, "nobody")
}
