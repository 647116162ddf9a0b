package api

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"buf.build/go/protovalidate"
	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"tenantry/internal/clock"
)

// documented is the document that a server serves, with each operation's RPC.
type documented struct {
	doc *openapi3.T
	// calls are the operations of RPCs by procedure.
	calls map[string]documentedCall
	// others are what is no RPC, "GET /livez".
	others []string
}

type documentedCall struct {
	verb, path string
	op         *openapi3.Operation
}

// wired is the server of the binary, with all that it registers; no call gets
// through to the modules behind.
func wired(t *testing.T) *Server {
	t.Helper()
	s, err := New(Deps{PublicURL: &url.URL{Scheme: "http", Host: centralHost}, Log: slog.New(slog.DiscardHandler), Now: clock.System, Flood: Flood{PerSecond: -1}})
	require.NoError(t, err)
	return s
}

func documentOf(t *testing.T, s *Server) documented {
	t.Helper()
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://"+centralHost+documentPath, nil))
	require.Equal(t, http.StatusOK, w.Code, w.Body)
	require.Equal(t, "application/json", w.Header().Get("Content-Type"))
	doc, err := openapi3.NewLoader().LoadFromData(w.Body.Bytes())
	require.NoError(t, err)
	d := documented{doc: doc, calls: map[string]documentedCall{}}
	for path, item := range doc.Paths.Map() {
		for verb, op := range item.Operations() {
			notes, isRPC := op.Extensions["x-tenantry"].(map[string]any)
			if !isRPC {
				d.others = append(d.others, verb+" "+path)
				continue
			}
			d.calls[notes["procedure"].(string)] = documentedCall{verb, path, op}
		}
	}
	return d
}

func TestDocument_HasEveryRPCAndNoOther(t *testing.T) {
	t.Parallel()
	s, f := wired(t), setup(t)
	d := documentOf(t, s)
	for procedure := range s.methods {
		_, found := d.calls[procedure]
		require.True(t, found, "%s is not documented: run make generate", procedure)
	}
	for procedure, c := range d.calls {
		require.NotNil(t, s.methods[procedure], "%s is documented and not served", procedure)
		found := s.rest.match(c.verb, c.path)
		require.NotNil(t, found, "%s %s is not served", c.verb, c.path)
		require.Equal(t, procedure, found.binding.method.spec.Procedure)
	}
	require.ElementsMatch(t, []string{
		"POST /v1/hooks/provisioning/{source}", "GET /.well-known/jwks.json", "GET /openapi.json", "GET /livez", "GET /readyz",
	}, d.others)
	for _, other := range d.others {
		verb, path, _ := strings.Cut(other, " ")
		a := f.do(t, call{method: verb, host: acmeHost, path: strings.ReplaceAll(path, "{source}", "billing")})
		if a.status >= 400 {
			require.NotEqual(t, "UNKNOWN_PATH", a.problem(t).Reason, other)
		}
	}
}

// The door lists what it takes when it is given something else.
func TestDocument_NamesTheParametersThatTheDoorTakes(t *testing.T) {
	t.Parallel()
	s := wired(t)
	for procedure, c := range documentOf(t, s).calls {
		var names []string
		for _, p := range c.op.Parameters {
			if p.Value.In == "query" {
				names = append(names, p.Value.Name)
			}
		}
		taken := s.rest.match(c.verb, c.path).binding.parameters
		taken = slices.DeleteFunc(slices.Clone(taken), func(s string) bool { return strings.HasSuffix(s, "[]") })
		require.ElementsMatch(t, taken, names, procedure)
	}
}

