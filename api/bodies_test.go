package api

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	authv1 "tenantry/api/gen/tenantry/auth/v1"
	"tenantry/internal/apperr"
)

var (
	here   = netip.MustParseAddr("127.0.0.1")
	nobody = netip.MustParseAddr("2001:db8::1")
)

// networks counts those that use a place or wait for one.
func (p *places) networks() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.of)
}

// fill takes every place of a network until the function it answers is called.
func fill(t *testing.T, p *places, ip netip.Addr) (empty func()) {
	t.Helper()
	var all []func()
	for range maxLargeOfOne {
		leave, err := p.take(t.Context(), ip)
		require.NoError(t, err)
		all = append(all, leave)
	}
	return func() {
		for _, leave := range all {
			leave()
		}
	}
}

func TestPlaces_OneNetworkKeepsOutNobodyElse(t *testing.T) {
	t.Parallel()
	p := newPlaces()
	p.wait = 20 * time.Millisecond
	empty := fill(t, p, netip.MustParseAddr("2001:db8:1::1"))
	_, err := p.take(t.Context(), netip.MustParseAddr("2001:db8:1::2"))
	e, ok := apperr.As(err)
	require.True(t, ok, err)
	require.Equal(t, "FLOOD", e.Reason, "the same /64")
	require.Positive(t, e.RetryAfter)

	p.wait = time.Minute
	leave, err := p.take(t.Context(), netip.MustParseAddr("2001:db8:2::1"))
	require.NoError(t, err, "another network has its own")
	leave()
	came := make(chan error)
	go func() {
		leave, err := p.take(t.Context(), netip.MustParseAddr("2001:db8:1::2"))
		if err == nil {
			leave()
		}
		came <- err
	}()
	empty()
	require.NoError(t, <-came, "who waits comes in when one leaves")
	require.Zero(t, p.networks(), "nothing is kept of who has left")
}

func TestPlaces_AProcessHasAsManyAsItCanHold(t *testing.T) {
	t.Parallel()
	p := newPlaces()
	for i := range maxLarge / maxLargeOfOne {
		fill(t, p, netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}))
	}
	p.wait = 20 * time.Millisecond
	_, err := p.take(t.Context(), nobody)
	e, ok := apperr.As(err)
	require.True(t, ok, err)
	require.Equal(t, "LARGE_BODIES", e.Reason)
	require.Equal(t, maxLarge/maxLargeOfOne, p.networks(), "who was refused is forgotten")

	ended, end := context.WithCancel(t.Context())
	end()
	_, err = p.take(ended, nobody)
	require.ErrorIs(t, err, context.Canceled, "a request that has ended says so")
}

// What takes a place, and when.
func TestBody_TakesAPlaceBeforeItGrows(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		size   int
		header string
		after  int // bytes that are read without a place
		places int
	}{
		"small":           {smallBody - 1, "", smallBody - 1, 0},
		"large":           {smallBody + 1, "", smallBody, 1},
		"packed":          {100, "Content-Encoding", 100, 1},
		"packed by gRPC":  {100, "Grpc-Encoding", 0, 1},
		"packed and long": {smallBody + 1, "Content-Encoding", smallBody, 1},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			source, read, held := strings.NewReader(strings.Repeat("x", tt.size)), -1, 0
			r := httptest.NewRequest(http.MethodPost, "/", io.NopCloser(source))
			if tt.header != "" {
				r.Header.Set(tt.header, "gzip")
			}
			b := newBody(r, func() (func(), error) {
				read, held = tt.size-source.Len(), held+1
				return func() { held-- }, nil
			})
			text, err := io.ReadAll(b)
			require.NoError(t, err)
			require.Len(t, text, tt.size)
			require.Equal(t, tt.places, held)
			if tt.places > 0 {
				require.Equal(t, tt.after, read, "bytes read before the place")
			}
			b.Settle(smallBody + 1)
			require.Equal(t, tt.places, held, "kept while what it became is large")
			b.Settle(smallBody)
			require.Zero(t, held)
			_, err = b.Read(make([]byte, 1)) // as whoever drains the rest
			require.ErrorIs(t, err, io.EOF)
			require.Zero(t, held, "what has been unpacked needs no place again")
			b.end()
			require.Zero(t, held)
		})
	}
}

