package api

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	createTenant = "/tenantry.tenants.v1.TenantService/CreateTenant"
	listUsers    = "/tenantry.users.v1.UserService/ListUsers"
	getMe        = "/tenantry.users.v1.UserService/GetMe"
	loginRPC     = "/tenantry.auth.v1.AuthService/Login"
	hookPath     = hookPrefix + "billing"
	goodOrder    = `{"slug":"globex","name":"Globex","owner_email":"o@globex.example"}`
	goodLogin    = `{"email":"jo@acme.example","password":"a long enough password"}`
)

func TestBadInput_IsRefusedAsJSONThatSaysWhatIsAllowed(t *testing.T) {
	t.Parallel()
	f := setup(t)
	signed := map[string]string{"webhook-id": "m1", "webhook-timestamp": "1", "webhook-signature": "v1,good"}
	tests := map[string]struct {
		call   call
		status int
		reason string
		says   string
	}{
		"unknown host":              {call{"GET", "nobody.tenantry.test", "/v1/me", "", "", "", nil, nil}, 404, "UNKNOWN_HOST", "http://{slug}.tenantry.test"},
		"foreign host":              {call{"GET", "example.com", "/v1/me", "", "", "", nil, nil}, 404, "UNKNOWN_HOST", "http://tenantry.test"},
		"host below a tenant":       {call{"GET", "x.acme.tenantry.test", "/v1/me", "", "", "", nil, nil}, 404, "UNKNOWN_HOST", ""},
		"host of a suspended one":   {call{"GET", "shut.tenantry.test", "/v1/me", "", "", "", nil, nil}, 400, "TENANT_SUSPENDED", ""},
		"host of a resuming one":    {call{"GET", "waking.tenantry.test", "/v1/me", "", "", "", nil, nil}, 400, "TENANT_SUSPENDED", ""},
		"page of a suspended one":   {call{"GET", "shut.tenantry.test", "/m/invitation?token=x", "", "", "", nil, nil}, 400, "TENANT_SUSPENDED", ""},
		"host of a tenant not yet":  {call{"GET", "sleepy.tenantry.test", "/v1/me", "", "", "", nil, nil}, 400, "TENANT_NOT_ACTIVE", ""},
		"unknown path":              {call{"GET", acmeHost, "/v1/nothing", "", "", "", nil, nil}, 404, "UNKNOWN_PATH", "/v1/"},
		"path with a final slash":   {call{"GET", acmeHost, "/v1/users/", "", "", "", nil, nil}, 404, "UNKNOWN_PATH", ""},
		"unknown RPC":               {call{"POST", acmeHost, "/tenantry.users.v1.UserService/Nope", "", "{}", "", nil, nil}, 404, "UNKNOWN_PATH", ""},
		"unknown page":              {call{"GET", acmeHost, "/m/nothing", "", "", "", nil, nil}, 404, "UNKNOWN_PATH", ""},
		"method, REST":              {call{"DELETE", acmeHost, "/v1/users", "", "", "", nil, nil}, 405, "METHOD_NOT_ALLOWED", "allowed: GET"},
		"made-up method":            {call{"BREW", acmeHost, "/v1/auth/login", "", "", "", nil, nil}, 405, "METHOD_NOT_ALLOWED", "allowed: POST"},
		"method, RPC read":          {call{"PUT", acmeHost, listUsers, "", "{}", "", nil, nil}, 405, "METHOD_NOT_ALLOWED", "GET, POST"},
		"method, RPC mutation":      {call{"GET", acmeHost, loginRPC, "", "", "", nil, nil}, 405, "METHOD_NOT_ALLOWED", "allowed: POST"},
		"method, hook":              {call{"GET", centralHost, hookPath, "", "", "", nil, nil}, 405, "METHOD_NOT_ALLOWED", "allowed: POST"},
		"method, probe":             {call{"POST", acmeHost, "/livez", "", "{}", "", nil, nil}, 405, "METHOD_NOT_ALLOWED", "GET, HEAD"},
		"method, page":              {call{"PUT", acmeHost, "/m/verify", "", "{}", "", nil, nil}, 405, "METHOD_NOT_ALLOWED", "GET, HEAD, POST"},
		"content type, REST":        {call{"POST", acmeHost, "/v1/auth/login", "", "a=b", "application/x-www-form-urlencoded", nil, nil}, 415, "UNSUPPORTED_MEDIA_TYPE", "application/json"},
		"content type, RPC":         {call{"POST", acmeHost, loginRPC, "", "a=b", "text/plain", nil, nil}, 415, "UNSUPPORTED_MEDIA_TYPE", "application/json, application/proto"},
		"content type, hook":        {call{"POST", centralHost, hookPath, "", goodOrder, "text/plain", signed, nil}, 415, "UNSUPPORTED_MEDIA_TYPE", "application/json"},
		"charset":                   {call{"POST", acmeHost, loginRPC, "", goodLogin, "application/json; charset=latin1", nil, nil}, 415, "UNSUPPORTED_MEDIA_TYPE", ""},
		"content coding, RPC":       {call{"POST", acmeHost, loginRPC, "", goodLogin, "", map[string]string{"Content-Encoding": "br"}, nil}, 415, "UNSUPPORTED_MEDIA_TYPE", "identity, gzip"},
		"content coding, REST":      {call{"POST", acmeHost, "/v1/auth/login", "", goodLogin, "", map[string]string{"Content-Encoding": "br"}, nil}, 415, "UNSUPPORTED_MEDIA_TYPE", "identity, gzip"},
		"broken gzip, RPC":          {call{"POST", acmeHost, loginRPC, "", goodLogin, "", map[string]string{"Content-Encoding": "gzip"}, nil}, 400, "MALFORMED_BODY", ""},
		"broken gzip, REST":         {call{"POST", acmeHost, "/v1/auth/login", "", goodLogin, "", map[string]string{"Content-Encoding": "gzip"}, nil}, 400, "MALFORMED_BODY", ""},
		"protocol version":          {call{"POST", acmeHost, loginRPC, "", goodLogin, "", map[string]string{"Connect-Protocol-Version": "7"}, nil}, 400, "MALFORMED_BODY", "must be 1"},
		"timeout":                   {call{"POST", acmeHost, loginRPC, "", goodLogin, "", map[string]string{"Connect-Timeout-Ms": "soon"}, nil}, 400, "INVALID_ARGUMENT", "digits"},
		"empty body, RPC":           {call{"POST", acmeHost, loginRPC, "", "", "application/json", nil, nil}, 400, "MALFORMED_BODY", ""},
		"broken JSON, RPC":          {call{"POST", acmeHost, loginRPC, "", `{"email":`, "", nil, nil}, 400, "MALFORMED_BODY", ""},
		"broken JSON, REST":         {call{"POST", acmeHost, "/v1/auth/login", "", `{"email":`, "", nil, nil}, 400, "MALFORMED_BODY", ""},
		"an array":                  {call{"POST", acmeHost, "/v1/auth/login", "", `[1]`, "", nil, nil}, 400, "MALFORMED_BODY", ""},
		"wrong type of a field":     {call{"POST", acmeHost, "/v1/auth/login", "", `{"email":1}`, "", nil, nil}, 400, "MALFORMED_BODY", "email"},
		"deep nesting":              {call{"POST", acmeHost, "/v1/auth/login", "", strings.Repeat(`{"a":`, 5000), "", nil, nil}, 400, "MALFORMED_BODY", ""},
		"unknown field, RPC":        {call{"POST", centralHost, createTenant, operatorKey, `{"slug":"globex","colour":"red"}`, "", nil, nil}, 400, "MALFORMED_BODY", "settings.time_zone"},
		"unknown field, REST":       {call{"POST", centralHost, "/v1/tenants", operatorKey, `{"settings":{"colour":"red"}}`, "", nil, nil}, 400, "MALFORMED_BODY", "settings.time_zone"},
		"unknown field, hook":       {call{"POST", centralHost, hookPath, "", `{"colour":"red"}`, "", signed, nil}, 400, "MALFORMED_BODY", "owner_email"},
		"missing signature":         {call{"POST", centralHost, hookPath, "", goodOrder, "", nil, nil}, 401, "HOOK_SIGNATURE_INVALID", ""},
		"reserve_only by hook":      {call{"POST", centralHost, hookPath, "", `{"reserve_only":true}`, "", signed, nil}, 400, "INVALID_ARGUMENT", "reserve_only"},
		"malformed slug by hook":    {call{"POST", centralHost, hookPath, "", `{"slug":"-X-","name":"X","owner_email":"o@x.example"}`, "", signed, nil}, 400, "INVALID_ARGUMENT", "slug"},
		"hook at a tenant":          {call{"POST", acmeHost, hookPath, "", goodOrder, "", signed, nil}, 404, "WRONG_HOST", "http://tenantry.test"},
		"hook source name":          {call{"POST", centralHost, hookPrefix + "a%00b", "", goodOrder, "", signed, nil}, 404, "UNKNOWN_PATH", "{source}"},
		"malformed slug, RPC":       {call{"POST", centralHost, createTenant, operatorKey, `{"slug":"-X-","name":"X","owner_email":"o@x.example"}`, "", nil, nil}, 400, "INVALID_ARGUMENT", "slug"},
		"reserved slug":             {call{"POST", centralHost, "/v1/tenants", operatorKey, `{"slug":"admin","name":"X","owner_email":"o@x.example"}`, "", nil, nil}, 400, "SLUG_RESERVED", "reserved"},
		"NUL in a text":             {call{"POST", centralHost, "/v1/tenants", operatorKey, `{"slug":"globex","name":"a\u0000b","owner_email":"o@x.example"}`, "", nil, nil}, 400, "INVALID_ARGUMENT", "NUL"},
		"unknown parameter":         {call{"GET", acmeHost, "/v1/users?limt=5", userToken, "", "", nil, nil}, 400, "UNKNOWN_PARAMETER", "allowed: limit, cursor"},
		"unknown parameter after ;": {call{"GET", acmeHost, "/v1/users?a=1;b=2", userToken, "", "", nil, nil}, 400, "UNKNOWN_PARAMETER", "limit, cursor"},
		"parameter of a mutation":   {call{"POST", acmeHost, "/v1/auth/login?a=1", "", goodLogin, "", nil, nil}, 400, "UNKNOWN_PARAMETER", "allowed: none"},
		"parameter of an RPC":       {call{"POST", acmeHost, loginRPC + "?a=1", "", goodLogin, "", nil, nil}, 400, "UNKNOWN_PARAMETER", "allowed: none"},
		"parameter twice":           {call{"GET", acmeHost, "/v1/users?limit=1&limit=2", userToken, "", "", nil, nil}, 400, "INVALID_ARGUMENT", "once"},
		"parameter's type":          {call{"GET", acmeHost, "/v1/users?limit=many", userToken, "", "", nil, nil}, 400, "INVALID_ARGUMENT", "int32"},
		"parameter's bound":         {call{"GET", acmeHost, "/v1/users?limit=101", userToken, "", "", nil, nil}, 400, "INVALID_ARGUMENT", "100"},
		"parameter's encoding":      {call{"GET", acmeHost, "/v1/users?cursor=%zz", userToken, "", "", nil, nil}, 400, "INVALID_ARGUMENT", "encoding"},
		"parameter not UTF-8":       {call{"GET", acmeHost, "/v1/users?cursor=%ff", userToken, "", "", nil, nil}, 400, "INVALID_ARGUMENT", "UTF-8"},
		"id in the path":            {call{"GET", centralHost, "/v1/tenants/x", operatorKey, "", "", nil, nil}, 400, "INVALID_ARGUMENT", "id"},
		"path against body":         {call{"POST", centralHost, "/v1/hook-sources/billing/secrets", operatorKey, `{"source":"crm"}`, "", nil, nil}, 400, "INVALID_ARGUMENT", "source"},
		"Connect GET, no message":   {call{"GET", acmeHost, getMe + "?encoding=json", userToken, "", "", nil, nil}, 400, "INVALID_ARGUMENT", "message"},
		"Connect GET, encoding":     {call{"GET", acmeHost, getMe + "?encoding=xml&message=%7B%7D", userToken, "", "", nil, nil}, 400, "INVALID_ARGUMENT", "json, proto"},
		"Connect GET, base64":       {call{"GET", acmeHost, getMe + "?encoding=json&base64=1&message=!!", userToken, "", "", nil, nil}, 400, "MALFORMED_BODY", ""},
		"Connect GET, parameter":    {call{"GET", acmeHost, getMe + "?encoding=json&message=%7B%7D&x=1", userToken, "", "", nil, nil}, 400, "UNKNOWN_PARAMETER", "encoding"},
		"central RPC at a tenant":   {call{"POST", acmeHost, createTenant, operatorKey, goodOrder, "", nil, nil}, 404, "WRONG_HOST", "http://tenantry.test"},
		"tenant RPC, central":       {call{"GET", centralHost, "/v1/me", userToken, "", "", nil, nil}, 404, "WRONG_HOST", "http://{slug}.tenantry.test"},
		"JWKS, central":             {call{"GET", centralHost, jwksPath, "", "", "", nil, nil}, 404, "WRONG_HOST", "{slug}"},
		"page, central":             {call{"GET", centralHost, "/m/verify", "", "", "", nil, nil}, 404, "WRONG_HOST", "{slug}"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := f.do(t, tt.call)
			p := a.problem(t)
			require.Equal(t, tt.reason, p.Reason, a.body)
			require.Equal(t, tt.status, a.status, a.body)
			require.Contains(t, p.Message, tt.says)
			if tt.status == http.StatusMethodNotAllowed {
				require.NotEmpty(t, a.header.Get("Allow"))
			}
		})
	}
}

