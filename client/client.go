package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"
)

// Options say where and as whom a client calls.
type Options struct {
	// BaseURL is an organization's address, or the central one for operators.
	BaseURL string
	// Token is an access token, an API key or, at the central address, an
	// operator key. Empty: calls that take no credential.
	Token string
	// Language is what Accept-Language says ("de"); empty: the API's default.
	Language string
	// HTTP sends the requests; nil stands for http.DefaultClient. Redirects are
	// never followed.
	HTTP *http.Client
	// Attempts is how often a call is sent at most; 0 stands for 4.
	Attempts int
	// MaxWait is the longest pause between two attempts; an API that asks for
	// more is not waited for. 0 stands for 5 s.
	MaxWait time.Duration
	// Plain allows a credential over http to other machines than this one.
	Plain bool
}

// Client holds the clients of all services.
type Client struct {
	Services
	opts Options
}

// New checks the options. It does not connect.
func New(o Options) (*Client, error) {
	u, err := url.Parse(o.BaseURL)
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
		return nil, fmt.Errorf("client: BaseURL must be an address such as https://acme.tenantry.example, not %q", o.BaseURL)
	}
	if u.Scheme == "http" && o.Token != "" && !o.Plain && !loopback(u.Hostname()) {
		return nil, errors.New("client: a credential over plain http to another machine can be read on the way; use https, or say Plain")
	}
	o.BaseURL = u.Scheme + "://" + u.Host
	o.Attempts, o.MaxWait = cmp.Or(o.Attempts, 4), cmp.Or(o.MaxWait, 5*time.Second)
	c := &Client{opts: o}
	c.Services = newServices(connectTo(newSender(o), o.BaseURL))
	return c, nil
}

func connectTo(s *sender, base string) *connect.Client {
	return connect.NewClient(connecthttp.NewTransport(s, base, connecthttp.WithProtoJSON()))
}

// WithToken answers a client of the same address with another credential.
func (c *Client) WithToken(token string) (*Client, error) {
	o := c.opts
	o.Token = token
	return New(o)
}

// TenantURL is the address of an organization below the central one.
func TenantURL(central, slug string) (string, error) {
	u, err := url.Parse(central)
	if err != nil || u.Host == "" || slug == "" {
		return "", fmt.Errorf("client: no address of %q below %q", slug, central)
	}
	return u.Scheme + "://" + slug + "." + u.Host, nil
}

type keyOf struct{}

// WithIdempotencyKey gives the keyed calls under ctx this key, for callers who
// keep it themselves so as to repeat a call after a restart. One key is for one
// call.
func WithIdempotencyKey(ctx context.Context, key string) context.Context {
	return context.WithValue(ctx, keyOf{}, key)
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || (ip != nil && ip.IsLoopback())
}
