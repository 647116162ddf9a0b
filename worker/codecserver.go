package worker

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"

	commonpb "go.temporal.io/api/common/v1"
	"google.golang.org/protobuf/encoding/protojson"
)

// maxCodecBody bounds a request; Temporal's own limit of a payload is 2 MB,
// and a page of a history holds several.
const maxCodecBody = 16 << 20

// CodecServerConfig configures the codec server.
type CodecServerConfig struct {
	Codec *Codec
	// Token is the shared secret, at least 16 characters.
	Token string
	// Origins are the exact origins of Temporal UIs, for example
	// http://localhost:8233.
	Origins []string
	Log     *slog.Logger
}

type codecServer struct {
	codec   *Codec
	token   [sha256.Size]byte
	origins []string
	log     *slog.Logger
}

// NewCodecServer answers the handler of `tenantry codec`: the Temporal UI and
// CLI send it payloads to be decoded (https://docs.temporal.io/codec-server).
//
// It only decodes. It is reached by loopback names alone, so no page of a
// rebound domain can use it, and needs the token: as `Authorization: Bearer`
// (the CLI's --codec-auth), or as the first part of the path, because the UI
// can be given an endpoint and no token of its own.
func NewCodecServer(c CodecServerConfig) (http.Handler, error) {
	if c.Codec == nil {
		return nil, errors.New("codec server: no payload codec")
	}
	if len(c.Token) < 16 || strings.ContainsAny(c.Token, "/?#%") {
		return nil, errors.New("codec server: the token needs at least 16 characters, without / ? # %")
	}
	if slices.Contains(c.Origins, "*") {
		return nil, errors.New("codec server: origins are named one by one, not by *")
	}
	return &codecServer{codec: c.Codec, token: sha256.Sum256([]byte(c.Token)), origins: c.Origins, log: c.Log}, nil
}

// ListenLoopback listens for the codec server, on this machine only.
func ListenLoopback(address string) (net.Listener, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil || !loopbackName(host) {
		return nil, fmt.Errorf("codec server: %q is not host:port of this machine (127.0.0.1, ::1 or localhost)", address)
	}
	return net.Listen("tcp", address)
}

func loopbackName(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// ServeHTTP checks in this order: where from, who, what.
func (s *codecServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	if !loopbackName(hostOnly(r.Host)) {
		s.refuse(w, http.StatusForbidden, "host", "Use a loopback address.")
		return
	}
	if origin := r.Header.Get("Origin"); origin != "" {
		w.Header().Add("Vary", "Origin")
		if !slices.Contains(s.origins, origin) {
			s.refuse(w, http.StatusForbidden, "origin", "This origin is not allowed.")
			return
		}
		w.Header().Set("Access-Control-Allow-Origin", origin)
	}
	if r.Method == http.MethodOptions {
		preflight(w)
		return
	}
	verb, given := call(r)
	if !s.authorized(given) {
		s.refuse(w, http.StatusUnauthorized, "token", "A valid token is needed.")
		return
	}
	switch {
	case verb != "decode" && verb != "encode":
		s.refuse(w, http.StatusNotFound, "path", "POST /decode.")
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", "POST, OPTIONS")
		s.refuse(w, http.StatusMethodNotAllowed, "method", "POST /decode.")
	default:
		s.answer(w, r, verb)
	}
}

func preflight(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Access-Control-Allow-Methods", "POST")
	// What the UI sends; Authorization-Extras comes with its own sign-on.
	h.Set("Access-Control-Allow-Headers", "Authorization, Authorization-Extras, Content-Type, X-Namespace")
	h.Set("Access-Control-Max-Age", "600")
	w.WriteHeader(http.StatusNoContent)
}

// call splits /decode or /{token}/decode.
func call(r *http.Request) (verb, token string) {
	path := strings.TrimPrefix(r.URL.Path, "/")
	if first, rest, ok := strings.Cut(path, "/"); ok {
		return rest, first
	}
	token, _ = strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	return path, token
}

// authorized compares hashes, so neither content nor length shows in time.
func (s *codecServer) authorized(given string) bool {
	h := sha256.Sum256([]byte(given))
	return subtle.ConstantTimeCompare(h[:], s.token[:]) == 1
}

// answer decodes. The CLI's queries encode their empty arguments first, so
// encoding nothing is allowed; encoding something is not.
func (s *codecServer) answer(w http.ResponseWriter, r *http.Request, verb string) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxCodecBody))
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		s.refuse(w, http.StatusRequestEntityTooLarge, "size", fmt.Sprintf("At most %d bytes.", maxCodecBody))
		return
	}
	var in commonpb.Payloads
	if err != nil || protojson.Unmarshal(body, &in) != nil {
		s.refuse(w, http.StatusBadRequest, "body", "The body must be temporal.api.common.v1.Payloads in JSON.")
		return
	}
	if verb == "encode" && len(in.GetPayloads()) > 0 {
		s.refuse(w, http.StatusForbidden, "encode", "This server only decodes; start workflows without --codec-endpoint.")
		return
	}
	plain, err := s.codec.Decode(in.GetPayloads())
	if err != nil {
		s.refuse(w, http.StatusBadRequest, "payload", "A payload does not open with these keys.")
		return
	}
	out, err := protojson.Marshal(&commonpb.Payloads{Payloads: plain})
	if err != nil {
		s.refuse(w, http.StatusInternalServerError, "internal", "The answer could not be written.")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(out) // the caller has gone; nothing to do about it
}

// refuse logs the code alone: paths hold the token, bodies hold payloads.
func (s *codecServer) refuse(w http.ResponseWriter, status int, code, message string) {
	s.log.Warn("codec request refused", "code", code, "status", status)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"code": code, "message": message})
}

func hostOnly(hostport string) string {
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		return h
	}
	return strings.Trim(hostport, "[]")
}