func TestBody_OverOneMebibyteIs413HoweverItIsSent(t *testing.T) {
	t.Parallel()
	f := setup(t)
	big := `{"email":"a@b.example","password":"` + strings.Repeat("x", 2<<20) + `"}`
	bomb := gzipped(t, big)
	require.Less(t, bomb.Len(), maxBody)
	signed := map[string]string{"webhook-id": "m1", "webhook-timestamp": "1", "webhook-signature": "v1,good"}
	gz := map[string]string{"Content-Encoding": "gzip"}
	for name, c := range map[string]call{
		"RPC":           {"POST", acmeHost, loginRPC, "", big, "", nil, nil},
		"REST":          {"POST", acmeHost, "/v1/auth/login", "", big, "", nil, nil},
		"hook":          {"POST", centralHost, hookPath, "", big, "", signed, nil},
		"RPC, chunked":  {"POST", acmeHost, loginRPC, "", "", "", nil, io.MultiReader(strings.NewReader(big))},
		"REST, chunked": {"POST", acmeHost, "/v1/auth/login", "", "", "", nil, io.MultiReader(strings.NewReader(big))},
		"hook, chunked": {"POST", centralHost, hookPath, "", "", "", signed, io.MultiReader(strings.NewReader(big))},
		"RPC, gzip":     {"POST", acmeHost, loginRPC, "", "", "", gz, bytes.NewReader(bomb.Bytes())},
		"REST, gzip":    {"POST", acmeHost, "/v1/auth/login", "", "", "", gz, bytes.NewReader(bomb.Bytes())},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := f.do(t, c)
			require.Equal(t, "BODY_TOO_LARGE", a.problem(t).Reason)
			require.Equal(t, http.StatusRequestEntityTooLarge, a.status)
			require.Contains(t, a.problem(t).Message, "1048576")
		})
	}
	t.Cleanup(func() { require.Zero(t, f.effects.Load()) })
}

