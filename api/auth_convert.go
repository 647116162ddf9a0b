package api

import (
	"google.golang.org/protobuf/types/known/timestamppb"

	authv1 "tenantry/api/gen/tenantry/auth/v1"
	"tenantry/internal/auth"
)

const tokenType = "Bearer"

func loginResponse(r auth.SignIn) *authv1.LoginResponse {
	if c := r.Challenge; c != nil {
		methods := []string{auth.MethodTOTP, auth.MethodBackupCode}
		if c.Enrolling {
			methods = []string{"enroll"}
		}
		return &authv1.LoginResponse{Challenge: &authv1.MfaChallenge{Token: c.Token, Methods: methods, ExpireTime: timestamppb.New(c.Expires)}}
	}
	t := r.Tokens
	return &authv1.LoginResponse{
		AccessToken: t.AccessToken, TokenType: tokenType, ExpiresIn: int32(t.ExpiresIn.Seconds()),
		SessionId: t.Session.String(), SessionExpireTime: timestamppb.New(t.SessionExpires),
		RefreshToken: t.RefreshToken, RefreshExpireTime: timestamppb.New(t.RefreshExpires), DeviceToken: t.DeviceToken,
		FactorDueTime: timestamp(t.FactorDue),
	}
}

func tokenResponse(t auth.Tokens) *authv1.TokenResponse {
	out := &authv1.TokenResponse{
		AccessToken: t.AccessToken, TokenType: tokenType, ExpiresIn: int32(t.ExpiresIn.Seconds()),
		SessionId: t.Session.String(), SessionExpireTime: timestamppb.New(t.SessionExpires),
	}
	if t.RefreshToken != "" {
		out.RefreshToken, out.RefreshExpireTime = t.RefreshToken, timestamppb.New(t.RefreshExpires)
	}
	return out
}
