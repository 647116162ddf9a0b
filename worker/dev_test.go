package worker

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"tenantry/internal/devstack"
	"tenantry/internal/ids"
)

const (
	tenantText    = "0190f5a0-0000-7000-8000-000000000001"
	operationText = "0190f5a0-0000-7000-8000-000000000002"
)

func someOperation(t *testing.T) ids.Operation {
	id, err := ids.ParseOperation(operationText)
	require.NoError(t, err)
	return id
}

func someTenant(t *testing.T) ids.Tenant {
	id, err := ids.ParseTenant(tenantText)
	require.NoError(t, err)
	return id
}

// devServer is a Temporal of the test's own. Temporal missing is a failure.
func devServer(t *testing.T, o devstack.TemporalOptions) *devstack.Temporal {
	t.Helper()
	o.Path = os.Getenv("TENANTRY_TEST_TEMPORAL_BIN")
	require.NotEmpty(t, o.Path, "TENANTRY_TEST_TEMPORAL_BIN names the temporal binary")
	o.LogPath = filepath.Join(t.TempDir(), "temporal.log")
	s, err := devstack.StartTemporal(t.Context(), o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Stop()) })
	return s
}

// dial answers a client; sealed unless codec is nil.
func dial(t *testing.T, address string, codec *Codec) client.Client {
	t.Helper()
	o := client.Options{HostPort: address, Namespace: devstack.TemporalNamespace}
	if codec != nil {
		var err error
		o, err = NewClientOptions(ClientConfig{Address: address, Namespace: devstack.TemporalNamespace, Codec: codec, Log: testLog(t)})
		require.NoError(t, err)
	}
	o.Logger = quiet{}
	c, err := client.NewLazyClient(o)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

// logs keeps what was logged, for assertions.
type logs struct {
	mu   sync.Mutex
	text []byte
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, p...)
	return len(p), nil
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.text)
}

func testLog(t *testing.T) *slog.Logger {
	t.Helper()
	l := &logs{}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(l.String())
		}
	})
	return slog.New(slog.NewTextHandler(l, nil))
}

type quiet struct{}

func (quiet) Debug(string, ...any) {}
func (quiet) Info(string, ...any)  {}
func (quiet) Warn(string, ...any)  {}
func (quiet) Error(string, ...any) {}

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}
