package api

import (
	"context"

	"tenantry/api/edge"
	authv1 "tenantry/api/gen/tenantry/auth/v1"
	"tenantry/internal/factors"
)

type factorsHandler struct{ factors *factors.Service }

func (h *factorsHandler) GetFactors(ctx context.Context, _ *authv1.GetFactorsRequest) (*authv1.Factors, error) {
	call := edge.From(ctx)
	found, err := h.factors.Get(ctx, call.Lease, call.User.User)
	if err != nil {
		return nil, err
	}
	return factorsMessage(found), nil
}

func (h *factorsHandler) EnrollTotp(ctx context.Context, _ *authv1.EnrollTotpRequest) (*authv1.TotpEnrollment, error) {
	call := edge.From(ctx)
	e, err := h.factors.Enroll(ctx, call.Lease, call.Tenant, call.User.User, call.Meta())
	if err != nil {
		return nil, err
	}
	return enrollmentMessage(e), nil
}

func (h *factorsHandler) ConfirmTotp(ctx context.Context, req *authv1.ConfirmTotpRequest) (*authv1.ConfirmTotpResponse, error) {
	call := edge.From(ctx)
	in := factors.ConfirmInput{User: call.User.User, Session: call.User.Session, Code: req.GetCode()}
	done, err := h.factors.Confirm(ctx, call.Lease, call.Tenant, in, call.Meta())
	if err != nil {
		return nil, err
	}
	return &authv1.ConfirmTotpResponse{BackupCodes: done.BackupCodes, Tokens: tokenResponse(done.Tokens)}, nil
}

func (h *factorsHandler) DisableTotp(ctx context.Context, _ *authv1.DisableTotpRequest) (*authv1.DisableTotpResponse, error) {
	call := edge.From(ctx)
	return &authv1.DisableTotpResponse{}, h.factors.Disable(ctx, call.Lease, call.User.User, call.Meta())
}

func (h *factorsHandler) RegenerateBackupCodes(ctx context.Context, _ *authv1.RegenerateBackupCodesRequest) (*authv1.BackupCodes, error) {
	call := edge.From(ctx)
	codes, err := h.factors.RegenerateCodes(ctx, call.Lease, call.User.User, call.Meta())
	return &authv1.BackupCodes{Codes: codes}, err
}

func (h *factorsHandler) VerifyMfa(ctx context.Context, req *authv1.VerifyMfaRequest) (*authv1.LoginResponse, error) {
	call := edge.From(ctx)
	in := factors.VerifyInput{Challenge: req.GetChallengeToken(), Code: factors.Code{TOTP: req.GetTotpCode(), Backup: req.GetBackupCode()}}
	r, err := h.factors.Verify(ctx, call.Lease, call.Tenant, in, call.Meta())
	if err != nil {
		return nil, err
	}
	return loginResponse(r), nil
}

func (h *factorsHandler) EnrollWithChallenge(ctx context.Context, req *authv1.EnrollWithChallengeRequest) (*authv1.TotpEnrollment, error) {
	call := edge.From(ctx)
	e, err := h.factors.EnrollWithChallenge(ctx, call.Lease, call.Tenant, req.GetChallengeToken(), call.Meta())
	if err != nil {
		return nil, err
	}
	return enrollmentMessage(e), nil
}

func (h *factorsHandler) ConfirmWithChallenge(ctx context.Context, req *authv1.ConfirmWithChallengeRequest) (*authv1.ConfirmWithChallengeResponse, error) {
	call := edge.From(ctx)
	done, err := h.factors.ConfirmWithChallenge(ctx, call.Lease, call.Tenant, req.GetChallengeToken(), req.GetCode(), call.Meta())
	if err != nil {
		return nil, err
	}
	return &authv1.ConfirmWithChallengeResponse{Login: loginResponse(done.SignIn), BackupCodes: done.BackupCodes}, nil
}

func (h *factorsHandler) StepUp(ctx context.Context, req *authv1.StepUpRequest) (*authv1.TokenResponse, error) {
	call := edge.From(ctx)
	in := factors.StepUpInput{
		User: call.User.User, Session: call.User.Session, Password: req.GetPassword(), SecondFactor: call.User.SecondFactor,
	}
	if req.GetCode() != nil {
		in.Code = &factors.Code{TOTP: req.GetTotpCode(), Backup: req.GetBackupCode()}
	}
	t, err := h.factors.StepUp(ctx, call.Lease, call.Tenant, in, call.Meta())
	if err != nil {
		return nil, err
	}
	return tokenResponse(t), nil
}