func TestDocument_ExamplesKeepTheRulesOfTheSchema(t *testing.T) {
	t.Parallel()
	s := wired(t)
	for procedure, c := range documentOf(t, s).calls {
		m := s.methods[procedure]
		in := dynamicpb.NewMessage(m.desc.Input())
		if c.op.RequestBody != nil {
			decodeExample(t, in, c.op.RequestBody.Value.Content["application/json"].Example)
		}
		for _, p := range c.op.Parameters {
			if p.Value.In != "header" && p.Value.Example != nil {
				one := dynamicpb.NewMessage(m.desc.Input())
				decodeExample(t, one, map[string]any{p.Value.Name: p.Value.Example})
				one.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
					in.Set(fd, v)
					return true
				})
			}
		}
		require.NoError(t, protovalidate.Validate(in), "%s: %v", procedure, in)
		status := "200"
		if m.startsOperation() {
			status = "202"
			require.Contains(t, c.op.Responses.Value("202").Value.Headers, "Location")
		}
		answer := c.op.Responses.Value(status)
		require.NotNil(t, answer, procedure)
		out := dynamicpb.NewMessage(m.desc.Output())
		decodeExample(t, out, answer.Value.Content["application/json"].Example)
		if m.desc.Output().Fields().Len() > 0 {
			require.NotZero(t, protoSize(out), "%s: an empty example says nothing", procedure)
		}
	}
}

func protoSize(m *dynamicpb.Message) (n int) {
	m.Range(func(protoreflect.FieldDescriptor, protoreflect.Value) bool { n++; return true })
	return n
}

func decodeExample(t *testing.T, m *dynamicpb.Message, example any) {
	t.Helper()
	text, err := json.Marshal(example)
	require.NoError(t, err)
	require.NoError(t, protojson.Unmarshal(text, m), "%s in %s", m.Descriptor().FullName(), text)
}

// What is documented for a reason is what the mapper makes of its kind, unless
// the error brings a status of its own.
func TestDocument_ErrorsHaveTheStatusesOfTheMapper(t *testing.T) {
	t.Parallel()
	own := []int{405, 412, 413, 415, 422, 428}
	byCode := map[string]int{}
	for code, status := range statuses {
		byCode[code.String()] = status
	}
	for procedure, c := range documentOf(t, wired(t)).calls {
		for status, r := range c.op.Responses.Map() {
			if status < "400" {
				continue
			}
			content := r.Value.Content["application/json"]
			require.NotEmpty(t, content.Examples, "%s %s", procedure, status)
			require.Contains(t, r.Value.Content, "application/problem+json")
			for reason, e := range content.Examples {
				body := e.Value.Value.(map[string]any)
				want := byCode[body["code"].(string)]
				if !slices.Contains(own, atoi(status)) {
					require.Equal(t, want, atoi(status), "%s %s", procedure, reason)
				}
				require.Equal(t, reason, answer{body: mustJSON(t, body)}.reason(t))
			}
		}
	}
}

// reason is what the body's ErrorInfo says.
func (a answer) reason(t *testing.T) string {
	t.Helper()
	var body struct {
		Details []struct {
			Type  string
			Debug struct{ Reason string }
		}
	}
	require.NoError(t, json.Unmarshal([]byte(a.body), &body))
	require.Equal(t, "google.rpc.ErrorInfo", body.Details[0].Type)
	return body.Details[0].Debug.Reason
}

func atoi(s string) (n int) {
	for _, c := range s {
		n = n*10 + int(c-'0')
	}
	return n
}

func mustJSON(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	require.NoError(t, err)
	return string(text)
}

