package test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tenantry/internal/systest"
)

// heavy is a body that costs more than it should.
type heavy struct {
	name     string
	encoding string
	body     func() io.Reader
	status   int
	reason   string
}

// bomb is a gzip body that unpacks to n bytes of JSON that never ends.
func bomb(t *testing.T, n int) []byte {
	t.Helper()
	var out bytes.Buffer
	z, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	require.NoError(t, err)
	_, err = z.Write([]byte(`{"name":"`))
	require.NoError(t, err)
	block := bytes.Repeat([]byte("a"), 1<<20)
	for range n >> 20 {
		_, err = z.Write(block)
		require.NoError(t, err)
	}
	require.NoError(t, z.Close())
	return out.Bytes()
}

// endless is a body of n bytes without a Content-Length.
type endless struct{ left int }

func (e *endless) Read(p []byte) (int, error) {
	if e.left <= 0 {
		return 0, io.EOF
	}
	n := min(len(p), e.left)
	for i := range n {
		p[i] = '['
	}
	e.left -= n
	return n, nil
}

func heavies(t *testing.T) []heavy {
	text := func(s string) func() io.Reader { return func() io.Reader { return strings.NewReader(s) } }
	packed := bomb(t, 256<<20)
	require.Less(t, len(packed), 1<<20, "it passes the limit of what is sent")
	nested := strings.Repeat(`{"settings":`, 80_000)
	return []heavy{
		{"oversized", "", text(`{"name":"` + strings.Repeat("x", 3<<20) + `"}`), 413, "BODY_TOO_LARGE"},
		{"oversized, length unknown", "", func() io.Reader { return &endless{4 << 20} }, 413, "BODY_TOO_LARGE"},
		{"a gzip bomb", "gzip", func() io.Reader { return bytes.NewReader(packed) }, 413, "BODY_TOO_LARGE"},
		{"nested deep", "", text(nested), 400, "MALFORMED_BODY"},
		{"nested deep, closed", "", text(strings.Repeat("[", 400_000) + strings.Repeat("]", 400_000)), 400, "MALFORMED_BODY"},
		{"a million members", "", text(`{` + strings.Repeat(`"a":1,`, 160_000) + `"a":1}`), 400, "MALFORMED_BODY"},
		{"half a gzip", "gzip", func() io.Reader { return bytes.NewReader(packed[:200]) }, 0, ""},
	}
}

// TestHeavyBodies_AreRefusedInBoundedMemory is attack 15 of the security
// baseline: oversized, nested, packed and slow bodies at every door of the
// real process. Each gets a bounded error, others are served meanwhile, and
// the process does not grow with them.
func TestHeavyBodies_AreRefusedInBoundedMemory(t *testing.T) {
	t.Parallel()
	s := own(t, systest.Options{Env: map[string]string{"TENANTRY_FLOOD_PER_SECOND": "100000", "TENANTRY_RATE_WRITE": "off", "TENANTRY_LOG_LEVEL": "error"}})
	// Collecting often, its memory is what it holds, not the garbage of some minutes.
	require.NoError(t, s.StopAPI())
	require.NoError(t, s.StartAPI(within(t, time.Minute), "GOGC=20"))
	_, token := tenant(t, s, systest.NewOrder("heavy"))
	all := heavies(t)
	attack := func(rounds int) {
		for range rounds {
			var both sync.WaitGroup
			for _, h := range all {
				for _, path := range []string{"/v1/tenants", "/tenantry.tenants.v1.TenantService/CreateTenant", "/v1/hooks/provisioning/" + s.Hook.Source} {
					both.Go(func() { throw(t, s, h, path) })
				}
			}
			both.Go(func() { throwGRPC(t, s, bomb(t, 64<<20)) })
			both.Wait()
		}
	}
	attack(2)
	base, stop := residentMiB(t, s.API()), watchRSS(t, s.API())
	attack(8)
	slow := besiege(t, s, 75)
	asked := time.Now()
	require.Equal(t, []string{"owner"}, whoAmI(t, s, "heavy", token).Roles, "others are served")
	require.Less(t, time.Since(asked), 5*time.Second)
	slow()
	peak := stop()
	t.Logf("memory: %d MiB after the first attacks, at most %d in the others", base, peak)
	require.Less(t, peak, base+64, "MiB; the first attacks left %d", base)
	require.Equal(t, []string{"owner"}, whoAmI(t, s, "heavy", token).Roles)
	clean(t, s)
}

// throw sends one heavy body. The hook reads a body before it judges its
// signature, the others the credential before the body: either refusal will do
// there, none of them may be a 5xx.
func throw(t *testing.T, s *systest.System, h heavy, path string) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL(path), h.body())
	if err != nil {
		t.Error(err)
		return
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+s.OperatorKey)
	if h.encoding != "" {
		req.Header.Set("Content-Encoding", h.encoding)
	}
	resp, err := steadyClient(s).Do(req)
	if err != nil {
		t.Errorf("%s at %s: %v", h.name, path, err)
		return
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	a := systest.Answer{Status: resp.StatusCode, Header: resp.Header, Body: text}
	if err != nil || !json.Valid(text) || a.Status < 400 || a.Status >= 500 || a.RequestID() == "" || len(text) > 4096 {
		t.Errorf("%s at %s: %v %.300s", h.name, path, err, a)
	}
	if h.status != 0 && !strings.HasPrefix(path, "/v1/hooks/") && (a.Status != h.status || a.Reason() != h.reason) {
		t.Errorf("%s at %s: want %d %s, got %.300s", h.name, path, h.status, h.reason, a)
	}
}

// throwGRPC sends a compressed gRPC message that unpacks to far more.
func throwGRPC(t *testing.T, s *systest.System, packed []byte) {
	h2 := http2Client(s)
	defer h2.CloseIdleConnections()
	frame := append([]byte{1}, binary.BigEndian.AppendUint32(nil, uint32(len(packed)))...) //nolint:gosec // far below 4 GiB
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL("/tenantry.tenants.v1.TenantService/CreateTenant"), bytes.NewReader(append(frame, packed...)))
	if err != nil {
		t.Error(err)
		return
	}
	req.Header.Set("Content-Type", "application/grpc+proto")
	req.Header.Set("Grpc-Encoding", "gzip")
	req.Header.Set("Te", "trailers")
	req.Header.Set("Authorization", "Bearer "+s.OperatorKey)
	resp, err := h2.Do(req)
	if err != nil {
		t.Errorf("a gRPC bomb: %v", err)
		return
	}
	defer func() { _ = resp.Body.Close() }()
	_, err = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<20))
	status := resp.Trailer.Get("Grpc-Status") + resp.Header.Get("Grpc-Status")
	if err != nil || resp.StatusCode != http.StatusOK || (status != "8" && status != "3") { // resource_exhausted, invalid_argument
		t.Errorf("a gRPC bomb: %v, HTTP %d, gRPC %q", err, resp.StatusCode, status)
	}
}

// http2Client is one with connections of its own, without TLS.
func http2Client(s *systest.System) *http.Client {
	client := steadyClient(s)
	transport := client.Transport.(*http.Transport)
	transport.Protocols = new(http.Protocols)
	transport.Protocols.SetUnencryptedHTTP2(true)
	return client
}
