package api

import (
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	commonv1 "tenantry/api/gen/tenantry/common/v1"
	usersv1 "tenantry/api/gen/tenantry/users/v1"
	"tenantry/internal/apikeys"
	"tenantry/internal/auth"
	"tenantry/internal/factors"
	"tenantry/internal/hooks"
	"tenantry/internal/invitations"
	"tenantry/internal/lists"
	"tenantry/internal/operations"
	"tenantry/internal/operators"
	"tenantry/internal/rbac"
	"tenantry/internal/tenants"
	"tenantry/internal/users"
)

// resources are the whitelists, by the procedure that serves them.
var resources = map[string]*lists.Resource{
	"/tenantry.roles.v1.RoleService/ListRoles":                       rbac.Roles,
	"/tenantry.invitations.v1.InvitationService/ListInvitations":     invitations.List,
	"/tenantry.apikeys.v1.ApiKeyService/ListApiKeys":                 apikeys.Keys,
	"/tenantry.apikeys.v1.ServiceAccountService/ListServiceAccounts": apikeys.Accounts,
	"/tenantry.auth.v1.SessionService/ListSessions":                  auth.Sessions,
	"/tenantry.auth.v1.FactorService/ListFactorResets":               factors.Resets,
	"/tenantry.users.v1.UserService/ListUsers":                       users.List,
	"/tenantry.tenants.v1.TenantService/ListTenants":                 tenants.List,
	"/tenantry.operations.v1.OperationService/ListOperations":        operations.Operations,
	"/tenantry.hooks.v1.HookService/ListHookSources":                 hooks.Sources,
	"/tenantry.operators.v1.OperatorService/ListOperatorKeys":        operators.Keys,
}

// atTenant picks the lists that a tenant's host serves.
func atTenant(m *method) bool {
	return !slices.Contains(m.policy.GetCredentials(), commonv1.Credential_CREDENTIAL_OPERATOR)
}

// lists answers the methods that answer a list.
func (f *fake) lists(t *testing.T) map[string]*method {
	t.Helper()
	out := map[string]*method{}
	for name, m := range f.server.methods {
		if strings.HasPrefix(string(m.desc.Name()), "List") {
			out[name] = m
			require.NotNil(t, listedItems(m.desc.Output()), "%s: a list says which fields it shows", name)
			require.Contains(t, resources, name, "a list has a whitelist")
		}
	}
	require.Len(t, out, len(resources))
	return out
}

func TestLists_EveryNameMeansAFieldOfTheMessage(t *testing.T) {
	t.Parallel()
	for name, m := range newWorld(t).lists(t) {
		item := listedItems(m.desc.Output()).Message()
		for _, f := range resources[name].Fields() {
			require.NotNil(t, item.Fields().ByName(messageName(item, f.Name)), "%s: %s", name, f.Name)
		}
		for _, include := range resources[name].Includes() {
			f := item.Fields().ByName(messageName(item, include))
			require.True(t, f != nil && f.HasPresence(), "%s: what is not included differs from what is empty", name)
		}
		// A search or include that a list lacks is no parameter of it.
		in := m.desc.Input().Fields()
		require.Equal(t, len(resources[name].Includes()) > 0, in.ByName("include") != nil, name)
	}
}

// listDoor asks a list through one of the doors.
type listDoor struct {
	name string
	ask  func(w *fake, t *testing.T, m *method, host, bearer string, params map[string]string) answer
}

var listDoors = []listDoor{
	{"REST", func(w *fake, t *testing.T, m *method, host, bearer string, params map[string]string) answer {
		values := url.Values{}
		for k, v := range params {
			values.Set(k, v)
		}
		return w.do(t, call{method: "GET", host: host, path: restPath(m) + "?" + values.Encode(), bearer: bearer})
	}},
	{"Connect POST", func(w *fake, t *testing.T, m *method, host, bearer string, params map[string]string) answer {
		body, err := json.Marshal(params)
		require.NoError(t, err)
		return w.do(t, call{method: "POST", host: host, path: m.spec.Procedure, bearer: bearer, body: string(body)})
	}},
	{"Connect GET", func(w *fake, t *testing.T, m *method, host, bearer string, params map[string]string) answer {
		body, err := json.Marshal(params)
		require.NoError(t, err)
		return w.do(t, call{method: "GET", host: host, path: m.spec.Procedure + "?encoding=json&message=" + url.QueryEscape(string(body)), bearer: bearer})
	}},
}

