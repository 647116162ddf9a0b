package api

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connectinprocess"
	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"tenantry/api/edge"
	"tenantry/internal/apperr"
)

// restDoor serves each RPC at the path of its google.api.http option; the
// gateway's mux only finds the route. It calls through the in-process client, so
// the RPC door's interceptors run; the request is decoded where they decode it.
type restDoor struct {
	s      *Server
	mux    *runtime.ServeMux
	client *connect.Client
	verbs  []string
	// whole are the paths without a variable, by verb and path: most requests,
	// which need no search.
	whole map[string]*match
}

func newRESTDoor(s *Server, server *connect.Server) (*restDoor, error) {
	d := &restDoor{s: s, client: connect.NewClient(connectinprocess.New(server, connectinprocess.WithCopyFunc(copyREST))), whole: map[string]*match{}}
	d.mux = runtime.NewServeMux(
		runtime.WithDisablePathLengthFallback(), runtime.WithDisableHTTPMethodOverride(),
		runtime.WithRoutingErrorHandler(func(context.Context, *runtime.ServeMux, runtime.Marshaler, http.ResponseWriter, *http.Request, int) {}),
	)
	for spec := range server.Specs() {
		if err := d.mount(s.methods[spec.Procedure]); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// binding is where a message's parts come from.
type binding struct {
	method *method
	verb   string
	body   bool
	// parameters are the names that the query may hold.
	parameters []string
}

func (d *restDoor) mount(m *method) error {
	rule, _ := proto.GetExtension(m.desc.Options(), annotations.E_Http).(*annotations.HttpRule)
	b := binding{method: m, body: rule.GetBody() == "*"}
	var path string
	if b.verb, path = httpRule(rule); b.verb == "" {
		return fmt.Errorf("%s: no REST path", m.spec.Procedure)
	}
	if !b.body {
		b.parameters = queryFields(m.desc.Input(), path)
	}
	if !slices.Contains(d.verbs, b.verb) {
		d.verbs = append(d.verbs, b.verb)
	}
	if !strings.Contains(path, "{") {
		d.whole[b.verb+path] = &match{b, nil}
	}
	return d.mux.HandlePath(b.verb, path, func(_ http.ResponseWriter, r *http.Request, params map[string]string) {
		for _, v := range params {
			if v == "" { // "/v1/users/" is no user
				return
			}
		}
		*r.Context().Value(matchKey{}).(**match) = &match{b, params}
	})
}

// httpRule answers the verb and path of a google.api.http option; both are
// empty for a verb that the door does not serve.
func httpRule(rule *annotations.HttpRule) (verb, path string) {
	switch p := rule.GetPattern().(type) {
	case *annotations.HttpRule_Get:
		return http.MethodGet, p.Get
	case *annotations.HttpRule_Post:
		return http.MethodPost, p.Post
	case *annotations.HttpRule_Patch:
		return http.MethodPatch, p.Patch
	case *annotations.HttpRule_Delete:
		return http.MethodDelete, p.Delete
	}
	return "", ""
}

// queryFields lists the scalar fields that the path does not bind; a list is
// there a second time as "name[]".
func queryFields(in protoreflect.MessageDescriptor, path string) []string {
	var out []string
	for i := range in.Fields().Len() {
		f := in.Fields().Get(i)
		name := string(f.Name())
		if f.Message() != nil || strings.Contains(path, "{"+name+"}") {
			continue
		}
		out = append(out, name)
		if f.IsList() {
			out = append(out, name+"[]")
		}
	}
	return out
}

func (d *restDoor) serve(w http.ResponseWriter, r *http.Request) {
	verb := r.Method
	if verb == http.MethodHead { // net/http drops the body of the answer
		verb = http.MethodGet
	}
	if found := d.match(verb, r.URL.Path); found != nil {
		d.call(w, r, found.binding, found.params)
		return
	}
	if allowed := d.allowed(r.URL.Path); len(allowed) > 0 {
		d.s.failMethod(w, r, allowed)
		return
	}
	d.s.fail(w, r, apperr.New(apperr.NotFound, "UNKNOWN_PATH",
		"Nothing is served at this path. REST paths begin with /v1/, RPCs are POST /{package}.{Service}/{Method}."))
}

type matchKey struct{}

// match is what a route notes about a request that is its own.
type match struct {
	binding binding
	params  map[string]string
}

// match asks the routes for a verb and a path. They see nothing else of a
// request, so nothing in it can change their mind, or reach their log.
func (d *restDoor) match(verb, path string) *match {
	if found := d.whole[verb+path]; found != nil {
		return found
	}
	var found *match
	ctx := context.WithValue(context.Background(), matchKey{}, &found)
	d.mux.ServeHTTP(nil, (&http.Request{Method: verb, URL: &url.URL{Path: path}, Header: http.Header{}}).WithContext(ctx))
	return found
}

// allowed answers which verbs a path takes.
func (d *restDoor) allowed(path string) []string {
	var found []string
	for _, verb := range d.verbs {
		if d.match(verb, path) != nil {
			found = append(found, verb)
		}
	}
	slices.Sort(found)
	return found
}

// restRequest is decoded by the transport's copy, on the server's side.
type restRequest struct {
	s      *Server
	r      *http.Request
	b      binding
	params map[string]string
}

// restResponse takes the handler's message as it is.
type restResponse struct{ message proto.Message }

func copyREST(dst, src any) error {
	if in, ok := src.(*restRequest); ok {
		return in.decode(dst.(proto.Message))
	}
	if out, ok := dst.(*restResponse); ok {
		out.message, _ = src.(proto.Message)
		return nil
	}
	return connectinprocess.ProtoCopy(dst, src)
}

func (d *restDoor) call(w http.ResponseWriter, r *http.Request, b binding, params map[string]string) {
	through(edge.From(r.Context()), doorREST, b.method.spec.Procedure)
	if err := preflightREST(r, b); err != nil {
		d.s.fail(w, r, err)
		return
	}
	ctx, info := connect.NewClientContext(r.Context())
	for name, values := range r.Header {
		info.RequestHeader().SetValues(name, values)
	}
	var out restResponse
	err := d.client.CallUnary(ctx, b.method.spec, &restRequest{d.s, r, b, params}, &out)
	for name, values := range info.ResponseHeader().All() {
		w.Header()[name] = values
	}
	if err != nil {
		// The interceptors have built it; the transport only marked it remote.
		var e *connect.Error
		if !errors.As(err, &e) {
			d.s.fail(w, r, err)
			return
		}
		d.s.writeError(w, r, e)
		return
	}
	status := http.StatusOK
	if b.method.startsOperation() {
		status = http.StatusAccepted
	}
	d.s.writeMessage(w, r, status, out.message)
}

// preflightREST makes the checks that the RPC door makes before access.
func preflightREST(r *http.Request, b binding) error {
	if !b.body || (r.ContentLength == 0 && r.Header.Get("Content-Type") == "") {
		return nil // no body, or none sent: an empty message
	}
	return checkContent(r, contentJSON)
}

func (s *Server) writeMessage(w http.ResponseWriter, r *http.Request, status int, m proto.Message) {
	text, err := s.json.Marshal(m)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", contentJSON)
	w.WriteHeader(status)
	_, _ = w.Write(text) // the client has left; nobody to tell
}

func (q *restRequest) decode(m proto.Message) error {
	values, err := query(q.r.URL.RawQuery, q.b.parameters)
	if err != nil {
		return err
	}
	if q.b.body {
		if err := q.s.decodeJSON(q.r, m); err != nil {
			return err
		}
	}
	for name, all := range values {
		for _, v := range all {
			if err := runtime.PopulateFieldFromPath(m, name, v); err != nil {
				return apperr.InvalidField(name, "parameter.type", "cannot be read as "+kindOf(m, name)).WithParams("type", kindOf(m, name))
			}
		}
	}
	for name, v := range q.params {
		if f := m.ProtoReflect().Descriptor().Fields().ByName(protoreflect.Name(name)); m.ProtoReflect().Has(f) && m.ProtoReflect().Get(f).String() != v {
			return apperr.InvalidField(name, "path.conflict", "in the body differs from the one in the path")
		}
		if err := runtime.PopulateFieldFromPath(m, name, v); err != nil {
			return apperr.InvalidField(name, "parameter.type", "cannot be read as "+kindOf(m, name)).WithParams("type", kindOf(m, name))
		}
	}
	return nil
}

func kindOf(m proto.Message, field string) string {
	f := m.ProtoReflect().Descriptor().Fields().ByName(protoreflect.Name(field))
	if f == nil {
		return "a value"
	}
	return f.Kind().String()
}

// decodeJSON reads the body like Connect's JSON codec; none is an empty message.
func (s *Server) decodeJSON(r *http.Request, m proto.Message) error {
	body, err := readBody(r)
	if err != nil {
		return err
	}
	if len(body) == 0 {
		return nil
	}
	if err := s.json.UnmarshalOptions.Unmarshal(body, m); err != nil {
		return errMalformed(err, m.ProtoReflect().Descriptor())
	}
	return nil
}

// readBody reads the body, decompressed, up to the limit. It unpacks once all
// has come: until then a client decides how long it is held.
func readBody(r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(r.Body)
	if err == nil && packed(r.Header.Get("Content-Encoding")) {
		body, err = unpack(body)
	}
	if err != nil {
		return nil, errUnreadable(r.Context(), err)
	}
	if len(body) > maxBody {
		return nil, errTooLarge()
	}
	return body, nil
}

// unpack answers at most a byte more than the limit.
func unpack(body []byte) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(z, maxBody+1))
}

func errUnreadable(ctx context.Context, err error) error {
	if tooLarge(err) {
		return errTooLarge()
	}
	if _, ok := apperr.As(err); ok {
		return err // no place for it
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return errors.Join(context.DeadlineExceeded, err)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return apperr.New(apperr.Invalid, "MALFORMED_BODY", "The body cannot be read: it ends early or is not what Content-Encoding says.")
}
