package api

import (
	"net/http"
	"net/netip"
	"strings"

	"tenantry/api/edge"
)

// The headers that count from a trusted proxy and from nobody else (T1).
// Forwarded (RFC 7239) never counts: a proxy that sets these and passes that one
// on, as most do, would let its clients choose.
const (
	forwardedFor   = "X-Forwarded-For"
	forwardedHost  = "X-Forwarded-Host"
	forwardedProto = "X-Forwarded-Proto"
)

// proxies are the networks of the proxies in front of us.
type proxies []netip.Prefix

func (p proxies) trust(ip netip.Addr) bool {
	for _, network := range p {
		if network.Contains(ip) {
			return true
		}
	}
	return false
}

// client answers who is behind the peer: walking from the right, the first
// address that is none of ours, because everything left of it is what that one
// said. An entry that is no address ends the walk at the proxy that wrote it.
func (p proxies) client(peer netip.Addr, h http.Header) netip.Addr {
	chain := strings.Join(h.Values(forwardedFor), ",")
	for at := peer; ; {
		if !p.trust(at) || chain == "" {
			return at
		}
		cut := strings.LastIndexByte(chain, ',')
		hop, ok := parseHop(strings.Trim(chain[cut+1:], " \t"))
		if !ok {
			return at
		}
		at, chain = hop, chain[:max(cut, 0)]
	}
}

// parseHop reads an address as proxies write it, with or without a port.
func parseHop(text string) (netip.Addr, bool) {
	if inner, ok := strings.CutPrefix(text, "["); ok && strings.HasSuffix(inner, "]") {
		text = strings.TrimSuffix(inner, "]")
	}
	ip, err := netip.ParseAddr(text)
	if err != nil {
		with, portErr := netip.ParseAddrPort(text)
		ip, err = with.Addr(), portErr
	}
	return plain(ip), err == nil
}

// plain is an address without what tells nothing about the client: an IPv4
// address in IPv6 notation, a zone.
func plain(ip netip.Addr) netip.Addr { return ip.Unmap().WithZone("") }

// clientIP finds out who is calling. Nothing that a client says counts, only
// what a trusted proxy says.
func (s *Server) clientIP(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if peer, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
			ip := plain(peer.Addr())
			if s.proxies.trust(ip) {
				r = asForwarded(w, r)
			}
			edge.From(r.Context()).ClientIP = s.proxies.client(ip, r.Header)
		}
		next.ServeHTTP(w, r)
	})
}

// asForwarded is the request as the trusted proxy got it. A header that comes
// twice, or as a list, does not count: somebody else has written into it.
func asForwarded(w http.ResponseWriter, r *http.Request) *http.Request {
	if host, ok := single(r.Header, forwardedHost); ok {
		r = r.WithContext(r.Context()) // a copy
		r.Host = host
	}
	if proto, ok := single(r.Header, forwardedProto); ok && strings.EqualFold(proto, "http") {
		w.Header().Del(headerHSTS) // RFC 6797, 7.2: not over plain HTTP
	}
	return r
}

func single(h http.Header, name string) (string, bool) {
	values := h.Values(name)
	if len(values) != 1 || values[0] == "" || strings.ContainsAny(values[0], ", \t") {
		return "", false
	}
	return values[0], true
}