func TestLists_AnUnknownParameterIsNeverIgnored(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tenant, token := w.people(t, "acme")
	for name, m := range w.lists(t) {
		host, bearer := centralHost, w.operator
		if atTenant(m) {
			host, bearer = tenant, token
		}
		for _, d := range listDoors {
			require.Equal(t, http.StatusOK, d.ask(w.fake, t, m, host, bearer, map[string]string{"filter": "created_at=gt=2026-01-01", "sort": "-created_at", "fields": "created_at"}).status)
		}
		known := m.desc.Input().Fields()
		for _, parameter := range []string{
			"filters", "Filter", "filter[name]", "order", "sort[]", "sort_by", "field", "select", "includes", "include[]", "expand", "search", "q", "query", "include",
			"page", "offset", "page_size", "pageSize", "page_token", "limit[]", "after", "name", "id", "deleted", "where", "$filter", "next_cursor", "nextCursor", "shown_fields", "_", "",
		} {
			if known.ByName(protoreflect.Name(parameter)) != nil {
				continue
			}
			for _, d := range listDoors {
				a := d.ask(w.fake, t, m, host, bearer, map[string]string{parameter: "1"})
				require.Equal(t, http.StatusBadRequest, a.status, "%s %s %q: %s", name, d.name, parameter, a.body)
				require.Contains(t, []string{"UNKNOWN_PARAMETER", "MALFORMED_BODY"}, a.problem(t).Reason)
			}
		}
		// Those that are known reach the message: nothing is listed and unread.
		for i := range known.Len() {
			require.Contains(t, []string{"limit", "cursor", "filter", "sort", "fields", "include", "q"}, string(known.Get(i).Name()), name)
		}
	}
}

// people is a tenant of the world with its owner logged in.
func (w *world) people(t *testing.T, slug string) (host, token string) {
	t.Helper()
	_, host = w.settle(t, slug)
	return host, w.logIn(t, host, "owner@"+slug+".example")
}

func TestLists_SecretColumnsAndHostileTextAreRefusedWithoutSQL(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	host, token := w.people(t, "acme")
	hostile := map[string][]string{
		"filter": {
			"password_hash==*", "password_hash=null=false", "subject_key_id==0190b1c2-0000-7000-8000-000000000001", "email_normalized==x", "revision=gt=0",
			"users.password_hash==x", "name==x' OR '1'='1", `name=="x" OR 1=1`, "name==x;DROP TABLE users", "name=='x", "name==x)", "((name==x)", "name",
			"name=like=x", "name==x\x00", "name=='\u202egnp'", "name==\u2066x", "name==a\nb", "login_count==1e9", "login_count==NaN", "id=in=()", "created_at=gt=now()",
			"created_at=gt='infinity'", "name==" + strings.Repeat("*", 4000), strings.Repeat("(", 2000), "name==x" + strings.Repeat(",name==x", 10_000), strings.Repeat("login_count==1;", 99) + "login_count==1,name==x",
		},
		"sort":    {"password_hash", "-password_hash", "name,password_hash", "name desc", "name;", "1", "(SELECT 1)", "name,,email", "name\x00", "\u202ename", "rank", strings.Repeat("name,", 200), "id,name,email,created_at"},
		"fields":  {"password_hash", "id,password_hash", "*", "users.id", "id,id", "id, name", "", "id,", "name\x00", "roles", "subject_key_id,id", strings.Repeat("id,", 3000)},
		"include": {"sessions", "keys", "roles,sessions", "roles.users", "*", "roles,roles", "roles\x00", "password_hash"},
		"q":       {"x", "  ", "'", "\x00\x00\x00", "a\u202eb", strings.Repeat("x", 10_000), "!&|():*"},
		"cursor":  {"AAAA", "'", "\x00", strings.Repeat("A", 5000), "../..", "null"},
	}
	m := w.server.methods["/tenantry.users.v1.UserService/ListUsers"]
	for parameter, values := range hostile {
		for _, value := range values {
			if value == "" {
				continue
			}
			for _, d := range listDoors {
				a := d.ask(w.fake, t, m, host, token, map[string]string{parameter: value})
				require.Equal(t, http.StatusBadRequest, a.status, "%s %s=%.60q: %s", d.name, parameter, value, a.body)
				p := a.problem(t)
				require.Contains(t, p.Fields, parameter, "the parameter is named")
				require.Contains(t, []string{"INVALID_ARGUMENT", strings.ToUpper(map[string]string{"q": "search"}[parameter]+strings.TrimPrefix(parameter, "q")) + "_INVALID"}, p.Reason)
				for _, leak := range []string{"SELECT", "SQLSTATE", "syntax error", "pgx", "FROM ", "argon2", "$1", "goroutine"} {
					require.NotContains(t, strings.ReplaceAll(a.body, "(SELECT 1)", ""), leak)
				}
				require.Less(t, len(a.body), 4096, "an answer is bounded")
			}
		}
	}
	require.NotContains(t, w.logs.String(), "internal error")
}

