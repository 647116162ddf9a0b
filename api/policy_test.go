package api

import (
	"strings"
	"testing"

	"connectrpc.com/connect/v2"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	commonv1 "tenantry/api/gen/tenantry/common/v1"
)

func complete() *commonv1.Policy {
	return &commonv1.Policy{
		Host: commonv1.Host_HOST_CENTRAL, Credentials: []commonv1.Credential{commonv1.Credential_CREDENTIAL_OPERATOR},
		OperatorScope: "ops", RateClass: commonv1.RateClass_RATE_CLASS_WRITE,
		Idempotency: commonv1.Idempotency_IDEMPOTENCY_KEY, AuditAction: "thing.done",
	}
}

// spec makes an RPC with a policy; nil is an RPC that lacks it.
func spec(t *testing.T, p *commonv1.Policy) connect.Spec {
	t.Helper()
	options := &descriptorpb.MethodOptions{}
	if p != nil {
		proto.SetExtension(options, commonv1.E_Policy, p)
	}
	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: proto.String("thing.proto"), Package: proto.String("thing.v1"), Syntax: proto.String("proto3"),
		Dependency: []string{"tenantry/users/v1/users.proto"},
		Service: []*descriptorpb.ServiceDescriptorProto{{
			Name: proto.String("ThingService"),
			Method: []*descriptorpb.MethodDescriptorProto{{
				Name: proto.String("DoThing"), InputType: proto.String(".tenantry.users.v1.GetMeRequest"),
				OutputType: proto.String(".tenantry.users.v1.GetMeResponse"), Options: options,
			}},
		}},
	}, protoregistry.GlobalFiles)
	require.NoError(t, err)
	return connect.Spec{
		StreamType: connect.StreamTypeUnary, Procedure: "/thing.v1.ThingService/DoThing",
		Schema: file.Services().Get(0).Methods().Get(0),
	}
}

func TestNew_RefusesToStartWithAnIncompletePolicy(t *testing.T) {
	t.Parallel()
	type p = commonv1.Policy
	for name, tt := range map[string]struct {
		change func(*p)
		says   string
	}{
		"no host":                {func(p *p) { p.Host = 0 }, "no host"},
		"no credentials":         {func(p *p) { p.Credentials = nil }, "no credentials"},
		"unspecified credential": {func(p *p) { p.Credentials = append(p.Credentials, 0) }, "no credentials"},
		"no rate class":          {func(p *p) { p.RateClass = 0 }, "no rate_class"},
		"no idempotency":         {func(p *p) { p.Idempotency = 0 }, "no idempotency"},
		"no operator scope":      {func(p *p) { p.OperatorScope = "" }, "operator_scope"},
		"unknown operator scope": {func(p *p) { p.OperatorScope = "all" }, "operator_scope"},
		"no audit action":        {func(p *p) { p.AuditAction = "" }, "no audit_action"},
		"audited read":           {func(p *p) { p.RateClass = commonv1.RateClass_RATE_CLASS_READ }, "on a read"},
		"operator at a tenant":   {func(p *p) { p.Host = commonv1.Host_HOST_TENANT }, "central host only"},
		"anonymous or operator": {func(p *p) {
			p.Credentials = append(p.Credentials, commonv1.Credential_CREDENTIAL_NONE)
		}, "stands alone"},
		"unknown permission": {func(p *p) {
			p.Host, p.Credentials, p.OperatorScope, p.Permission = commonv1.Host_HOST_TENANT, []commonv1.Credential{commonv1.Credential_CREDENTIAL_USER}, "", "users.reed"
		}, "permission"},
		"step-up of an operator": {func(p *p) { p.StepUp = true }, "step_up"},
		"step-up of an API key": {func(p *p) {
			p.Host, p.OperatorScope, p.StepUp = commonv1.Host_HOST_TENANT, "", true
			p.Credentials = []commonv1.Credential{commonv1.Credential_CREDENTIAL_USER, commonv1.Credential_CREDENTIAL_API_KEY}
		}, "step_up"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			policy := complete()
			tt.change(policy)
			f := &fake{}
			_, err := build(depsForBuild(), wiring{register: func(s *connect.Server) {
				f.register(s)
				s.Register(connect.Method{Spec: spec(t, policy)})
			}})
			require.ErrorContains(t, err, "/thing.v1.ThingService/DoThing")
			require.ErrorContains(t, err, tt.says)
		})
	}
}

func TestNew_RefusesToStartWithoutAPolicy(t *testing.T) {
	t.Parallel()
	_, err := build(depsForBuild(), wiring{register: func(s *connect.Server) { s.Register(connect.Method{Spec: spec(t, nil)}) }})
	require.ErrorContains(t, err, "/thing.v1.ThingService/DoThing: no policy")
}

// Control: the complete one is refused for its REST path alone.
func TestNew_RefusesAnRPCWithoutARESTPath(t *testing.T) {
	t.Parallel()
	_, err := build(depsForBuild(), wiring{register: func(s *connect.Server) { s.Register(connect.Method{Spec: spec(t, complete())}) }})
	require.EqualError(t, err, "/thing.v1.ThingService/DoThing: no REST path")
}

// The policies and rules of the real RPCs are complete, and none that is
// declared is left out; no module is needed to find out.
func TestNew_ServesEveryRPCThatIsDeclared(t *testing.T) {
	t.Parallel()
	s, err := New(depsForBuild())
	require.NoError(t, err)
	declared := 0
	protoregistry.GlobalFiles.RangeFiles(func(file protoreflect.FileDescriptor) bool {
		for i := range file.Services().Len() {
			service := file.Services().Get(i)
			if !strings.HasPrefix(string(service.FullName()), "tenantry.") {
				continue
			}
			for j := range service.Methods().Len() {
				declared++
				require.Contains(t, s.procedures, "/"+string(service.FullName())+"/"+string(service.Methods().Get(j).Name()))
			}
		}
		return true
	})
	require.Len(t, s.procedures, declared)
	require.Greater(t, declared, 20)
}