func TestDocument_RealAnswersAreAsDocumented(t *testing.T) {
	t.Parallel()
	f := setup(t)
	d := documentOf(t, wired(t))
	const id = "0190b1c2-7d3e-7000-8000-000000000001"
	for name, tt := range map[string]struct {
		procedure string
		call      call
		status    int
	}{
		"me":             {getMe, call{method: "GET", host: acmeHost, path: "/v1/me", bearer: userToken}, 200},
		"no token":       {getMe, call{method: "GET", host: acmeHost, path: "/v1/me"}, 401},
		"wrong host":     {getMe, call{method: "GET", host: centralHost, path: "/v1/me", bearer: operatorKey}, 404},
		"list":           {listUsers, call{method: "GET", host: acmeHost, path: "/v1/users?limit=2", bearer: userToken}, 200},
		"a big limit":    {listUsers, call{method: "GET", host: acmeHost, path: "/v1/users?limit=1000", bearer: userToken}, 400},
		"no permission":  {listUsers, call{method: "GET", host: acmeHost, path: "/v1/users", bearer: memberToken}, 403},
		"create":         {createTenant, call{method: "POST", host: centralHost, path: "/v1/tenants", bearer: operatorKey, body: goodOrder}, 202},
		"a bad body":     {createTenant, call{method: "POST", host: centralHost, path: "/v1/tenants", bearer: operatorKey, body: `{"slug":"x"}`}, 400},
		"a form":         {createTenant, call{method: "POST", host: centralHost, path: "/v1/tenants", bearer: operatorKey, body: "a=b", contentType: "text/plain"}, 415},
		"one operation":  {"/tenantry.operations.v1.OperationService/GetOperation", call{method: "GET", host: centralHost, path: "/v1/operations/" + id, bearer: operatorKey}, 200},
		"all operations": {"/tenantry.operations.v1.OperationService/ListOperations", call{method: "GET", host: centralHost, path: "/v1/operations", bearer: operatorKey}, 200},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := f.do(t, tt.call)
			require.Equal(t, tt.status, a.status, a.body)
			c := d.calls[tt.procedure]
			require.NoError(t, validateAnswer(t, d, c, a))
			// A validator that takes anything would show nothing.
			a.body = `{"code":5,"users":7,"user":7,"id":7,"operations":7}`
			require.Error(t, validateAnswer(t, d, c, a))
		})
	}
}

func validateAnswer(t *testing.T, d documented, c documentedCall, a answer) error {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), c.verb, "http://x"+c.path, nil)
	require.NoError(t, err)
	return openapi3filter.ValidateResponse(t.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{
			Request: req, QueryParams: url.Values{},
			Route: &routers.Route{Spec: d.doc, Path: c.path, PathItem: d.doc.Paths.Value(c.path), Method: c.verb, Operation: c.op},
		},
		Status: a.status, Header: a.header, Body: io.NopCloser(bytes.NewReader([]byte(a.body))),
		Options: &openapi3filter.Options{IncludeResponseStatus: true},
	})
}

func TestDocs_AreServedAtEveryHostWithoutACredential(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for host, shown := range map[string]string{centralHost: "http://{slug}.tenantry.test/v1/me", acmeHost: "http://acme.tenantry.test/v1/me"} {
		a := f.do(t, call{method: "GET", host: host, path: docsPath})
		require.Equal(t, http.StatusOK, a.status)
		require.Equal(t, "text/html; charset=utf-8", a.header.Get("Content-Type"))
		require.Contains(t, a.header.Get("Content-Security-Policy"), "default-src 'none'; style-src 'sha256-")
		require.Equal(t, "nosniff", a.header.Get("X-Content-Type-Options"))
		require.Contains(t, a.body, shown)
	}
	for _, c := range []call{
		{method: "POST", host: acmeHost, path: docsPath}, {method: "POST", host: acmeHost, path: documentPath},
	} {
		a := f.do(t, c)
		require.Equal(t, http.StatusMethodNotAllowed, a.status)
		require.Equal(t, "METHOD_NOT_ALLOWED", a.problem(t).Reason)
		require.Equal(t, "GET, HEAD", a.header.Get("Allow"))
	}
	a := f.do(t, call{method: "GET", host: acmeHost, path: documentPath + "?format=yaml"})
	require.Equal(t, "UNKNOWN_PARAMETER", a.problem(t).Reason)
	require.Equal(t, "UNKNOWN_HOST", f.do(t, call{method: "GET", host: "nobody.tenantry.test", path: docsPath}).problem(t).Reason)
}
