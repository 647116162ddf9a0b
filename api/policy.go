package api

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"connectrpc.com/connect/v2"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	commonv1 "tenantry/api/gen/tenantry/common/v1"
	"tenantry/internal/operators"
	"tenantry/internal/rbac"
)

// operationName is the answer of workflow-backed calls.
const operationName protoreflect.FullName = "tenantry.operations.v1.Operation"

// method is an RPC with its policy, read once at start.
type method struct {
	spec   connect.Spec
	desc   protoreflect.MethodDescriptor
	policy *commonv1.Policy
}

func newMethod(spec connect.Spec) (*method, error) {
	desc, ok := spec.Schema.(protoreflect.MethodDescriptor)
	if !ok {
		return nil, fmt.Errorf("%s: no descriptor", spec.Procedure)
	}
	p, _ := proto.GetExtension(desc.Options(), commonv1.E_Policy).(*commonv1.Policy)
	m := &method{spec: spec, desc: desc, policy: p}
	if p == nil {
		return nil, fmt.Errorf("%s: no policy", spec.Procedure)
	}
	return m, m.check()
}

// accepts reports whether a kind of credential opens the RPC.
func (m *method) accepts(c commonv1.Credential) bool {
	return slices.Contains(m.policy.GetCredentials(), c)
}

// reads reports whether the RPC promises to change nothing.
func (m *method) reads() bool { return m.policy.GetRateClass() == commonv1.RateClass_RATE_CLASS_READ }

// startsOperation reports whether the RPC answers 202 at the REST door.
func (m *method) startsOperation() bool {
	return !m.reads() && m.desc.Output().FullName() == operationName
}

// check names everything that a policy lacks or contradicts itself in.
func (m *method) check() error {
	var errs []error
	refuse := func(bad bool, what string) {
		if bad {
			errs = append(errs, fmt.Errorf("%s: policy: %s", m.spec.Procedure, what))
		}
	}
	p := m.policy
	operator, user := m.accepts(commonv1.Credential_CREDENTIAL_OPERATOR), m.accepts(commonv1.Credential_CREDENTIAL_USER)
	key := m.accepts(commonv1.Credential_CREDENTIAL_API_KEY)
	anonymous := m.accepts(commonv1.Credential_CREDENTIAL_NONE)
	central, tenant := p.GetHost() == commonv1.Host_HOST_CENTRAL, p.GetHost() == commonv1.Host_HOST_TENANT

	refuse(!central && !tenant, "no host")
	refuse(len(p.GetCredentials()) == 0 || m.accepts(commonv1.Credential_CREDENTIAL_UNSPECIFIED), "no credentials")
	refuse(anonymous && len(p.GetCredentials()) > 1, "CREDENTIAL_NONE stands alone")
	refuse(operator && !central, "operators are served at the central host only")
	refuse((user || key) && !tenant, "people and their keys are served at a tenant's host only")
	refuse(key && !user, "what a key may, a person may too")
	refuse(operator && !slices.Contains(operators.Scopes, p.GetOperatorScope()), "operator_scope: one of "+strings.Join(operators.Scopes, ", "))
	refuse(!operator && p.GetOperatorScope() != "", "operator_scope without CREDENTIAL_OPERATOR")
	refuse(!user && p.GetPermission() != "", "permission without CREDENTIAL_USER")
	refuse(p.GetPermission() != "" && !slices.Contains(rbac.Permissions, p.GetPermission()), "permission: one of "+strings.Join(rbac.Permissions, ", "))
	refuse(p.GetRateClass() == commonv1.RateClass_RATE_CLASS_UNSPECIFIED, "no rate_class")
	refuse(p.GetIdempotency() == commonv1.Idempotency_IDEMPOTENCY_UNSPECIFIED, "no idempotency")
	refuse(m.reads() && p.GetAuditAction() != "", "audit_action on a read")
	refuse(!m.reads() && p.GetAuditAction() == "", "no audit_action on a mutation")
	refuse(m.reads() && p.GetIdempotency() == commonv1.Idempotency_IDEMPOTENCY_KEY, "a read takes no idempotency key")
	refuse(anonymous && p.GetIdempotency() == commonv1.Idempotency_IDEMPOTENCY_KEY, "anonymous calls take no idempotency key")
	refuse(p.GetStepUp() && (!user || key), "step_up is for a person's session alone: no other credential can authenticate again")

	level := m.desc.Options().(*descriptorpb.MethodOptions).GetIdempotencyLevel()
	refuse(level == descriptorpb.MethodOptions_NO_SIDE_EFFECTS && !m.reads(), "NO_SIDE_EFFECTS on a mutation")
	return errors.Join(errs...)
}
