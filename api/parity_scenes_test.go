package api

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	apikeysv1 "tenantry/api/gen/tenantry/apikeys/v1"
	authv1 "tenantry/api/gen/tenantry/auth/v1"
	hooksv1 "tenantry/api/gen/tenantry/hooks/v1"
	invitationsv1 "tenantry/api/gen/tenantry/invitations/v1"
	operationsv1 "tenantry/api/gen/tenantry/operations/v1"
	operatorsv1 "tenantry/api/gen/tenantry/operators/v1"
	tenantsv1 "tenantry/api/gen/tenantry/tenants/v1"
	usersv1 "tenantry/api/gen/tenantry/users/v1"
	"tenantry/internal/ids"
	"tenantry/internal/tenants"
)

// scene prepares what one call of an RPC needs, for one door: a name that no
// other has, and whatever must be there before.
type scene struct {
	*organization
	// name is letters only, and masked in answers.
	name string
}

func (s scene) email() string { return s.name + "@people.example" }

// central calls the central API as an operator.
func (s scene) central(t *testing.T, method, path, body string) answer {
	t.Helper()
	return s.do(t, call{method: method, host: centralHost, path: path, bearer: s.operator, body: body})
}

// reserve makes a tenant that waits for its workflow, and answers its operation.
func (s scene) reserve(t *testing.T) answer {
	t.Helper()
	return s.central(t, "POST", "/v1/tenants", order(s.name))
}

// made is a tenant of the scene's own, in a state; nothing is on the server.
func (s scene) made(t *testing.T, state string) string {
	t.Helper()
	id, err := ids.ParseTenant(s.reserve(t).get(t, http.StatusAccepted, "tenant_id"))
	require.NoError(t, err)
	s.in.SetState(t, id, state)
	return id.String()
}

// tenant is the organization's own.
func (s scene) tenant(t *testing.T) ids.Tenant {
	t.Helper()
	e, err := s.directory.BySlug(t.Context(), "acme")
	require.NoError(t, err)
	return e.ID
}

// operation is the one that made the organization.
func (s scene) operation(t *testing.T) (id string) {
	t.Helper()
	require.NoError(t, s.in.Central.Pool().QueryRow(t.Context(), `SELECT operation_id::text FROM tenants WHERE slug = 'acme'`).Scan(&id))
	return id
}

func (s scene) account(t *testing.T) string {
	t.Helper()
	return s.as(t, s.owner, "POST", "/v1/service-accounts", `{"name":"`+s.name+`"}`).get(t, http.StatusOK, "id")
}

func (s scene) apiKey(t *testing.T) string {
	t.Helper()
	id, _ := s.key(t, `{"name":"`+s.name+`",`+scopes("users.read")+`}`)
	return id
}

func (s scene) hookSource(t *testing.T) (name, secretID string) {
	t.Helper()
	s.central(t, "POST", "/v1/hook-sources", `{"source":"`+s.name+`"}`)
	a := s.central(t, "POST", "/v1/hook-sources/"+s.name+"/secrets", "")
	return s.name, a.get(t, http.StatusOK, "meta.id")
}

// token registers somebody and answers the token of the mail.
func (s scene) token(t *testing.T) string {
	t.Helper()
	s.as(t, "", "POST", "/v1/auth/register", `{"name":"P","email":"`+s.email()+`","password":"`+goodPassword+`"}`)
	return tokenOf(s.link(t, s.tenant(t), s.email()))
}

// refreshToken is of a session of its own.
func (s scene) refreshToken(t *testing.T) string {
	t.Helper()
	return s.as(t, "", "POST", "/v1/auth/login", `{"email":"owner@acme.example","password":"`+goodPassword+`"}`).get(t, http.StatusOK, "refresh_token")
}

// invitationToken invites somebody and answers the token of the mail.
func (s scene) invitationToken(t *testing.T) string {
	t.Helper()
	s.as(t, s.owner, "POST", "/v1/invitations", `{"email":"`+s.email()+`","role_ids":["`+s.role(t, "member")+`"]}`).get(t, http.StatusOK, "id")
	return tokenOf(s.link(t, s.tenant(t), s.email()))
}

func tokenOf(link string) string {
	_, query, _ := strings.Cut(link, "?")
	values, _ := url.ParseQuery(query)
	return values.Get("token")
}

