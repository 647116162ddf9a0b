package api

import (
	"context"
	"encoding/base64"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"tenantry/api/edge"
	"tenantry/internal/clock"
)

const jwksPath = "/.well-known/jwks.json"

// jwk is a public key of RFC 8037.
type jwk struct {
	KTY string `json:"kty"`
	CRV string `json:"crv"`
	KID string `json:"kid"`
	Use string `json:"use"`
	Alg string `json:"alg"`
	X   string `json:"x"`
}

// serveJWKS answers the keys that verify the tenant's access tokens (RFC
// 7517). Its cache time bounds how late a verifier learns of a new key.
func (s *Server) serveJWKS(w http.ResponseWriter, r *http.Request) {
	call := edge.From(r.Context())
	if !reading(r) {
		s.failMethod(w, r, []string{http.MethodGet, http.MethodHead})
		return
	}
	if call.Central {
		s.fail(w, r, s.errWrongHost(false))
		return
	}
	set := struct {
		Keys []jwk `json:"keys"`
	}{Keys: []jwk{}}
	for _, k := range call.Tenant.LiveKeys(s.now()) {
		set.Keys = append(set.Keys, jwk{
			KTY: "OKP", CRV: "Ed25519", KID: k.ID.String(), Use: "sig", Alg: "EdDSA", X: base64.RawURLEncoding.EncodeToString(k.Key),
		})
	}
	w.Header().Set("Cache-Control", "public, max-age=60")
	writeJSON(w, http.StatusOK, set)
}

func reading(r *http.Request) bool { return r.Method == http.MethodGet || r.Method == http.MethodHead }

// probes answers the orchestrator, at any host and before the flood guard:
// a probe often comes from the address that all clients come from.
func (s *Server) probes(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/livez" && r.URL.Path != "/readyz" {
			next.ServeHTTP(w, r)
			return
		}
		if !reading(r) {
			s.failMethod(w, r, []string{http.MethodGet, http.MethodHead})
			return
		}
		if r.URL.Path == "/livez" {
			writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
			return
		}
		failing := s.ready.failing(r.Context())
		if len(failing) > 0 {
			writeJSON(w, http.StatusServiceUnavailable, map[string]any{"status": "not ready", "failing": failing})
			return
		}
		writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
	})
}

// readiness asks at most once a second, however many ask it.
type readiness struct {
	ask func(context.Context) map[string]error
	now clock.Clock
	log *slog.Logger

	mu    sync.Mutex
	at    time.Time
	names []string
}

func (p *readiness) failing(ctx context.Context) []string {
	if p.ask == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	if age := now.Sub(p.at); age >= 0 && age < time.Second {
		return p.names
	}
	// Detached: a prober that leaves must not make the next one read "failing".
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
	defer cancel()
	p.names = nil
	for name, err := range p.ask(ctx) {
		if err != nil {
			p.names = append(p.names, name)
			p.log.WarnContext(ctx, "not ready", slog.String("part", name), slog.String("error", err.Error()))
		}
	}
	slices.Sort(p.names)
	p.at = now
	return p.names
}
