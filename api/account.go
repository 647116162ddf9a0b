package api

import (
	"context"

	"tenantry/api/edge"
	authv1 "tenantry/api/gen/tenantry/auth/v1"
	"tenantry/internal/recovery"
)

type accountHandler struct{ recovery *recovery.Service }

func (h *accountHandler) RequestPasswordReset(ctx context.Context, req *authv1.RequestPasswordResetRequest) (*authv1.RequestPasswordResetResponse, error) {
	call := edge.From(ctx)
	return &authv1.RequestPasswordResetResponse{}, h.recovery.RequestReset(ctx, call.Lease, req.GetEmail(), call.Meta())
}

func (h *accountHandler) ResetPassword(ctx context.Context, req *authv1.ResetPasswordRequest) (*authv1.ResetPasswordResponse, error) {
	call := edge.From(ctx)
	in := recovery.ResetInput{Token: req.GetToken(), Password: req.GetPassword()}
	return &authv1.ResetPasswordResponse{}, h.recovery.Reset(ctx, call.Lease, call.Tenant, in, call.Meta())
}

func (h *accountHandler) ConfirmEmailChange(ctx context.Context, req *authv1.ConfirmEmailChangeRequest) (*authv1.ConfirmEmailChangeResponse, error) {
	call := edge.From(ctx)
	return &authv1.ConfirmEmailChangeResponse{}, h.recovery.ConfirmEmailChange(ctx, call.Lease, req.GetToken(), call.Meta())
}

func (h *accountHandler) UndoEmailChange(ctx context.Context, req *authv1.UndoEmailChangeRequest) (*authv1.UndoEmailChangeResponse, error) {
	call := edge.From(ctx)
	return &authv1.UndoEmailChangeResponse{}, h.recovery.UndoEmailChange(ctx, call.Lease, req.GetToken(), call.Meta())
}

func (h *accountHandler) ReportNotMe(ctx context.Context, req *authv1.ReportNotMeRequest) (*authv1.ReportNotMeResponse, error) {
	call := edge.From(ctx)
	return &authv1.ReportNotMeResponse{}, h.recovery.ReportNotMe(ctx, call.Lease, req.GetToken(), call.Meta())
}

func (h *accountHandler) ChangePassword(ctx context.Context, req *authv1.ChangePasswordRequest) (*authv1.TokenResponse, error) {
	call := edge.From(ctx)
	t, err := h.recovery.ChangePassword(ctx, call.Lease, call.Tenant, call.User, req.GetPassword(), call.Meta())
	if err != nil {
		return nil, err
	}
	return tokenResponse(t), nil
}

func (h *accountHandler) ChangeEmail(ctx context.Context, req *authv1.ChangeEmailRequest) (*authv1.ChangeEmailResponse, error) {
	call := edge.From(ctx)
	answer := func(recovery.Asked) *authv1.ChangeEmailResponse { return &authv1.ChangeEmailResponse{} }
	return &authv1.ChangeEmailResponse{}, h.recovery.ChangeEmail(ctx, call.Lease, call.Member(), req.GetEmail(), mark(call, answer))
}
