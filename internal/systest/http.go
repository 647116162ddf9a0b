package systest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"strings"
	"time"
)

// newClient is a browser's view: {slug}.localhost is this machine, which not
// every resolver knows. No connection is kept, because the other side is killed
// often, but none asks to be closed either: after "Connection: close" a server
// of net/http hangs up on a body it has refused, and its answer may be lost.
func newClient() *http.Client {
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	return &http.Client{
		Timeout: 60 * time.Second,
		// Pages redirect; a test wants to see that.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			MaxIdleConnsPerHost: -1,
			DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				host, port, err := net.SplitHostPort(address)
				if err == nil && (host == "localhost" || strings.HasSuffix(host, ".localhost")) {
					address = net.JoinHostPort("127.0.0.1", port)
				}
				return dialer.DialContext(ctx, network, address)
			},
		},
	}
}

// Answer is a whole response.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// JSON reads the body into v.
func (a Answer) JSON(v any) error {
	if err := json.Unmarshal(a.Body, v); err != nil {
		return fmt.Errorf("%w in %s", err, a)
	}
	return nil
}

// String shows the answer in a failure.
func (a Answer) String() string { return fmt.Sprintf("%d %s", a.Status, bytes.TrimSpace(a.Body)) }

// problem is the body of an error (E2).
type problem struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Details []struct {
		Type  string `json:"type"`
		Debug struct {
			Reason    string `json:"reason"`
			RequestID string `json:"requestId"`
		} `json:"debug"`
	} `json:"details"`
}

func (a Answer) problem() problem {
	var p problem
	_ = json.Unmarshal(a.Body, &p) // the zero problem has no reason, which every caller looks for
	return p
}

// Code is the error's code ("already_exists"); Message what a person reads.
func (a Answer) Code() string { return a.problem().Code }

// Message is the error's text.
func (a Answer) Message() string { return a.problem().Message }

// Reason is the error's stable reason, empty when the body is no error.
func (a Answer) Reason() string {
	for _, d := range a.problem().Details {
		if strings.HasSuffix(d.Type, "ErrorInfo") {
			return d.Debug.Reason
		}
	}
	return ""
}

// RequestID is the request id in the error's body.
func (a Answer) RequestID() string {
	for _, d := range a.problem().Details {
		if strings.HasSuffix(d.Type, "RequestInfo") {
			return d.Debug.RequestID
		}
	}
	return ""
}

// Request is one HTTP request. Host replaces the URL's in the header.
type Request struct {
	Method, URL string
	Host        string
	Header      http.Header
	Body        []byte
	// Jar keeps cookies between requests, as a browser does.
	Jar http.CookieJar
}

// Do sends a request; an error is one of the connection.
func (s *System) Do(ctx context.Context, r Request) (Answer, error) {
	req, err := http.NewRequestWithContext(ctx, r.Method, r.URL, bytes.NewReader(r.Body))
	if err != nil {
		return Answer{}, err
	}
	for name, values := range r.Header {
		req.Header[http.CanonicalHeaderKey(name)] = values
	}
	req.Host = r.Host
	client := *s.client
	client.Jar = r.Jar
	resp, err := client.Do(req)
	if err != nil {
		return Answer{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 8<<20))
	return Answer{Status: resp.StatusCode, Header: resp.Header, Body: body}, err
}

// Call sends JSON (none when in is nil) with a bearer credential (none when empty).
func (s *System) Call(ctx context.Context, method, url, bearer string, in any) (Answer, error) {
	r := Request{Method: method, URL: url, Header: http.Header{}}
	if in != nil {
		body, err := json.Marshal(in)
		if err != nil {
			return Answer{}, err
		}
		r.Body = body
		r.Header.Set("Content-Type", "application/json")
	}
	if bearer != "" {
		r.Header.Set("Authorization", "Bearer "+bearer)
	}
	return s.Do(ctx, r)
}

// Get asks for a path of the central host (an empty slug) or of a tenant.
func (s *System) Get(ctx context.Context, slug, path, bearer string) (Answer, error) {
	return s.Call(ctx, http.MethodGet, s.at(slug, path), bearer, nil)
}

// Post sends JSON to a path of the central host (an empty slug) or of a tenant.
func (s *System) Post(ctx context.Context, slug, path, bearer string, in any) (Answer, error) {
	return s.Call(ctx, http.MethodPost, s.at(slug, path), bearer, in)
}

func (s *System) at(slug, path string) string {
	if slug == "" {
		return s.URL(path)
	}
	return s.TenantURL(slug, path)
}

func newJar() http.CookieJar {
	jar, _ := cookiejar.New(nil) // fails never without options
	return jar
}

// poll calls fn every interval until it answers true, fails, or ctx ends; the
// error then shows what describes the wait.
func poll(ctx context.Context, interval time.Duration, what func() string, fn func(context.Context) (bool, error)) error {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		done, err := fn(ctx)
		if err != nil || done {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", what(), ctx.Err())
		case <-tick.C:
		}
	}
}

// Until polls fn, ten times a second, until it answers true or fails.
func Until(ctx context.Context, what string, fn func(context.Context) (bool, error)) error {
	return poll(ctx, 100*time.Millisecond, func() string { return "waiting until " + what }, fn)
}
