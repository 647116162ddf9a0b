package test

import (
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	authv1 "tenantry/api/gen/tenantry/auth/v1"
	commonv1 "tenantry/api/gen/tenantry/common/v1"
	invitationsv1 "tenantry/api/gen/tenantry/invitations/v1"
	usersv1 "tenantry/api/gen/tenantry/users/v1"
	"tenantry/internal/systest"
)

// smuggled are fields that a client must not decide, with the value that an
// attacker would like.
var smuggled = map[string]any{
	"email_verified": true, "verified": true, "role": "owner", "roles": []string{"owner"}, "role_ids": []string{}, "tenant_id": "0190b1c2-0000-7000-8000-000000000001",
	"user_id": "0190b1c2-0000-7000-8000-000000000001", "version": "7", "revision": "7", "aal": 2, "amr": []string{"otp"}, "second_factor": true, "permissions": []string{"users.delete"},
	"login_count": "0", "created_at": "2020-01-01T00:00:00Z", "password_hash": "$argon2id$", "is_admin": true,
}

// bodies are good bodies of the calls that make or change accounts; a call
// that is not here is sent its smuggled field alone.
var bodies = map[string]map[string]any{
	"Register":           {"name": "M", "email": "mass@mass.example", "password": password},
	"ResendVerification": {"email": "mass@mass.example"},
	"Login":              {"email": "owner@mass.example", "password": password},
	"VerifyEmail":        {"token": strings.Repeat("A", 43)},
	"AcceptInvitation":   {"token": strings.Repeat("A", 43), "name": "M", "password": password},
	"Refresh":            {"refresh_token": strings.Repeat("A", 43)},
	"UpdateUser":         {"version": "1", "name": "M"},

	"RequestPasswordReset": {"email": "owner@mass.example"},
	"ResetPassword":        {"token": strings.Repeat("A", 43), "password": password},
	"ConfirmEmailChange":   {"token": strings.Repeat("A", 43)},
	"UndoEmailChange":      {"token": strings.Repeat("A", 43)},
	"ReportNotMe":          {"token": strings.Repeat("A", 43)},
	"ChangePassword":       {"password": password + "!"},
	"ChangeEmail":          {"email": "other@mass.example"},

	"RequestMagicLink": {"email": "owner@mass.example", "code_challenge": challengeOf(verifier)},
	"ExchangeCode":     {"code": strings.Repeat("A", 43), "code_verifier": verifier},

	"ConfirmTotp":           {"code": "000000"},
	"VerifyMfa":             {"challenge_token": strings.Repeat("A", 43), "totp_code": "000000"},
	"EnrollWithChallenge":   {"challenge_token": strings.Repeat("A", 43)},
	"RequestOwnFactorReset": {"challenge_token": strings.Repeat("A", 43)},
	"ConfirmWithChallenge":  {"challenge_token": strings.Repeat("A", 43), "code": "000000"},
	"StepUp":                {"password": password},
}

