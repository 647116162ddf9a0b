package connections

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	// hangUpGrace is how long the close of a connection waits for the server to
	// close its side.
	hangUpGrace = 5 * time.Second
	// cancelGrace is how long a server may take over a cancelled query before
	// its connection is cut.
	cancelGrace = 2 * time.Second
	// cleanupLimit bounds the wait for pgx to be done with a connection; pgx
	// itself stops after 15 s and then closes.
	cleanupLimit = 15*time.Second + 2*hangUpGrace
	// checkInterval makes a backend look, while it runs a query, whether its
	// client is still there (Postgres 14 and later). Without it a query whose
	// cancel request came too early or was caught runs on unseen.
	checkParam, checkInterval = "client_connection_check_interval", "1s"
)

// hangUpDial makes every Close a synchronous one.
//
// pgx sends Terminate and closes its socket without waiting, so for a moment
// after pgxpool's Close the backend still exists, and the pool opened in its
// place would be one too many for the server. Postgres keeps the socket open
// until the process is gone, exactly so that a client can wait for the end of
// file (socket_close in its pqcomm.c); this does.
//
// made is told of each connection.
func hangUpDial(dial pgconn.DialFunc, made func(*hangUpConn)) pgconn.DialFunc {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		h := &hangUpConn{Conn: conn}
		made(h)
		return h, nil
	}
}

type hangUpConn struct {
	net.Conn
	once     sync.Once
	err      error
	watchers atomic.Pointer[[]*activity]
}

// Read tells the watchers that the server is there.
func (c *hangUpConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if watchers := c.watchers.Load(); n > 0 && watchers != nil {
		for _, w := range *watchers {
			w.now()
		}
	}
	return n, err
}

func (c *hangUpConn) Close() error {
	c.once.Do(func() {
		deadline := time.Now().Add(hangUpGrace)
		if c.CloseWrite() == nil && c.SetReadDeadline(deadline) == nil {
			_, _ = io.Copy(io.Discard, c.Conn)
		}
		c.err = c.Conn.Close()
	})
	return c.err
}

// CloseWrite ends a backend that gets no Terminate: one whose login was
// abandoned midway, or that is busy and looks every checkInterval.
func (c *hangUpConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// awaitCleanup waits for the end of a connection that a cancelled query has
// broken: pgx cancels and closes those in the background. The place stays taken
// until the socket is closed.
func awaitCleanup(conn *pgx.Conn, raw *hangUpConn) {
	done := conn.PgConn().CleanupDone()
	if within(cancelGrace, done) {
		return
	}
	_ = raw.CloseWrite() // of TCP: that of TLS only writes an alert
	within(cleanupLimit, done)
}

func within(d time.Duration, done <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
		return false
	}
}
