package direct

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"tenantry/internal/devstack"
)

func TestOpen_TellsRunningFromUnknownFromUnreachable(t *testing.T) {
	t.Parallel()
	path := os.Getenv("TENANTRY_TEST_TEMPORAL_BIN")
	require.NotEmpty(t, path, "TENANTRY_TEST_TEMPORAL_BIN must name the temporal program")
	server, err := devstack.StartTemporal(t.Context(), devstack.TemporalOptions{Path: path, LogPath: t.TempDir() + "/log"})
	require.NoError(t, err)
	t.Cleanup(func() { _ = server.Stop() })
	tc, err := client.NewLazyClient(client.Options{HostPort: server.Address, Namespace: devstack.TemporalNamespace})
	require.NoError(t, err)
	t.Cleanup(tc.Close)

	// No worker: it runs for ever.
	_, err = tc.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: "w", TaskQueue: "nobody"}, "Nothing")
	require.NoError(t, err)
	running, err := open(t.Context(), tc, "w")
	require.NoError(t, err)
	require.True(t, running)
	running, err = open(t.Context(), tc, "unknown")
	require.NoError(t, err)
	require.False(t, running)
	require.NoError(t, tc.TerminateWorkflow(t.Context(), "w", "", ""))
	running, err = open(t.Context(), tc, "w")
	require.NoError(t, err)
	require.False(t, running)

	require.NoError(t, server.Stop())
	_, err = open(t.Context(), tc, "w")
	require.Error(t, err, "silence is not an answer")
}
