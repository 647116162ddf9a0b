package main

import (
	"context"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"time"

	"tenantry/internal/devstack"
)

// codecProxy stands between the Temporal UI and the codec server. The UI can be
// given an endpoint on its command line but no token, and a token on a command
// line is read by everyone who may call ps. So the token stays in here, and is
// added only for the UI's own pages, which the browser names in Origin.
type codecProxy struct {
	listener net.Listener
	server   *http.Server
}

func (s *stack) startCodecProxy(context.Context) error {
	l, err := net.Listen("tcp", devstack.Loopback(0))
	if err != nil {
		return err
	}
	origins := strings.Split(s.addresses()[prefix+"CODEC_ORIGINS"], ",")
	target := &url.URL{Scheme: "http", Host: devstack.Loopback(s.config.codec.Number)}
	forward := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		if settings, err := s.installation(); err == nil {
			r.Out.Header.Set("Authorization", "Bearer "+settings[codecToken])
		}
	}}
	s.codecProxy = &codecProxy{listener: l, server: &http.Server{
		ReadHeaderTimeout: 5 * time.Second,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !slices.Contains(origins, r.Header.Get("Origin")) {
				http.Error(w, "only for the Temporal UI's pages", http.StatusForbidden)
				return
			}
			forward.ServeHTTP(w, r)
		}),
	}}
	go func() { _ = s.codecProxy.server.Serve(l) }()
	s.add("the Temporal UI's decoder", nil, s.codecProxy.server.Close)
	return nil
}

// codecURL is what the UI's pages call.
func (s *stack) codecURL() string { return "http://" + s.codecProxy.listener.Addr().String() }
