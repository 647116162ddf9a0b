package api

import (
	"context"

	"tenantry/api/edge"
	authv1 "tenantry/api/gen/tenantry/auth/v1"
	"tenantry/internal/auth"
)

type authHandler struct{ auth *auth.Service }

func (h *authHandler) Register(ctx context.Context, req *authv1.RegisterRequest) (*authv1.RegisterResponse, error) {
	call := edge.From(ctx)
	err := h.auth.Register(ctx, call.Lease, call.Tenant, auth.RegisterInput{
		Name: req.GetName(), Email: req.GetEmail(), Password: req.GetPassword(), Locale: string(call.AskedLocale),
	}, call.Meta())
	return &authv1.RegisterResponse{}, err
}

func (h *authHandler) VerifyEmail(ctx context.Context, req *authv1.VerifyEmailRequest) (*authv1.VerifyEmailResponse, error) {
	call := edge.From(ctx)
	return &authv1.VerifyEmailResponse{}, h.auth.VerifyEmail(ctx, call.Lease, req.GetToken(), call.Meta())
}

func (h *authHandler) ResendVerification(ctx context.Context, req *authv1.ResendVerificationRequest) (*authv1.ResendVerificationResponse, error) {
	call := edge.From(ctx)
	return &authv1.ResendVerificationResponse{}, h.auth.ResendVerification(ctx, call.Lease, req.GetEmail(), string(call.AskedLocale), call.Meta())
}

func (h *authHandler) Login(ctx context.Context, req *authv1.LoginRequest) (*authv1.LoginResponse, error) {
	call := edge.From(ctx)
	r, err := h.auth.Login(ctx, call.Lease, call.Tenant, auth.LoginInput{Email: req.GetEmail(), Password: req.GetPassword()}, call.Meta())
	if err != nil {
		return nil, err
	}
	return loginResponse(r), nil
}

func (h *authHandler) Refresh(ctx context.Context, req *authv1.RefreshRequest) (*authv1.TokenResponse, error) {
	call := edge.From(ctx)
	t, err := h.auth.Refresh(ctx, call.Lease, call.Tenant, req.GetRefreshToken(), call.Meta())
	if err != nil {
		return nil, err
	}
	return tokenResponse(t), nil
}

func (h *authHandler) Logout(ctx context.Context, req *authv1.LogoutRequest) (*authv1.LogoutResponse, error) {
	call := edge.From(ctx)
	return &authv1.LogoutResponse{}, h.auth.Logout(ctx, call.Lease, req.GetRefreshToken(), call.Meta())
}
