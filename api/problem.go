package api

import (
	"mime"
	"net/http"
	"strconv"
	"strings"

	"tenantry/api/edge"
	"tenantry/internal/apperr"
	"tenantry/internal/i18n"
)

// contentProblem is RFC 9457's JSON.
const contentProblem = "application/problem+json"

// problemBody is the error as RFC 9457 tells it, with what our other form says
// as extension members.
type problemBody struct {
	// Type is where the reason is explained, a stable address.
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	// Instance is the path of the request, without its query.
	Instance   string         `json:"instance"`
	Code       string         `json:"code"`
	Reason     string         `json:"reason"`
	RequestID  string         `json:"request_id"`
	Errors     []problemField `json:"errors,omitempty"`
	RetryAfter int            `json:"retry_after,omitempty"`
}

type problemField struct {
	Field   string `json:"field"`
	Rule    string `json:"rule"`
	Message string `json:"message"`
}

// maxInstance bounds the path that is repeated to the client.
const maxInstance = 512

// wantsProblem reads Accept (RFC 9110, 12.5.1): the client must name the type,
// and like it no less than application/json. Who names both alike knows both,
// and calls that succeed have no other type than the second.
func wantsProblem(h http.Header) bool {
	accept := strings.Join(h.Values("Accept"), ",")
	if len(accept) > 1024 || !strings.Contains(strings.ToLower(accept), contentProblem) {
		return false
	}
	weights := map[string]float64{}
	for _, part := range strings.Split(accept, ",") {
		kind, params, err := mime.ParseMediaType(part)
		if err != nil {
			continue
		}
		q := 1.0
		if text, weighted := params["q"]; weighted {
			if q, err = strconv.ParseFloat(text, 64); err != nil || !(q >= 0 && q <= 1) {
				continue
			}
		}
		weights[kind] = max(q, weights[kind])
	}
	plain := 0.0
	for _, kind := range []string{contentJSON, "application/*", "*/*"} { // the most specific decides
		if q, named := weights[kind]; named {
			plain = q
			break
		}
	}
	return weights[contentProblem] > 0 && weights[contentProblem] >= plain
}

// status is the HTTP status of the error of a call.
func status(call *edge.Call) int {
	if call.HTTPStatus != 0 {
		return call.HTTPStatus
	}
	return statuses[codes[call.Failed.Kind]]
}

// writeProblem writes the error of the call.
func (s *Server) writeProblem(w http.ResponseWriter, r *http.Request, call *edge.Call) {
	e, l := call.Failed, call.Locale
	body := problemBody{
		Type: s.urls.Central() + "/docs/errors#" + e.Reason, Title: i18n.Reason(l, e.Reason, nil), Detail: detail(l, e),
		Status: status(call), Instance: r.URL.EscapedPath(), Code: codes[e.Kind].String(), Reason: e.Reason, RequestID: call.RequestID,
	}
	if len(body.Instance) > maxInstance {
		body.Instance = body.Instance[:maxInstance]
	}
	for _, f := range e.Fields {
		message := f.Message
		if l != i18n.English {
			message = l.Field(e, f)
		}
		body.Errors = append(body.Errors, problemField{Field: f.Path, Rule: f.Rule, Message: message})
	}
	if e.RetryAfter > 0 {
		body.RetryAfter, _ = strconv.Atoi(retryAfter(e.RetryAfter)) // our own digits
	}
	w.Header().Del("Content-Encoding")
	w.Header().Del("Content-Length")
	writeAs(w, contentProblem, body.Status, body)
}

// detail is about this very occurrence. The developers' text says most, and is
// English; in other languages it is the sentence for people.
func detail(l i18n.Locale, e *apperr.Error) string {
	if l == i18n.English {
		return e.Message
	}
	return l.Reason(e)
}

// problemWriter stands between Connect, which knows one form of errors, and
// the client: an error that our interceptors have noted on the call is told in
// the form that the client asked for, and Connect's own text goes nowhere.
type problemWriter struct {
	http.ResponseWriter
	told bool
	tell func(http.ResponseWriter)
	call *edge.Call
}

// asProblem wraps w where the client wants problems. gRPC has no Accept.
func (s *Server) asProblem(w http.ResponseWriter, r *http.Request) http.ResponseWriter {
	call := edge.From(r.Context())
	if !call.Problem || isGRPC(r) {
		return w
	}
	return &problemWriter{ResponseWriter: w, call: call, tell: func(w http.ResponseWriter) { s.writeProblem(w, r, call) }}
}

// WriteHeader tells the problem in place of an error.
func (w *problemWriter) WriteHeader(code int) {
	if code < http.StatusBadRequest || w.call.Failed == nil {
		w.ResponseWriter.WriteHeader(code)
		return
	}
	if !w.told {
		w.told = true
		w.tell(w.ResponseWriter)
	}
}

// Write drops the text that the problem stands for.
func (w *problemWriter) Write(b []byte) (int, error) {
	if w.told {
		return len(b), nil
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (w *problemWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
