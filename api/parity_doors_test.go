package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"
	"connectrpc.com/connect/v2/connectproto"
	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
)

// knock is one call of an RPC, at whichever door.
type knock struct {
	method *method
	host   string
	bearer string
	msg    proto.Message
	header map[string]string
}

// heard is what a door answered, in the terms that all doors share.
type heard struct {
	// class is the first digit of the HTTP status, or of the one that a gRPC
	// code stands for.
	class  int
	body   any
	header http.Header
}

// doorway is a way to call an RPC; it answers false where an RPC has no such door.
type doorway struct {
	name string
	call func(*testing.T, *fake, knock) (heard, bool)
}

var doorways = []doorway{
	{"rest", knockREST},
	{"connect json", func(t *testing.T, f *fake, k knock) (heard, bool) {
		return knockConnect(t, f, k, "application/json", protojson.Marshal, protojson.Unmarshal)
	}},
	{"connect proto", func(t *testing.T, f *fake, k knock) (heard, bool) {
		return knockConnect(t, f, k, "application/proto", proto.Marshal, proto.Unmarshal)
	}},
	{"connect get", knockGET},
	{"grpc", knockGRPC},
}

func (f *fake) send(t *testing.T, k knock, verb, path, contentType string, body []byte) (int, []byte, http.Header) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), verb, f.url+path, bytes.NewReader(body))
	require.NoError(t, err)
	req.Host = k.host
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	for name, value := range k.headers() {
		req.Header.Set(name, value)
	}
	resp, err := noRedirects.Do(req)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, text, resp.Header
}

func (k knock) headers() map[string]string {
	out := map[string]string{}
	for name, value := range k.header {
		out[name] = value
	}
	if k.bearer != "" {
		out["Authorization"] = "Bearer " + k.bearer
	}
	return out
}

func knockConnect(t *testing.T, f *fake, k knock, contentType string, marshal func(proto.Message) ([]byte, error), unmarshal func([]byte, proto.Message) error) (heard, bool) {
	t.Helper()
	body, err := marshal(k.msg)
	require.NoError(t, err)
	status, text, header := f.send(t, k, http.MethodPost, k.method.spec.Procedure, contentType, body)
	return hear(t, k, status, text, header, unmarshal), true
}

func knockGET(t *testing.T, f *fake, k knock) (heard, bool) {
	t.Helper()
	if k.method.desc.Options().(*descriptorpb.MethodOptions).GetIdempotencyLevel() != descriptorpb.MethodOptions_NO_SIDE_EFFECTS {
		return heard{}, false
	}
	body, err := protojson.Marshal(k.msg)
	require.NoError(t, err)
	path := k.method.spec.Procedure + "?connect=v1&encoding=json&message=" + url.QueryEscape(string(body))
	status, text, header := f.send(t, k, http.MethodGet, path, "", nil)
	return hear(t, k, status, text, header, protojson.Unmarshal), true
}

func knockREST(t *testing.T, f *fake, k knock) (heard, bool) {
	t.Helper()
	rule := proto.GetExtension(k.method.desc.Options(), annotations.E_Http).(*annotations.HttpRule)
	verb, template := httpRule(rule)
	m := k.msg.ProtoReflect()
	inPath := map[string]bool{}
	path := template
	for _, name := range pathFields(template) {
		inPath[string(name)] = true
		path = strings.ReplaceAll(path, "{"+string(name)+"}", url.PathEscape(m.Get(m.Descriptor().Fields().ByName(name)).String()))
	}
	var body []byte
	contentType := ""
	if rule.GetBody() == "*" {
		var err error
		body, err = protojson.MarshalOptions{UseProtoNames: true}.Marshal(without(k.msg, inPath))
		require.NoError(t, err)
		contentType = contentJSON
	} else if q := queryOf(without(k.msg, inPath)); q != "" {
		path += "?" + q
	}
	status, text, header := f.send(t, k, verb, path, contentType, body)
	return hear(t, k, status, text, header, protojson.Unmarshal), true
}

var pathField = regexp.MustCompile(`\{([a-z_]+)\}`)

func pathFields(template string) (out []protoreflect.Name) {
	for _, found := range pathField.FindAllStringSubmatch(template, -1) {
		out = append(out, protoreflect.Name(found[1]))
	}
	return out
}

// without is a copy that lacks some fields.
func without(msg proto.Message, names map[string]bool) proto.Message {
	out := proto.Clone(msg)
	for name := range names {
		out.ProtoReflect().Clear(out.ProtoReflect().Descriptor().Fields().ByName(protoreflect.Name(name)))
	}
	return out
}

// queryOf writes the scalar fields of a message as a query.
func queryOf(msg proto.Message) string {
	q := url.Values{}
	msg.ProtoReflect().Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if f.IsList() {
			for i := range v.List().Len() {
				q.Add(string(f.Name()), v.List().Get(i).String())
			}
			return true
		}
		q.Set(string(f.Name()), v.String())
		return true
	})
	return q.Encode()
}

