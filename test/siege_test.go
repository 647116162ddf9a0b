package test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tenantry/internal/systest"
)

// openings are how a request may begin that never ends: in its header, in a
// small body, in a body that is large but for a byte, in one that unpacks to
// the same and keeps back its end.
func openings(t *testing.T, s *systest.System) map[string]string {
	t.Helper()
	post := "POST /v1/tenants HTTP/1.1\r\nHost: localhost\r\n"
	body := post + "Content-Type: application/json\r\nAuthorization: Bearer " + s.OperatorKey + "\r\n"
	whole := bomb(t, 1<<20-1<<10)
	return map[string]string{
		"header": post,
		"body":   body + "Content-Length: 1000\r\n\r\n{",
		"large":  body + "Content-Length: 1048576\r\n\r\n" + strings.Repeat(" ", 1<<20-1<<10),
		"packed": body + fmt.Sprintf("Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s", len(whole)+100, whole),
	}
}

// besiege opens connections that never finish, each fed a byte now and then
// (Slowloris). The function it answers waits for all of them, and wants each to
// be over by the server's own clock: a header has 5 s, a body the deadline of
// the request.
func besiege(t *testing.T, s *systest.System, n int) (end func()) {
	t.Helper()
	ctx := within(t, 2*time.Minute)
	var all sync.WaitGroup
	var mu sync.Mutex
	lasted := map[string]time.Duration{}
	for kind, opening := range openings(t, s) {
		for range n {
			conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", s.Setting("API_ADDR"))
			require.NoError(t, err)
			all.Go(func() {
				began := time.Now()
				dribble(ctx, conn, opening)
				mu.Lock()
				defer mu.Unlock()
				lasted[kind] = max(lasted[kind], time.Since(began))
			})
		}
	}
	for range n {
		all.Go(func() {
			began := time.Now()
			holdHTTP2(ctx, t, s)
			mu.Lock()
			defer mu.Unlock()
			lasted["HTTP/2"] = max(lasted["HTTP/2"], time.Since(began))
		})
	}
	return func() {
		t.Helper()
		all.Wait()
		require.NoError(t, ctx.Err(), "the server has ended them")
		t.Logf("%d slow connections of each kind lasted at most %v", n, lasted)
		require.Less(t, lasted["header"], 30*time.Second)
		for _, kind := range []string{"body", "large", "packed", "HTTP/2"} {
			require.Less(t, lasted[kind], 60*time.Second, kind)
		}
	}
}

// dribble writes the opening, then a byte a second until the server answers or
// hangs up.
func dribble(ctx context.Context, conn net.Conn, opening string) {
	defer func() { _ = conn.Close() }()
	go func() { _, _ = io.WriteString(conn, opening) }() // the server may not read it all
	over := make(chan struct{})
	go func() {
		defer close(over)
		_, _ = bufio.NewReader(conn).ReadByte() // an answer and an end are both an end
	}()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-over:
			return
		case <-ctx.Done():
			return
		case <-tick.C:
			_, _ = fmt.Fprint(conn, "x") // hung up: over will say so
		}
	}
}

// holdHTTP2 sends a large body that never ends on an HTTP/2 connection of its
// own: what the server takes of it before anybody reads counts too.
func holdHTTP2(ctx context.Context, t *testing.T, s *systest.System) {
	client := http2Client(s)
	defer client.CloseIdleConnections()
	never, hold := io.Pipe()
	defer func() { _ = hold.Close() }()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL("/v1/tenants"), io.MultiReader(strings.NewReader(strings.Repeat(" ", 1<<20-1<<10)), never))
	if err != nil {
		t.Error(err)
		return
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+s.OperatorKey)
	resp, err := client.Do(req)
	if err != nil {
		return // cut off
	}
	_ = resp.Body.Close()
	if resp.ProtoMajor != 2 || resp.StatusCode < 400 {
		t.Errorf("held over HTTP/2: %s, %d", resp.Proto, resp.StatusCode)
	}
}