func TestBody_GzipIsReadAtBothDoors(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for _, path := range []string{loginRPC, "/v1/auth/login"} {
		a := f.do(t, call{method: "POST", host: acmeHost, path: path, reader: gzipped(t, goodLogin), header: map[string]string{"Content-Encoding": "gzip"}})
		require.Equal(t, http.StatusOK, a.status, a.body)
	}
}

func gzipped(t *testing.T, text string) *bytes.Buffer {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	_, err := z.Write([]byte(text))
	require.NoError(t, err)
	require.NoError(t, z.Close())
	return &out
}

func TestBody_ThatNeverEndsIsCutOff(t *testing.T) {
	t.Parallel()
	f := setup(t, func(f *fake) { f.deps.Timeout = 300 * time.Millisecond })
	for _, path := range []string{loginRPC, "/v1/auth/login"} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(f.url, "http://"))
		require.NoError(t, err)
		t.Cleanup(func() { _ = conn.Close() })
		require.NoError(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
		_, err = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{", path, acmeHost)
		require.NoError(t, err)
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		require.NoError(t, err)
		text, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, http.StatusServiceUnavailable, resp.StatusCode, string(text))
		require.Equal(t, "DEADLINE", answer{resp.StatusCode, resp.Header, string(text)}.problem(t).Reason)
	}
}