func TestLists_ARawSemicolonIsAnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	host, token := w.people(t, "acme")
	get := func(query string) string {
		a := w.do(t, call{method: "GET", host: host, path: "/v1/users?fields=name&" + query, bearer: token})
		require.Equal(t, http.StatusOK, a.status, a.body)
		return a.body
	}
	const found, none = `{"users":[{"name":"Olivia"}],"next_cursor":""}`, `{"users":[],"next_cursor":""}`
	require.JSONEq(t, found, get("filter=name==Ol*;login_count=ge=1"))
	require.JSONEq(t, none, get("filter=name==Ol*;login_count=ge=100"))
	require.JSONEq(t, found, get("filter=name==Ol*,login_count=ge=100"))
	require.JSONEq(t, found, get("filter=name==Ol*%3Blogin_count=ge=1&sort=-created_at,name&q="))
	require.JSONEq(t, found, get("q=olivai"), "typos are found")
}

func TestLists_AnswerWhatWasAskedAtEveryDoor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	host, token := w.people(t, "acme")
	m := w.server.methods["/tenantry.users.v1.UserService/ListUsers"]
	keys := func(a answer) []string {
		t.Helper()
		require.Equal(t, http.StatusOK, a.status, a.body)
		var body struct{ Users []map[string]any }
		require.NoError(t, json.Unmarshal([]byte(a.body), &body))
		require.Len(t, body.Users, 1)
		var out []string
		for k := range body.Users[0] {
			out = append(out, k)
		}
		slices.Sort(out)
		require.NotContains(t, a.body, shownField)
		return out
	}
	for _, d := range listDoors {
		ask := func(params map[string]string) []string { return keys(d.ask(w.fake, t, m, host, token, params)) }
		require.Equal(t, []string{"create_time", "email", "id", "last_login_time", "locale", "login_count", "name", "update_time", "version"}, ask(map[string]string{}))
		require.Equal(t, []string{"id", "name"}, ask(map[string]string{"fields": "name,id"}))
		require.Equal(t, []string{"create_time"}, ask(map[string]string{"fields": "created_at", "sort": "name"}), "what the cursor needs is not shown")
		require.Equal(t, []string{"name", "roles"}, ask(map[string]string{"fields": "name", "include": "roles"}))
		require.Contains(t, ask(map[string]string{"include": "roles"}), "roles")
		require.Equal(t, []string{}, append([]string{}, ask(map[string]string{"fields": "deleted_at"})...))
	}
	a := w.do(t, call{
		method: "POST", host: host, path: m.spec.Procedure, bearer: token, contentType: "application/proto",
		body: string(must(proto.Marshal(&usersv1.ListUsersRequest{Fields: "name", Include: "roles"}))),
	})
	var out usersv1.ListUsersResponse
	require.NoError(t, proto.Unmarshal([]byte(a.body), &out))
	require.Equal(t, []string{"name", "roles"}, out.GetShownFields(), "binary answers say what is not empty but unasked")
	require.Empty(t, out.GetUsers()[0].GetId())
	require.Equal(t, "owner", out.GetUsers()[0].GetRoles().GetItems()[0].GetName())
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// TestPrune_LeavesOutNothingElse fills lists with hostile text.
func TestPrune_LeavesOutNothingElse(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	texts := []string{"", `"`, `\`, `{"a":[1,2]}`, `],}`, "ü\u2028", "a:b,c", `\"`, " "}
	pick := func() string { return texts[random.IntN(len(texts))] + texts[random.IntN(len(texts))] }
	codec := jsonCodec()
	for range 500 {
		resp := &usersv1.ListUsersResponse{NextCursor: pick()}
		for range random.IntN(4) {
			u := &usersv1.User{Id: pick(), Name: pick(), Email: pick(), LoginCount: random.Int64N(5)}
			for range random.IntN(3) {
				u.Roles = &usersv1.UserRoles{Items: []*usersv1.UserRole{{Id: pick(), Name: pick()}}}
			}
			resp.Users = append(resp.Users, u)
		}
		shown := []string{"name", "login_count", "roles"}[:random.IntN(4)]
		var whole map[string]any
		require.NoError(t, json.Unmarshal(must(codec.MarshalOptions.Marshal(resp)), &whole))
		delete(whole, shownField)
		for _, u := range whole["users"].([]any) {
			for k := range u.(map[string]any) {
				if len(shown) > 0 && !slices.Contains(shown, k) {
					delete(u.(map[string]any), k)
				}
			}
		}
		resp.ShownFields = shown
		text := must(codec.Marshal(resp))
		var got map[string]any
		require.NoError(t, json.Unmarshal(text, &got), string(text))
		require.Equal(t, whole, got)
	}
}

func restPath(m *method) string {
	return "/v1/" + map[string]string{
		"ListUsers": "users", "ListTenants": "tenants", "ListOperations": "operations", "ListHookSources": "hook-sources", "ListOperatorKeys": "operator-keys",
		"ListRoles": "roles", "ListInvitations": "invitations", "ListApiKeys": "api-keys", "ListServiceAccounts": "service-accounts",
		"ListSessions":     "sessions",
		"ListFactorResets": "factor-resets",
	}[string(m.desc.Name())]
}