func knockGRPC(t *testing.T, f *fake, k knock) (heard, bool) {
	t.Helper()
	h2 := &http.Transport{Protocols: new(http.Protocols)}
	h2.Protocols.SetUnencryptedHTTP2(true)
	defer h2.CloseIdleConnections()
	client := connect.NewClient(connecthttp.NewTransport(&http.Client{Transport: hostTransport{h2, k.host}}, f.url, connecthttp.WithGRPC()))
	ctx, info := connect.NewClientContext(t.Context())
	for name, value := range k.headers() {
		info.RequestHeader().Set(name, value)
	}
	out, err := newMessage(k.method.desc.Output())
	require.NoError(t, err)
	err = client.CallUnary(ctx, k.method.spec, k.msg, out)
	header := http.Header{}
	for name, values := range info.ResponseHeader().All() {
		header[http.CanonicalHeaderKey(name)] = values
	}
	for name, values := range info.ResponseTrailer().All() {
		header[http.CanonicalHeaderKey(name)] = values
	}
	if err == nil {
		return heard{class: 2, body: asJSON(t, out), header: header}, true
	}
	var e *connect.Error
	require.True(t, errors.As(err, &e), "%v", err)
	return heard{class: statuses[e.Code()] / 100, body: errorAsJSON(t, e.Code().String(), e.Message(), e.Details()), header: header}, true
}

// hear reads an HTTP answer; errors are JSON at every one of these doors.
func hear(t *testing.T, k knock, status int, text []byte, header http.Header, unmarshal func([]byte, proto.Message) error) heard {
	t.Helper()
	h := heard{class: status / 100, header: header}
	if h.class == 2 {
		out, err := newMessage(k.method.desc.Output())
		require.NoError(t, err)
		require.NoError(t, unmarshal(text, out), "%s: %s", k.method.spec.Procedure, text)
		h.body = asJSON(t, out)
		return h
	}
	var body errorBody
	require.NoError(t, json.Unmarshal(text, &body), "%s: %s", k.method.spec.Procedure, text)
	details := make([]any, len(body.Details))
	for i, d := range body.Details {
		require.NoError(t, json.Unmarshal(d.Debug, &details[i]), "%s", text)
	}
	h.body = map[string]any{"code": body.Code, "message": body.Message, "details": details}
	return h
}

func asJSON(t *testing.T, m proto.Message) any {
	t.Helper()
	text, err := protojson.Marshal(m)
	require.NoError(t, err)
	var v any
	require.NoError(t, json.Unmarshal(text, &v))
	return v
}

func errorAsJSON(t *testing.T, code, message string, all []*connect.ErrorDetail) any {
	t.Helper()
	details := make([]any, len(all))
	for i, d := range all {
		m, err := connectproto.UnmarshalErrorDetail(d)
		require.NoError(t, err)
		details[i] = asJSON(t, m)
	}
	return map[string]any{"code": code, "message": message, "details": details}
}

// shared are the headers that must be the same at each door; the others belong
// to a transport.
var shared = []string{
	"Etag", "Location", "Content-Language", "Cache-Control", "X-Content-Type-Options", "Idempotency-Replayed", "Www-Authenticate", "Ratelimit-Policy",
}

// present are the headers whose values are of the moment.
var present = []string{"X-Request-Id", "Ratelimit", "Retry-After"}

func (h heard) headers() map[string]string {
	out := map[string]string{}
	for _, name := range shared {
		out[name] = mask(strings.Join(h.header.Values(name), ", "))
	}
	for _, name := range present {
		out[name] = map[bool]string{true: "present", false: "absent"}[h.header.Get(name) != ""]
	}
	return out
}

// A token is looked for before what it may begin with: six capitals and a hyphen
// are no code there.
var moments = regexp.MustCompile(`otpauth://[^"]+|iVBOR[A-Za-z0-9+/=]+|whsec_[A-Za-z0-9+/=]+|[A-Za-z0-9_-]{43,}|[A-Z2-7]{32}|\b[0-9A-Z]{6}\b|\d\d(?:-[0-9A-Z]{4}){3}|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|\d{4}-\d\d-\d\dT[0-9:.]+Z|door[a-z]+`)

// mask hides what differs from call to call: ids, times, secrets, and the
// names that a scene made for its door.
func mask(text string) string { return moments.ReplaceAllString(text, "…") }

func masked(t *testing.T, v any) string {
	t.Helper()
	text, err := json.MarshalIndent(v, "", " ")
	require.NoError(t, err)
	return mask(string(text))
}

func TestMask_HidesAWholeTokenWhateverItBeginsWith(t *testing.T) {
	t.Parallel()
	for _, token := range []string{"ABCDEF-", "12-ABCD-ABCD-ABCD-", "eyJhbGciOi", strings.Repeat("A", 32) + "-"} {
		require.Equal(t, `"…"`, mask(`"`+(token + strings.Repeat("x", 43))[:43]+`"`), token)
	}
}