// scenes has one entry for every RPC; the test fails for one without.
var scenes = map[string]func(*testing.T, scene) proto.Message{
	"Register": func(_ *testing.T, s scene) proto.Message {
		return &authv1.RegisterRequest{Name: "P", Email: s.email(), Password: goodPassword}
	},
	"VerifyEmail": func(t *testing.T, s scene) proto.Message { return &authv1.VerifyEmailRequest{Token: s.token(t)} },
	"ResendVerification": func(_ *testing.T, s scene) proto.Message {
		return &authv1.ResendVerificationRequest{Email: s.email()}
	},
	"Login": func(*testing.T, scene) proto.Message {
		return &authv1.LoginRequest{Email: "owner@acme.example", Password: goodPassword}
	},
	"Refresh": func(t *testing.T, s scene) proto.Message {
		return &authv1.RefreshRequest{RefreshToken: s.refreshToken(t)}
	},
	"Logout": func(t *testing.T, s scene) proto.Message {
		return &authv1.LogoutRequest{RefreshToken: s.refreshToken(t)}
	},
	"AcceptInvitation": func(t *testing.T, s scene) proto.Message {
		return &invitationsv1.AcceptInvitationRequest{Token: s.invitationToken(t), Name: "P", Password: goodPassword}
	},
	"GetMe":     func(*testing.T, scene) proto.Message { return &usersv1.GetMeRequest{} },
	"ListUsers": func(*testing.T, scene) proto.Message { return &usersv1.ListUsersRequest{Limit: 1} },

	"CreateApiKey": func(_ *testing.T, s scene) proto.Message {
		return &apikeysv1.CreateApiKeyRequest{Name: s.name, Scopes: []string{"users.read"}, AllowedNetworks: []string{"203.0.113.0/24"}}
	},
	"GetApiKey":   func(t *testing.T, s scene) proto.Message { return &apikeysv1.GetApiKeyRequest{Id: s.apiKey(t)} },
	"ListApiKeys": func(*testing.T, scene) proto.Message { return &apikeysv1.ListApiKeysRequest{Limit: 1} },
	"UpdateApiKey": func(t *testing.T, s scene) proto.Message {
		return &apikeysv1.UpdateApiKeyRequest{Id: s.apiKey(t), Version: 1, Scopes: &apikeysv1.ScopeList{Values: []string{"audit.read"}}}
	},
	"RotateApiKey": func(t *testing.T, s scene) proto.Message {
		return &apikeysv1.RotateApiKeyRequest{Id: s.apiKey(t), Version: 1, OverlapSeconds: 60}
	},
	"RevokeApiKey": func(t *testing.T, s scene) proto.Message { return &apikeysv1.RevokeApiKeyRequest{Id: s.apiKey(t)} },

	"CreateServiceAccount": func(_ *testing.T, s scene) proto.Message {
		return &apikeysv1.CreateServiceAccountRequest{Name: s.name, Description: "d"}
	},
	"GetServiceAccount": func(t *testing.T, s scene) proto.Message {
		return &apikeysv1.GetServiceAccountRequest{Id: s.account(t)}
	},
	"ListServiceAccounts": func(*testing.T, scene) proto.Message { return &apikeysv1.ListServiceAccountsRequest{} },
	"UpdateServiceAccount": func(t *testing.T, s scene) proto.Message {
		return &apikeysv1.UpdateServiceAccountRequest{Id: s.account(t), Version: 1, Description: proto.String("d")}
	},
	"DeleteServiceAccount": func(t *testing.T, s scene) proto.Message {
		return &apikeysv1.DeleteServiceAccountRequest{Id: s.account(t), Version: 1}
	},

	"CreateTenant": func(_ *testing.T, s scene) proto.Message {
		return &tenantsv1.CreateTenantRequest{Slug: s.name, Name: "N", OwnerEmail: s.email()}
	},
	"GetTenant": func(t *testing.T, s scene) proto.Message {
		return &tenantsv1.GetTenantRequest{Id: s.tenant(t).String()}
	},
	"SuspendTenant": func(t *testing.T, s scene) proto.Message {
		return &tenantsv1.SuspendTenantRequest{Id: s.made(t, tenants.Active)}
	},
	"ResumeTenant": func(t *testing.T, s scene) proto.Message {
		return &tenantsv1.ResumeTenantRequest{Id: s.made(t, tenants.Suspended)}
	},
	"InviteTenantOwner": func(t *testing.T, s scene) proto.Message {
		return &tenantsv1.InviteTenantOwnerRequest{Id: s.made(t, tenants.Active), OwnerEmail: s.email()}
	},
	"SetTenantLimits": func(t *testing.T, s scene) proto.Message {
		return &tenantsv1.SetTenantLimitsRequest{Id: s.made(t, tenants.Active), MaxUsers: proto.Int32(5), Version: 1}
	},
	"ListTenants": func(*testing.T, scene) proto.Message { return &tenantsv1.ListTenantsRequest{Limit: 1} },
	"GetOperation": func(t *testing.T, s scene) proto.Message {
		return &operationsv1.GetOperationRequest{Id: s.operation(t)}
	},
	"ListOperations": func(*testing.T, scene) proto.Message {
		return &operationsv1.ListOperationsRequest{Limit: 1}
	},
	"WaitOperation": func(t *testing.T, s scene) proto.Message {
		return &operationsv1.WaitOperationRequest{Id: s.operation(t), TimeoutSeconds: 1}
	},
	"CancelOperation": func(t *testing.T, s scene) proto.Message {
		return &operationsv1.CancelOperationRequest{Id: s.reserve(t).get(t, http.StatusAccepted, "id")}
	},

	"CreateHookSource": func(_ *testing.T, s scene) proto.Message { return &hooksv1.CreateHookSourceRequest{Source: s.name} },
	"ListHookSources":  func(*testing.T, scene) proto.Message { return &hooksv1.ListHookSourcesRequest{Limit: 1} },
	"AddHookSecret": func(t *testing.T, s scene) proto.Message {
		name, _ := s.hookSource(t)
		return &hooksv1.AddHookSecretRequest{Source: name}
	},
	"RetireHookSecret": func(t *testing.T, s scene) proto.Message {
		name, id := s.hookSource(t)
		return &hooksv1.RetireHookSecretRequest{Source: name, SecretId: id}
	},
	"CreateOperatorKey": func(_ *testing.T, s scene) proto.Message {
		return &operatorsv1.CreateOperatorKeyRequest{Name: s.name, Scopes: []string{"ops"}}
	},
	"ListOperatorKeys": func(*testing.T, scene) proto.Message { return &operatorsv1.ListOperatorKeysRequest{Limit: 1} },
	"RevokeOperatorKey": func(t *testing.T, s scene) proto.Message {
		a := s.central(t, "POST", "/v1/operator-keys", `{"name":"`+s.name+`","scopes":["ops"]}`)
		return &operatorsv1.RevokeOperatorKeyRequest{Id: a.get(t, http.StatusOK, "meta.id")}
	},
}
