package api

import (
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"google.golang.org/protobuf/types/descriptorpb"

	"tenantry/api/edge"
	"tenantry/internal/apperr"
)

const contentJSON = "application/json"

// getParameters are those of a Connect GET.
var getParameters = []string{"connect", "encoding", "message", "base64", "compression"}

// serveRPC is the door of Connect, gRPC and gRPC-Web. What Connect itself
// would refuse with an empty body is refused here first, as JSON.
func (s *Server) serveRPC(w http.ResponseWriter, r *http.Request) {
	m := s.methods[r.URL.Path]
	through(edge.From(r.Context()), rpcDoor(r.Method, r.Header.Get("Content-Type")), m.spec.Procedure)
	allowed := []string{http.MethodPost}
	if m.desc.Options().(*descriptorpb.MethodOptions).GetIdempotencyLevel() == descriptorpb.MethodOptions_NO_SIDE_EFFECTS {
		allowed = []string{http.MethodGet, http.MethodPost}
	}
	if !slices.Contains(allowed, r.Method) {
		s.failMethod(w, r, allowed)
		return
	}
	check := preflightPOST
	if r.Method == http.MethodGet {
		check = preflightGET
	}
	err := check(r)
	if err == nil && packed(r.URL.Query().Get("compression")) { // of a GET
		err = edge.From(r.Context()).Room.Enter()
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.procedures[r.URL.Path].ServeHTTP(s.asProblem(w, r), r)
}

// failMethod answers 405 with the methods that would do.
func (s *Server) failMethod(w http.ResponseWriter, r *http.Request, allowed []string) {
	list := strings.Join(allowed, ", ")
	w.Header().Set("Allow", list)
	s.fail(w, r, apperr.Newf(apperr.Invalid, "METHOD_NOT_ALLOWED", "%s is not allowed here; allowed: %s.", clip(r.Method, 20), list).
		WithParams("allowed", list).WithStatus(http.StatusMethodNotAllowed))
}

func preflightPOST(r *http.Request) error {
	allowed := append([]string{contentJSON}, notJSON.ContentTypes...)
	if err := checkContent(r, allowed...); err != nil {
		return err
	}
	if err := checkTimeout(r); err != nil {
		return err
	}
	if v := r.Header.Get("Connect-Protocol-Version"); v != "" && v != "1" {
		return apperr.Newf(apperr.Invalid, "MALFORMED_BODY", "Connect-Protocol-Version: must be 1, not %q.", clip(v, 20))
	}
	_, err := query(r.URL.RawQuery, nil)
	return err
}

func preflightGET(r *http.Request) error {
	values, err := query(r.URL.RawQuery, getParameters)
	if err != nil {
		return err
	}
	if r.ContentLength != 0 {
		return apperr.New(apperr.Invalid, "MALFORMED_BODY", "A GET has no body; the message is a parameter.")
	}
	for name, allowed := range map[string][]string{
		"connect": {"", "v1"}, "encoding": {"json", "proto"}, "base64": {"", "0", "1"}, "compression": {"", "identity", "gzip"},
	} {
		if !slices.Contains(allowed, values.Get(name)) {
			list := strings.Join(slices.DeleteFunc(slices.Clone(allowed), empty), ", ")
			return apperr.InvalidField(name, "string.in", "must be one of "+list).WithParams("in", list)
		}
	}
	if !values.Has("message") {
		return apperr.InvalidField("message", "required", "must be the request, in the encoding that the parameter encoding names")
	}
	// Connect parses the query again, with a parser that drops a raw ";".
	r.URL.RawQuery = values.Encode()
	return checkTimeout(r)
}

func empty(s string) bool { return s == "" }

func checkTimeout(r *http.Request) error {
	v := r.Header.Get("Connect-Timeout-Ms")
	if len(v) > 10 || strings.Trim(v, "0123456789") != "" {
		return apperr.New(apperr.Invalid, "INVALID_ARGUMENT", "Connect-Timeout-Ms: must be 1 to 10 digits, in milliseconds.")
	}
	return nil
}

// checkContent refuses a body of another type or coding, and leaves the bare
// type in the header.
func checkContent(r *http.Request, allowed ...string) error {
	unsupported := func(what string, allowed ...string) error {
		list := strings.Join(allowed, ", ")
		return apperr.Newf(apperr.Invalid, "UNSUPPORTED_MEDIA_TYPE", "%s: must be %s.", what, list).
			WithParams("header", what, "allowed", list).WithStatus(http.StatusUnsupportedMediaType)
	}
	base, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	charset, hasCharset := params["charset"]
	if err != nil || len(r.Header.Values("Content-Type")) > 1 || !slices.Contains(allowed, base) || (hasCharset && !strings.EqualFold(charset, "utf-8")) {
		return unsupported("Content-Type", allowed...)
	}
	r.Header.Set("Content-Type", base)
	codings := r.Header.Values("Content-Encoding")
	if len(codings) > 1 || (len(codings) == 1 && !slices.Contains([]string{"", "identity", "gzip"}, codings[0])) {
		return unsupported("Content-Encoding", "identity", "gzip")
	}
	return nil
}

// query parses a raw query strictly: a raw ";" stays, what is not listed is
// refused by name, and a parameter comes once unless it is listed as "name[]"
// too.
func query(raw string, allowed []string) (url.Values, error) {
	values := url.Values{}
	for _, pair := range strings.Split(raw, "&") {
		if pair == "" {
			continue
		}
		rawName, rawValue, _ := strings.Cut(pair, "=")
		name, err1 := url.QueryUnescape(rawName)
		value, err2 := url.QueryUnescape(rawValue)
		if err1 != nil || err2 != nil {
			return nil, apperr.New(apperr.Invalid, "INVALID_ARGUMENT", "The query has a broken percent-encoding.")
		}
		if !slices.Contains(allowed, name) {
			return nil, errUnknownParameter(name, allowed)
		}
		values.Add(name, value)
	}
	for name := range values {
		if len(values[name]) > 1 && !slices.Contains(allowed, name+"[]") {
			return nil, apperr.InvalidField(name, "parameter.once", "must be given once")
		}
	}
	return values, nil
}

func errUnknownParameter(name string, allowed []string) error {
	shown := slices.DeleteFunc(slices.Clone(allowed), func(s string) bool { return strings.HasSuffix(s, "[]") })
	e := apperr.Newf(apperr.Invalid, "UNKNOWN_PARAMETER", "Unknown parameter %q; allowed: %s.", clip(name, 60), orNone(shown)).
		WithParams("name", clip(name, 60), "allowed", orNone(shown))
	e.Fields = []apperr.Field{{Path: clip(name, 60), Rule: "parameter.unknown", Message: "allowed: " + orNone(shown)}}
	return e
}