// TestAttack9_FieldsThatTheServerDecidesAreRefused is attack 9 of the baseline,
// on every call with a body of the services about accounts: a field that the
// message lacks is refused by name and nothing happens. What a message has, it
// has on purpose: role_ids and version are checked by their own rules.
//
// Proven against: a JSON door that drops unknown fields.
func TestAttack9_FieldsThatTheServerDecidesAreRefused(t *testing.T) {
	t.Parallel()
	s := shared(t)
	ctx := within(t, 3*time.Minute)
	o := systest.NewOrder("mass").Open()
	op, access := tenant(t, s, o)
	database, err := systest.Value[string](ctx, s, "", `SELECT database_name FROM tenants WHERE id = $1`, op.TenantID)
	require.NoError(t, err)
	state := func() []string {
		rows, err := systest.Query[string](ctx, s, database, `
			SELECT 'user ' || to_jsonb(u)::text FROM users u UNION ALL SELECT 'role ' || to_jsonb(r)::text FROM user_roles r
			UNION ALL SELECT 'registration ' || id::text FROM registrations UNION ALL SELECT 'session ' || id::text FROM sessions
			UNION ALL SELECT 'invitation ' || id::text FROM invitations UNION ALL SELECT 'factor ' || id::text FROM totp_factors
			UNION ALL SELECT 'factor reset ' || id::text FROM factor_resets UNION ALL SELECT 'magic link ' || id::text FROM magic_links
			UNION ALL SELECT 'change ' || id::text FROM email_changes UNION ALL SELECT 'audit ' || id::text FROM audit_log ORDER BY 1`)
		require.NoError(t, err)
		return rows
	}
	before := state()
	calls := 0
	for _, file := range []protoreflect.FileDescriptor{
		authv1.File_tenantry_auth_v1_auth_proto, authv1.File_tenantry_auth_v1_sessions_proto, authv1.File_tenantry_auth_v1_account_proto,
		authv1.File_tenantry_auth_v1_magiclink_proto, authv1.File_tenantry_auth_v1_factors_proto,
		usersv1.File_tenantry_users_v1_users_proto, invitationsv1.File_tenantry_invitations_v1_invitations_proto,
	} {
		for m := range methods(file) {
			for _, field := range slices.Sorted(maps.Keys(smuggled)) {
				if m.Input().Fields().ByName(protoreflect.Name(field)) != nil {
					continue
				}
				body := but(bodies[string(m.Name())], map[string]any{field: smuggled[field]})
				for _, path := range []string{restAt(t, m), "/" + string(m.Parent().FullName()) + "/" + string(m.Name())} {
					method := http.MethodPost
					if path[1] == 'v' {
						method = verb(m)
					}
					url, bearer := s.TenantURL(o.Slug, path), access
					if central(m) {
						url, bearer = s.URL(path), s.OperatorKey
					}
					a, err := s.Call(ctx, method, url, bearer, body)
					require.NoError(t, err)
					require.Equal(t, http.StatusBadRequest, a.Status, "%s %s with %s: %s", method, path, field, a)
					require.Equal(t, "MALFORMED_BODY", a.Reason(), "%s %s with %s: %s", method, path, field, a)
					require.Contains(t, a.Message(), field)
					calls++
				}
			}
		}
	}
	require.Equal(t, before, state(), "nothing has happened")
	require.Greater(t, calls, 800)

	// The control: the same body without the field is taken.
	a, err := s.Post(ctx, o.Slug, "/v1/auth/register", "", bodies["Register"])
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, a.Status, a.String())
}

// methods answers the calls of a file that take a body.
func methods(file protoreflect.FileDescriptor) func(yield func(protoreflect.MethodDescriptor) bool) {
	return func(yield func(protoreflect.MethodDescriptor) bool) {
		for i := range file.Services().Len() {
			all := file.Services().Get(i).Methods()
			for j := range all.Len() {
				if httpRule(all.Get(j)).GetBody() != "" && !yield(all.Get(j)) {
					return
				}
			}
		}
	}
}

func httpRule(m protoreflect.MethodDescriptor) *annotations.HttpRule {
	options, _ := m.Options().(*descriptorpb.MethodOptions)
	rule, _ := proto.GetExtension(options, annotations.E_Http).(*annotations.HttpRule)
	return rule
}

// central reports whether a call is one of operators.
func central(m protoreflect.MethodDescriptor) bool {
	options, _ := m.Options().(*descriptorpb.MethodOptions)
	policy, _ := proto.GetExtension(options, commonv1.E_Policy).(*commonv1.Policy)
	return policy.GetHost() == commonv1.Host_HOST_CENTRAL
}

func verb(m protoreflect.MethodDescriptor) string {
	if httpRule(m).GetPatch() != "" {
		return http.MethodPatch
	}
	return http.MethodPost
}

var pathID = regexp.MustCompile(`\{[a-z_]+\}`)

// restAt is the call's path; an id in it names nothing.
func restAt(t *testing.T, m protoreflect.MethodDescriptor) string {
	t.Helper()
	path := httpRule(m).GetPatch() + httpRule(m).GetPost()
	require.NotEmpty(t, path, "%s is neither POST nor PATCH", m.Name())
	return pathID.ReplaceAllString(path, "0190b1c2-0000-7000-8000-000000000001")
}