// Each door waits for a place with a large body, says so when there is none,
// and serves a small one meanwhile. A packed one is as large as it may become.
// Planted: no Enter of a GET, "packed" that never holds, a body that is never
// bounded: each turns one of these red.
func TestDoors_RefuseLargeBodiesWithoutAPlace(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.server.places.wait = 20 * time.Millisecond
	large := `{"email":"jo@acme.example","password":"` + strings.Repeat(" ", smallBody) + `"}`
	gz := map[string]string{"Content-Encoding": "gzip"}
	form := map[string]string{"Sec-Fetch-Site": "same-origin"}
	frame := append([]byte{1, 0, 0, 0, byte(gzipped(t, "x").Len())}, gzipped(t, "x").Bytes()...)
	get := getMe + "?encoding=json&compression=gzip&base64=1&message=" + url.QueryEscape(base64.RawURLEncoding.EncodeToString(gzipped(t, "{}").Bytes()))
	tests := map[string]func() call{
		"RPC":        func() call { return call{"POST", acmeHost, loginRPC, "", large, "", nil, nil} },
		"REST":       func() call { return call{"POST", acmeHost, "/v1/auth/login", "", large, "", nil, nil} },
		"hook":       func() call { return call{"POST", centralHost, hookPath, "", large, "", nil, nil} },
		"RPC, gzip":  func() call { return call{"POST", acmeHost, loginRPC, "", "", "", gz, gzipped(t, goodLogin)} },
		"REST, gzip": func() call { return call{"POST", acmeHost, "/v1/auth/login", "", "", "", gz, gzipped(t, goodLogin)} },
		"GET, gzip":  func() call { return call{"GET", acmeHost, get, userToken, "", "", nil, nil} },
		"gRPC-Web, gzip": func() call {
			return call{"POST", acmeHost, loginRPC, "", "", "application/grpc-web+proto", map[string]string{"Grpc-Encoding": "gzip"}, bytes.NewReader(frame)}
		},
		"page": func() call {
			return call{"POST", acmeHost, "/m/reset", "", strings.Repeat("x", smallBody+1), "application/x-www-form-urlencoded", form, nil}
		},
	}
	empty := fill(t, f.server.places, here)
	for name, c := range tests {
		a := f.do(t, c())
		switch name {
		case "page":
			require.Equal(t, http.StatusTooManyRequests, a.status, a.body)
		case "gRPC-Web, gzip":
			z, err := gzip.NewReader(strings.NewReader(a.body[5:])) // behind the frame's prefix
			require.NoError(t, err)
			trailers, err := io.ReadAll(z)
			require.NoError(t, err)
			require.Contains(t, string(trailers), "grpc-status: 8\r\n", "resource_exhausted")
		default:
			require.Equal(t, "FLOOD", a.problem(t).Reason, "%s: %s", name, a.body)
			require.Equal(t, "1", a.header.Get("Retry-After"), name)
		}
	}
	require.Equal(t, http.StatusOK, f.do(t, call{"POST", acmeHost, "/v1/auth/login", "", goodLogin, "", nil, nil}).status, "a small one needs none")
	empty()
	for name, c := range tests {
		require.NotEqual(t, http.StatusTooManyRequests, f.do(t, c()).status, name)
	}
	require.Eventually(t, func() bool { return f.server.places.networks() == 0 }, 10*time.Second, time.Millisecond, "every place came back")
}

// A call that waits long for its answer holds a place only for a message that
// is still large. Planted: no Settle in authorize.
func TestDoors_KeepNoPlaceForASmallMessage(t *testing.T) {
	t.Parallel()
	held := make(chan int, 1)
	f := setup(t)
	f.login = func(context.Context, *authv1.LoginRequest) (*authv1.LoginResponse, error) {
		held <- f.server.places.networks()
		return &authv1.LoginResponse{}, nil
	}
	padded := goodLogin + strings.Repeat(" ", smallBody)
	require.Equal(t, http.StatusOK, f.do(t, call{"POST", acmeHost, loginRPC, "", padded, "", nil, nil}).status)
	require.Zero(t, <-held)
	require.Equal(t, http.StatusOK, f.do(t, call{"POST", acmeHost, "/v1/auth/login", "", "", "", map[string]string{"Content-Encoding": "gzip"}, gzipped(t, goodLogin)}).status)
	require.Zero(t, <-held)
}
