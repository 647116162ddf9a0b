package api

import (
	"context"

	"tenantry/api/edge"
	authv1 "tenantry/api/gen/tenantry/auth/v1"
	hooksv1 "tenantry/api/gen/tenantry/hooks/v1"
	invitationsv1 "tenantry/api/gen/tenantry/invitations/v1"
	operationsv1 "tenantry/api/gen/tenantry/operations/v1"
	operatorsv1 "tenantry/api/gen/tenantry/operators/v1"
	tenantsv1 "tenantry/api/gen/tenantry/tenants/v1"
	usersv1 "tenantry/api/gen/tenantry/users/v1"
	"tenantry/internal/apperr"
)

func (f *fake) Login(ctx context.Context, req *authv1.LoginRequest) (*authv1.LoginResponse, error) {
	f.effects.Add(1)
	if f.login != nil {
		return f.login(ctx, req)
	}
	return &authv1.LoginResponse{AccessToken: userToken, TokenType: "Bearer"}, nil
}

func (f *fake) Register(context.Context, *authv1.RegisterRequest) (*authv1.RegisterResponse, error) {
	f.effects.Add(1)
	return &authv1.RegisterResponse{}, nil
}

func (f *fake) GetMe(ctx context.Context, _ *usersv1.GetMeRequest) (*usersv1.GetMeResponse, error) {
	return meMessage(edge.From(ctx).User), nil
}

func (f *fake) ListUsers(_ context.Context, req *usersv1.ListUsersRequest) (*usersv1.ListUsersResponse, error) {
	return &usersv1.ListUsersResponse{NextCursor: req.GetCursor()}, nil
}

func (f *fake) CreateTenant(ctx context.Context, req *tenantsv1.CreateTenantRequest) (*operationsv1.Operation, error) {
	f.effects.Add(1)
	if err := reserveInput(req).Validate(); apperr.ReasonOf(err) == "SLUG_RESERVED" {
		return nil, err
	}
	return &operationsv1.Operation{Id: edge.From(ctx).Operator.ID.String()}, nil
}

func (f *fake) GetTenant(context.Context, *tenantsv1.GetTenantRequest) (*tenantsv1.Tenant, error) {
	return nil, apperr.New(apperr.NotFound, "TENANT_NOT_FOUND", "No such tenant.")
}

func (f *fake) GetOperation(_ context.Context, req *operationsv1.GetOperationRequest) (*operationsv1.Operation, error) {
	return &operationsv1.Operation{Id: req.GetId()}, nil
}

func (f *fake) CancelOperation(_ context.Context, req *operationsv1.CancelOperationRequest) (*operationsv1.Operation, error) {
	return &operationsv1.Operation{Id: req.GetId()}, nil
}

func (f *fake) AddHookSecret(_ context.Context, req *hooksv1.AddHookSecretRequest) (*hooksv1.AddHookSecretResponse, error) {
	return &hooksv1.AddHookSecretResponse{Secret: req.GetSource()}, nil
}

func (f *fake) VerifyEmail(context.Context, *authv1.VerifyEmailRequest) (*authv1.VerifyEmailResponse, error) {
	return nil, apperr.New(apperr.Invalid, "TOKEN_INVALID", "token: the link is not valid any more.")
}

func (f *fake) ResendVerification(context.Context, *authv1.ResendVerificationRequest) (*authv1.ResendVerificationResponse, error) {
	return &authv1.ResendVerificationResponse{}, nil
}

func (f *fake) AcceptInvitation(context.Context, *invitationsv1.AcceptInvitationRequest) (*invitationsv1.AcceptInvitationResponse, error) {
	return &invitationsv1.AcceptInvitationResponse{}, nil
}

func (f *fake) ListTenants(context.Context, *tenantsv1.ListTenantsRequest) (*tenantsv1.ListTenantsResponse, error) {
	return &tenantsv1.ListTenantsResponse{}, nil
}

func (f *fake) ListOperations(context.Context, *operationsv1.ListOperationsRequest) (*operationsv1.ListOperationsResponse, error) {
	return &operationsv1.ListOperationsResponse{}, nil
}

func (f *fake) WaitOperation(context.Context, *operationsv1.WaitOperationRequest) (*operationsv1.Operation, error) {
	return &operationsv1.Operation{}, nil
}

func (f *fake) CreateHookSource(context.Context, *hooksv1.CreateHookSourceRequest) (*hooksv1.CreateHookSourceResponse, error) {
	return &hooksv1.CreateHookSourceResponse{}, nil
}

func (f *fake) ListHookSources(context.Context, *hooksv1.ListHookSourcesRequest) (*hooksv1.ListHookSourcesResponse, error) {
	return &hooksv1.ListHookSourcesResponse{}, nil
}

func (f *fake) RetireHookSecret(context.Context, *hooksv1.RetireHookSecretRequest) (*hooksv1.RetireHookSecretResponse, error) {
	return &hooksv1.RetireHookSecretResponse{}, nil
}

func (f *fake) CreateOperatorKey(context.Context, *operatorsv1.CreateOperatorKeyRequest) (*operatorsv1.CreateOperatorKeyResponse, error) {
	return &operatorsv1.CreateOperatorKeyResponse{}, nil
}

func (f *fake) ListOperatorKeys(context.Context, *operatorsv1.ListOperatorKeysRequest) (*operatorsv1.ListOperatorKeysResponse, error) {
	return &operatorsv1.ListOperatorKeysResponse{}, nil
}

func (f *fake) RevokeOperatorKey(context.Context, *operatorsv1.RevokeOperatorKeyRequest) (*operatorsv1.RevokeOperatorKeyResponse, error) {
	return &operatorsv1.RevokeOperatorKeyResponse{}, nil
}
