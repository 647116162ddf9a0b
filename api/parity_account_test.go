package api

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	authv1 "tenantry/api/gen/tenantry/auth/v1"
)

const verifier = "a-verifier-of-forty-three-characters-or-more_0~"

func s256(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// member is a person of the scene's own, who is logged in.
func (s scene) member(t *testing.T) {
	t.Helper()
	s.as(t, "", "POST", "/v1/auth/register", `{"name":"P","email":"`+s.email()+`","password":"`+goodPassword+`"}`)
	s.as(t, "", "POST", "/v1/auth/verify-email", `{"token":"`+tokenOf(s.link(t, s.tenant(t), s.email()))+`"}`)
}

// changeToken asks for another address of the member and answers the token
// that went there.
func (s scene) changeToken(t *testing.T) string {
	t.Helper()
	s.member(t)
	access := s.as(t, "", "POST", "/v1/auth/login", `{"email":"`+s.email()+`","password":"`+goodPassword+`"}`).get(t, http.StatusOK, "access_token")
	require.Equal(t, http.StatusOK, s.as(t, access, "POST", "/v1/me:changeEmail", `{"email":"new-`+s.email()+`"}`).status)
	return tokenOf(s.link(t, s.tenant(t), "new-"+s.email()))
}

// offersLinks makes the tenant offer login by mail.
func (s scene) offersLinks(t *testing.T) {
	t.Helper()
	_, err := s.sql(t).Exec(t.Context(), `UPDATE settings SET document = jsonb_set(document::jsonb, '{app_url}', '"https://app.acme.example/in"')`)
	require.NoError(t, err)
}

func init() {
	undos["ChangePassword"] = func(t *testing.T, s scene) {
		_, err := s.sql(t).Exec(t.Context(), `UPDATE users SET revision = 1 WHERE email_normalized = 'owner@acme.example'`)
		require.NoError(t, err)
	}
	maps.Copy(scenes, map[string]func(*testing.T, scene) proto.Message{
		"RequestPasswordReset": func(_ *testing.T, s scene) proto.Message {
			return &authv1.RequestPasswordResetRequest{Email: s.email()}
		},
		"ResetPassword": func(t *testing.T, s scene) proto.Message {
			s.member(t)
			s.as(t, "", "POST", "/v1/auth/request-password-reset", `{"email":"`+s.email()+`"}`)
			return &authv1.ResetPasswordRequest{Token: tokenOf(s.link(t, s.tenant(t), s.email())), Password: goodPassword}
		},
		"ConfirmEmailChange": func(t *testing.T, s scene) proto.Message {
			return &authv1.ConfirmEmailChangeRequest{Token: s.changeToken(t)}
		},
		"UndoEmailChange": func(t *testing.T, s scene) proto.Message {
			s.as(t, "", "POST", "/v1/auth/confirm-email-change", `{"token":"`+s.changeToken(t)+`"}`)
			return &authv1.UndoEmailChangeRequest{Token: tokenOf(s.link(t, s.tenant(t), s.email()))}
		},
		"ReportNotMe": func(t *testing.T, s scene) proto.Message {
			s.member(t)
			for range 2 { // the first login needs no notice
				s.as(t, "", "POST", "/v1/auth/login", `{"email":"`+s.email()+`","password":"`+goodPassword+`"}`)
			}
			return &authv1.ReportNotMeRequest{Token: tokenOf(s.link(t, s.tenant(t), s.email()))}
		},
		"ChangePassword": func(*testing.T, scene) proto.Message { return &authv1.ChangePasswordRequest{Password: goodPassword} },
		"ChangeEmail":    func(_ *testing.T, s scene) proto.Message { return &authv1.ChangeEmailRequest{Email: s.email()} },
		"RequestMagicLink": func(t *testing.T, s scene) proto.Message {
			s.offersLinks(t)
			return &authv1.RequestMagicLinkRequest{Email: s.email(), CodeChallenge: s256(verifier)}
		},
		"ExchangeCode": func(t *testing.T, s scene) proto.Message {
			s.member(t)
			s.offersLinks(t)
			body := fmt.Sprintf(`{"email":%q,"code_challenge":%q}`, s.email(), s256(verifier))
			s.as(t, "", "POST", "/v1/auth/magic-link", body).get(t, http.StatusOK, "request_id")
			to := s.press(t, s.link(t, s.tenant(t), s.email()), url.Values{"act": {"here"}}).header.Get("Location")
			return &authv1.ExchangeCodeRequest{
				Proof: &authv1.ExchangeCodeRequest_Code{Code: codeOf(t, to)}, CodeVerifier: verifier,
			}
		},
	})
}

func codeOf(t *testing.T, location string) string {
	t.Helper()
	require.True(t, strings.HasPrefix(location, "https://app.acme.example/in?"), location)
	u, err := url.Parse(location)
	require.NoError(t, err)
	return u.Query().Get("code")
}
