package test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect/v2"
	"github.com/stretchr/testify/require"

	apikeysv1 "tenantry/api/gen/tenantry/apikeys/v1"
	authv1 "tenantry/api/gen/tenantry/auth/v1"

	usersv1 "tenantry/api/gen/tenantry/users/v1"
	"tenantry/client"
	"tenantry/internal/systest"
)

// loopback dials this machine, whatever the resolver knows of *.localhost.
func loopback(ctx context.Context, network, address string) (net.Conn, error) {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	return (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, network, net.JoinHostPort("127.0.0.1", port))
}

func goClient(t *testing.T, base, token string, through func(http.RoundTripper) http.RoundTripper) *client.Client {
	t.Helper()
	var transport http.RoundTripper = &http.Transport{DialContext: loopback, MaxIdleConnsPerHost: -1}
	if through != nil {
		transport = through(transport)
	}
	c, err := client.New(client.Options{BaseURL: base, Token: token, HTTP: &http.Client{Transport: transport}})
	require.NoError(t, err)
	return c
}

// losing loses the first answer, after the API has given it.
type losing struct {
	next http.RoundTripper
	sent atomic.Int64
}

// RoundTrip sends a request.
func (l *losing) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := l.next.RoundTrip(r)
	if l.sent.Add(1) == 1 && err == nil {
		_ = resp.Body.Close()
		return nil, errors.New("the connection broke")
	}
	return resp, err
}

func TestGoClient_LogsInReadsAndTypesErrors(t *testing.T) {
	t.Parallel()
	s, ctx := shared(t), within(t, 2*time.Minute)
	order := systest.NewOrder("go-client")
	tenant(t, s, order)
	base, err := client.TenantURL(s.URL(""), order.Slug)
	require.NoError(t, err)
	require.Equal(t, s.TenantURL(order.Slug, ""), base)

	anonymous := goClient(t, base, "", nil)
	in, err := anonymous.Auth.Login(ctx, &authv1.LoginRequest{Email: order.OwnerEmail, Password: password})
	require.NoError(t, err)
	acme, err := anonymous.WithToken(in.GetAccessToken())
	require.NoError(t, err)
	me, err := acme.Users.GetMe(ctx, &usersv1.GetMeRequest{})
	require.NoError(t, err)
	require.Equal(t, order.OwnerEmail, me.GetUser().GetEmail())
	list, err := acme.Users.ListUsers(ctx, &usersv1.ListUsersRequest{Limit: 5})
	require.NoError(t, err)
	require.Len(t, list.GetUsers(), 1)

	_, err = acme.Users.ListUsers(ctx, &usersv1.ListUsersRequest{Limit: 1000})
	e, ok := client.AsError(err)
	require.True(t, ok, "%v", err)
	require.Equal(t, "INVALID_ARGUMENT", e.Reason)
	require.Equal(t, connect.CodeInvalidArgument, e.Code)
	require.Equal(t, "limit", e.Fields[0].Path)
	require.NotEmpty(t, e.RequestID)
	_, err = anonymous.Auth.Login(ctx, &authv1.LoginRequest{Email: order.OwnerEmail, Password: "not the password at all"})
	e, ok = client.AsError(err)
	require.True(t, ok, "%v", err)
	require.Equal(t, "LOGIN_FAILED", e.Reason)
}

func TestGoClient_AMutationWhoseAnswerIsLostHasOneEffect(t *testing.T) {
	t.Parallel()
	s, ctx := shared(t), within(t, time.Minute)
	order := systest.NewOrder("go-twice")
	_, token := tenant(t, s, order)
	l := &losing{}
	acme := goClient(t, s.TenantURL(order.Slug, ""), token, func(next http.RoundTripper) http.RoundTripper { l.next = next; return l })
	made, err := acme.ServiceAccounts.CreateServiceAccount(ctx, &apikeysv1.CreateServiceAccountRequest{Name: "nightly-import"})
	require.NoError(t, err, "the first effect's answer, not SERVICE_ACCOUNT_EXISTS")
	require.EqualValues(t, 2, l.sent.Load())
	list, err := acme.ServiceAccounts.ListServiceAccounts(ctx, &apikeysv1.ListServiceAccountsRequest{})
	require.NoError(t, err)
	require.Len(t, list.GetServiceAccounts(), 1)
	require.Equal(t, made.GetId(), list.GetServiceAccounts()[0].GetId())
}

func TestTypeScriptClient_WorksAgainstTheRealAPI(t *testing.T) {
	t.Parallel()
	s, ctx := shared(t), within(t, 5*time.Minute)
	order := systest.NewOrder("ts-client")
	tenant(t, s, order)
	root, err := systest.Root()
	require.NoError(t, err)
	run := func(env []string, name string, args ...string) {
		cmd := exec.CommandContext(ctx, name, args...)
		cmd.Dir, cmd.Env = root, append(os.Environ(), env...)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
		if strings.Contains(name, "node") {
			require.Regexp(t, `(?m)^# pass [1-9]`, string(out), "%s", out)
		}
	}
	run(nil, filepath.Join(root, "scripts", "typescript.sh"), "build")
	run([]string{
		"TENANT_URL=" + s.TenantURL(order.Slug, ""), "EMAIL=" + order.OwnerEmail, "PASSWORD=" + password,
	}, "node", "--test", "--test-reporter=tap", filepath.Join("clients", "typescript", "test", "client.test.mjs"))
}

// What the document shows as an example of a list or a read is answered.
func TestDocument_ExampleReadsAreAnswered(t *testing.T) {
	t.Parallel()
	s, ctx := shared(t), within(t, 2*time.Minute)
	order := systest.NewOrder("docs-examples")
	_, token := tenant(t, s, order)
	a, err := s.Get(ctx, "", "/openapi.json", "")
	require.NoError(t, err)
	var doc struct {
		Paths map[string]map[string]struct {
			Parameters []struct {
				Name, In string
				Example  any
			}
			Notes struct{ Host string } `json:"x-tenantry"`
		}
	}
	require.NoError(t, a.JSON(&doc))
	asked := 0
	for path, item := range doc.Paths {
		op, reads := item["get"]
		if !reads || strings.Contains(path, "{") || op.Notes.Host == "" {
			continue
		}
		query := url.Values{}
		for _, p := range op.Parameters {
			if p.In == "query" && p.Example != nil {
				query.Set(p.Name, fmt.Sprint(p.Example))
			}
		}
		if query.Has("q") {
			query.Del("sort") // what is searched is sorted by rank
		}
		slug, bearer := order.Slug, token
		if op.Notes.Host == "central" {
			slug, bearer = "", s.OperatorKey
		}
		a, err := s.Get(ctx, slug, path+"?"+query.Encode(), bearer)
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, a.Status, "%s?%s: %s", path, query.Encode(), a)
		asked++
	}
	require.Greater(t, asked, 5)
}
