package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"regexp"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"tenantry/api/edge"
	"tenantry/internal/apperr"
	"tenantry/internal/i18n"
	"tenantry/internal/ids"
	"tenantry/internal/tenants"
)

const (
	headerRequestID = "X-Request-Id"
	headerHSTS      = "Strict-Transport-Security"
	headerDevice    = "Tenantry-Device"
)

// defaultTimeout is above the longest wait an RPC offers, 25 s.
const defaultTimeout = 30 * time.Second

var (
	saneRequestID = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)
	hostLabel     = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
)

// responseWriter notes the status, and puts an error's own status (413, 415)
// in place of the one that the RPC door derives from the code.
type responseWriter struct {
	http.ResponseWriter
	call   *edge.Call
	grpc   bool
	status int
}

// WriteHeader sends the status.
func (w *responseWriter) WriteHeader(code int) {
	if code >= http.StatusBadRequest && w.call.HTTPStatus != 0 && !w.grpc {
		code = w.call.HTTPStatus
	}
	if w.status == 0 && code >= http.StatusOK {
		w.status = code
	}
	w.ResponseWriter.WriteHeader(code)
}

// Write sends a part of the body.
func (w *responseWriter) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(b)
}

// Flush is for gRPC, which streams.
func (w *responseWriter) Flush() {
	if f, ok := w.ResponseWriter.(http.Flusher); ok {
		f.Flush()
	}
}

// Unwrap is for http.ResponseController.
func (w *responseWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// begin opens the call: request id, the headers of every answer, and one log
// line at the end. The line holds no query, header, body or address.
func (s *Server) begin(next http.Handler) http.Handler {
	return http.HandlerFunc(func(raw http.ResponseWriter, r *http.Request) {
		started := time.Now()
		call := &edge.Call{
			RequestID: r.Header.Get(headerRequestID), Problem: wantsProblem(r.Header), UserAgent: r.UserAgent(), DeviceToken: r.Header.Get(headerDevice),
		}
		if l, asked := i18n.Negotiate(strings.Join(r.Header.Values("Accept-Language"), ",")); asked {
			call.AskedLocale = l
		}
		call.Locale = cmp.Or(call.AskedLocale, i18n.English)
		if !saneRequestID.MatchString(call.RequestID) {
			call.RequestID = ids.New().String()
		}
		w := &responseWriter{ResponseWriter: raw, call: call, grpc: isGRPC(r)}
		h := w.Header()
		h.Set(headerRequestID, call.RequestID)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-store")
		h.Set("Vary", "Accept, Accept-Language")
		if s.https {
			h.Set(headerHSTS, "max-age=31536000; includeSubDomains")
		}
		defer s.logAccess(r, w, started)
		defer s.count(w, started)
		next.ServeHTTP(w, r.WithContext(edge.With(r.Context(), call)))
	})
}

func (s *Server) logAccess(r *http.Request, w *responseWriter, started time.Time) {
	path := r.URL.Path
	if len(path) > 256 {
		path = path[:256]
	}
	attrs := []slog.Attr{
		slog.String("method", r.Method), slog.String("path", path), slog.Int("status", w.status),
		slog.Duration("duration", time.Since(started)), slog.String("request_id", w.call.RequestID),
	}
	if !w.call.Tenant.ID.IsZero() {
		attrs = append(attrs, slog.String("tenant_id", w.call.Tenant.ID.String()))
	}
	if w.call.Reason != "" {
		attrs = append(attrs, slog.String("reason", w.call.Reason))
	}
	s.log.LogAttrs(context.WithoutCancel(r.Context()), slog.LevelInfo, "request", attrs...)
}

// recover answers a panic; the stack goes to the log alone.
func (s *Server) recover(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			v := recover()
			if v == nil {
				return
			}
			if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				panic(v)
			}
			if rw, ok := w.(*responseWriter); ok && rw.status != 0 {
				// Half an answer is out: cut the connection, so nobody takes it for whole.
				s.log.ErrorContext(r.Context(), "panic after the answer began", slog.String("panic", panicError(v).Error()))
				panic(http.ErrAbortHandler)
			}
			s.fail(w, r, panicError(v))
		}()
		next.ServeHTTP(w, r)
	})
}

