package api

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	commonv1 "tenantry/api/gen/tenantry/common/v1"
	"tenantry/internal/audit"
	"tenantry/internal/operators"
	"tenantry/internal/rbac"
)

// caller is one column of the permission matrix.
type caller struct {
	name, credential string
	// may decides from the policy alone; the reasons are what a refusal says.
	may     func(*commonv1.Policy) bool
	reasons []string
}

// Every RPC is called by everybody there is, at the door where the policy is
// all that decides: an empty message is refused by its own rules only after.
func TestPermissions_EveryRPCIsOpenToWhomItsPolicySaysAndToNobodyElse(t *testing.T) {
	t.Parallel()
	o := newOrganization(t)
	tenantCallers, centralCallers := o.tenantCallers(t), o.centralCallers(t)
	tried := 0
	for _, procedure := range slices.Sorted(maps.Keys(o.server.methods)) {
		p := o.server.methods[procedure].policy
		callers, host, wrong := tenantCallers, o.host, centralHost
		if p.GetHost() == commonv1.Host_HOST_CENTRAL {
			callers, host, wrong = centralCallers, centralHost, o.host
		}
		a := o.do(t, call{method: "POST", host: wrong, path: procedure, bearer: o.owner, body: "{}"})
		require.Equal(t, "WRONG_HOST", a.problem(t).Reason, procedure)
		for _, c := range callers {
			a := o.do(t, call{method: "POST", host: host, path: procedure, bearer: c.credential, body: "{}"})
			what := fmt.Sprintf("%s by %s: %d %s", procedure, c.name, a.status, a.body)
			anonymous := slices.Contains(p.GetCredentials(), commonv1.Credential_CREDENTIAL_NONE)
			if anonymous || c.may(p) {
				require.NotContains(t, []int{http.StatusUnauthorized, http.StatusForbidden}, a.status, what)
			} else {
				require.Contains(t, []int{http.StatusUnauthorized, http.StatusForbidden}, a.status, what)
				require.Contains(t, c.reasons, a.problem(t).Reason, what)
			}
			require.Less(t, a.status, 500, what)
			tried++
		}
	}
	t.Logf("%d RPCs, %d calls", len(o.server.methods), tried)
}

func (o *organization) tenantCallers(t *testing.T) []caller {
	t.Helper()
	never := func(*commonv1.Policy) bool { return false }
	_, other := o.settle(t, "globex")
	foreign := o.logIn(t, other, "owner@globex.example")
	fa := o.do(t, call{method: "POST", host: other, path: "/v1/api-keys", bearer: foreign, body: `{"name":"k",` + scopes(rbac.Permissions...) + `}`})
	out := []caller{
		{"nobody", "", never, []string{"CREDENTIAL_MISSING"}},
		{"the owner of another tenant", foreign, never, []string{"CREDENTIAL_INVALID"}},
		{"a key of another tenant", fa.get(t, http.StatusOK, "secret"), never, []string{"CREDENTIAL_INVALID"}},
		{"an operator", o.operator, never, []string{"CREDENTIAL_INVALID"}},
	}
	_, all := o.key(t, `{"name":"all",`+scopes(rbac.Permissions...)+`}`)
	out = append(out, keyCaller("a key with every scope", all, rbac.Permissions))
	for _, p := range rbac.Permissions {
		_, one := o.key(t, `{"name":"one",`+scopes(p)+`}`)
		out = append(out, keyCaller("a key with "+p, one, []string{p}))
	}
	for _, r := range rbac.Builtin() {
		out = append(out, caller{r.Name, o.person(t, r.Name), func(p *commonv1.Policy) bool {
			return slices.Contains(p.GetCredentials(), commonv1.Credential_CREDENTIAL_USER) && holds(r.Permissions, p)
		}, []string{"PERMISSION_MISSING"}})
	}
	return out
}

func keyCaller(name, secret string, permissions []string) caller {
	return caller{name, secret, func(p *commonv1.Policy) bool {
		return slices.Contains(p.GetCredentials(), commonv1.Credential_CREDENTIAL_API_KEY) && holds(permissions, p)
	}, []string{"PERMISSION_MISSING", "CREDENTIAL_KIND"}}
}

func holds(permissions []string, p *commonv1.Policy) bool {
	return p.GetPermission() == "" || slices.Contains(permissions, p.GetPermission())
}

// person registers somebody with one role and answers their access token.
func (o *organization) person(t *testing.T, role string) string {
	t.Helper()
	email := role + "@people.example"
	a := o.do(t, call{method: "POST", host: o.host, path: "/v1/auth/register", body: `{"name":"P","email":"` + email + `","password":"` + goodPassword + `"}`})
	require.Equal(t, http.StatusOK, a.status, a.body)
	e, err := o.directory.BySlug(t.Context(), "acme")
	require.NoError(t, err)
	o.fillIn(t, o.host, o.link(t, e.ID, email), nil)
	_, err = o.sql(t).Exec(t.Context(), `
		UPDATE user_roles SET role_id = $2 WHERE user_id = (SELECT id FROM users WHERE email_normalized = $1)`, email, o.role(t, role))
	require.NoError(t, err)
	return o.logIn(t, o.host, email)
}

func (o *organization) centralCallers(t *testing.T) []caller {
	t.Helper()
	never := func(*commonv1.Policy) bool { return false }
	_, key := o.key(t, `{"name":"central",`+scopes(rbac.Permissions...)+`}`)
	out := []caller{
		{"nobody", "", never, []string{"CREDENTIAL_MISSING"}},
		{"an owner", o.owner, never, []string{"CREDENTIAL_INVALID"}},
		{"a tenant's key", key, never, []string{"CREDENTIAL_INVALID"}},
	}
	keys := operators.New(o.in.Central, o.server.now)
	for _, scope := range operators.Scopes {
		_, text, err := keys.Create(t.Context(), operators.CreateInput{Name: "only-" + dashed(scope), Scopes: []string{scope}}, audit.System, "r")
		require.NoError(t, err)
		out = append(out, caller{"an operator with " + scope, text, func(p *commonv1.Policy) bool {
			wanted := p.GetOperatorScope()
			return wanted == scope || (wanted == "operations.read" && scope == "tenants.read")
		}, []string{"SCOPE_MISSING"}})
	}
	return out
}

func dashed(scope string) string {
	out := []byte(scope)
	for i, c := range out {
		if c == '.' {
			out[i] = '-'
		}
	}
	return string(out)
}
