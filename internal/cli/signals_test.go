package cli_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"tenantry/internal/cli"
)

const childVariable = "CLI_TEST_SIGNALS_CHILD"

// TestMain runs this binary again as a process that drains for ever.
func TestMain(m *testing.M) {
	if os.Getenv(childVariable) == "" {
		os.Exit(m.Run())
	}
	ctx, stop := cli.WithSignals(context.Background())
	defer stop()
	fmt.Println("ready")
	<-ctx.Done()
	fmt.Println("draining")
	select {}
}

func TestSignals_TheFirstDrainsTheSecondEnds(t *testing.T) {
	t.Parallel()
	for first, second := range map[syscall.Signal]syscall.Signal{syscall.SIGTERM: syscall.SIGTERM, syscall.SIGINT: syscall.SIGINT} {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), childVariable+"=1")
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		lines := bufio.NewScanner(out)
		require.True(t, lines.Scan())
		require.NoError(t, cmd.Process.Signal(first))
		require.True(t, lines.Scan())
		require.Equal(t, "draining", lines.Text())
		require.NoError(t, cmd.Process.Signal(second))
		var exit *exec.ExitError
		require.ErrorAs(t, cmd.Wait(), &exit)
		require.Equal(t, map[syscall.Signal]int{syscall.SIGTERM: 143, syscall.SIGINT: 130}[second], exit.ExitCode())
	}
}