func panicError(v any) error { return fmt.Errorf("panic: %v\n%s", v, debug.Stack()) }

func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if wait := s.flood.take(edge.From(r.Context()).ClientIP); wait > 0 {
			s.fail(w, r, apperr.New(apperr.RateLimited, "FLOOD", "Too many requests from this address. Slow down.").WithRetryAfter(max(wait, time.Second)))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// limit bounds what a request may send and how long it may take.
func (s *Server) limit(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer swallow(w, r.Body, edge.From(r.Context()))
		if r.ContentLength > maxBody {
			s.fail(w, r, errTooLarge())
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), s.timeout)
		defer cancel()
		// A context does not wake a read that waits for a slow client; the
		// deadline comes after the context's, which says what happened.
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(s.timeout + s.timeout/16)) // a recorder has none
		r = r.WithContext(ctx)
		// The writer below ours: it closes the connection when too much comes.
		below := w
		if rw, ok := w.(*responseWriter); ok {
			below = rw.ResponseWriter
		}
		r.Body = http.MaxBytesReader(below, r.Body, maxBody)
		call := edge.From(ctx)
		in := newBody(r, func() (func(), error) { return s.places.take(ctx, call.ClientIP) })
		defer in.end()
		call.Room, r.Body = in, in
		next.ServeHTTP(w, r)
	})
}

// swallowed is how much of a refused body is read before the answer leaves.
const swallowed = 8 << 20

// swallow reads on, bounded in bytes and time, when a body was too large: a
// client that is cut off while it sends reports a broken pipe and never reads
// why.
func swallow(w http.ResponseWriter, body io.Reader, call *edge.Call) {
	if call.Reason != reasonTooLarge {
		return
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(2 * time.Second)) // a recorder has none
	_, _ = io.CopyN(io.Discard, body, swallowed)                                       // what is left is cut off
}

const reasonTooLarge = "BODY_TOO_LARGE"

func errTooLarge() error {
	return apperr.Newf(apperr.Invalid, reasonTooLarge, "The body is too large: at most %d bytes (1 MiB), sent and decompressed.", maxBody).
		WithParams("limit", strconv.Itoa(maxBody)).
		WithStatus(http.StatusRequestEntityTooLarge)
}

// resolveHost says whose host this is. The host is looked up, never trusted:
// it names a tenant and nothing else is derived from it.
func (s *Server) resolveHost(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		call := edge.From(r.Context())
		host := hostname(r.Host)
		if host == s.urls.BaseDomain() {
			call.Central = true
			next.ServeHTTP(w, r)
			return
		}
		entry, err := s.tenantOf(r.Context(), host)
		if err != nil {
			s.fail(w, r, err)
			return
		}
		call.Tenant = entry
		next.ServeHTTP(w, r)
	})
}

func (s *Server) tenantOf(ctx context.Context, host string) (tenants.Entry, error) {
	slug, below := strings.CutSuffix(host, "."+s.urls.BaseDomain())
	if !below || !hostLabel.MatchString(slug) {
		return tenants.Entry{}, s.errUnknownHost()
	}
	entry, err := s.resolve(ctx, slug)
	if apperr.KindOf(err) == apperr.NotFound {
		return tenants.Entry{}, s.errUnknownHost()
	}
	if err != nil {
		return tenants.Entry{}, err
	}
	if entry.State == tenants.Suspended || entry.State == tenants.Resuming {
		return tenants.Entry{}, apperr.New(apperr.Precondition, "TENANT_SUSPENDED", "This organization is suspended. Ask who runs this service.")
	}
	if entry.State != tenants.Active {
		return tenants.Entry{}, apperr.New(apperr.Precondition, "TENANT_NOT_ACTIVE", "This organization is not active.")
	}
	return entry, nil
}

func (s *Server) errUnknownHost() error {
	return apperr.Newf(apperr.NotFound, "UNKNOWN_HOST", "Nobody answers at this host. The central API is at %s, an organization at %s.",
		s.urls.Central(), s.urls.Tenant("{slug}"))
}

// hostname is the host without its port, lower case, without a final dot.
func hostname(hostport string) string {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

// tooLarge reports whether err says that the body's limit was passed.
func tooLarge(err error) bool {
	var limit *http.MaxBytesError
	return errors.As(err, &limit)
}
