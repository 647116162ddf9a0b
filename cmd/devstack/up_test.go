package main

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tenantry/internal/devstack"
)

// setup makes a stack's configuration on free ports, with this test binary as tenantry.
func setup(t *testing.T) *config {
	t.Helper()
	t.Setenv("DEVSTACK_TEST_PLAYS_TENANTRY", "1")
	t.Setenv("TENANTRY_PROVISIONER_URL", "from the shell that started the stack")
	t.Chdir("../..") // where go.mod is
	self, err := os.Executable()
	require.NoError(t, err)
	// Postgres' user must be able to pass, which t.TempDir does not promise.
	dir, err := os.MkdirTemp("", "devstack-test-")
	require.NoError(t, err)
	require.NoError(t, os.Chmod(dir, 0o755))
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	c, err := parseConfig([]string{"--dir", filepath.Join(dir, "dev"), "--tenantry", self})
	require.NoError(t, err)
	for _, port := range c.ports() {
		port.Number = devstack.FreePort()
	}
	// The API does not send mail, but its stand-in does.
	t.Setenv("FAKE_SMTP_URL", "smtp://"+devstack.Loopback(c.smtp.Number))
	return c
}

// start runs up and returns when the demo tenants are there.
func start(t *testing.T, c *config) (stop context.CancelFunc, ended <-chan error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() { result <- up(ctx, c) }()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(2 * time.Minute)
	for {
		select {
		case err := <-result:
			cancel()
			require.FailNow(t, "the stack ended", "%v", err)
		case <-deadline:
			cancel()
			require.FailNow(t, "the stack did not start")
		case <-tick.C:
			s := &stack{config: c}
			if s.login(t.Context(), demoTenants[len(demoTenants)-1]) == nil {
				return cancel, result
			}
		}
	}
}

func TestUp_StartsEverythingTwiceAndLeavesNothingBehind(t *testing.T) {
	c := setup(t)
	for range 2 {
		stop, ended := start(t, c)
		require.ErrorIs(t, reset(c), errRunning)
		require.ErrorIs(t, up(t.Context(), c), errRunning)
		dotEnv, err := os.ReadFile(c.path(".env"))
		require.NoError(t, err)
		require.Contains(t, string(dotEnv), "TENANTRY_OPERATOR_KEY=operator-key\n")
		require.Contains(t, string(dotEnv), "TENANTRY_PROVISIONER_URL=provisioner\n")
		info, err := os.Stat(c.path(".env"))
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
		stop()
		require.NoError(t, <-ended)
		var ports []devstack.Port
		for _, port := range c.ports() {
			ports = append(ports, *port)
		}
		require.NoError(t, devstack.CheckPorts(ports...), "every port is free again")
	}
	require.NoError(t, reset(c))
	require.NoDirExists(t, c.dir)
}

func TestUp_StopsEverythingWhenAPartDies(t *testing.T) {
	c := setup(t)
	stop, ended := start(t, c)
	defer stop()
	pid, err := os.ReadFile(c.path("pg", "data", "postmaster.pid"))
	require.NoError(t, err)
	postmaster, err := strconv.Atoi(strings.SplitN(string(pid), "\n", 2)[0])
	require.NoError(t, err)
	require.NoError(t, syscall.Kill(postmaster, syscall.SIGKILL))
	require.ErrorIs(t, <-ended, exitCode(1))
	require.NoError(t, devstack.CheckPorts(c.api, c.redis, c.temporal, c.worker))
}

func TestUp_NamesTakenPortsBeforeItStartsAnything(t *testing.T) {
	c := setup(t)
	for _, port := range []*devstack.Port{&c.redis, &c.smtp} {
		l, err := net.Listen("tcp", devstack.Loopback(port.Number))
		require.NoError(t, err)
		defer func() { _ = l.Close() }()
	}
	err := up(t.Context(), c)
	require.ErrorContains(t, err, "DEV_REDIS_PORT")
	require.ErrorContains(t, err, "DEV_SMTP_PORT")
	require.NoDirExists(t, c.path("pg"))
}

func TestReset_RefusesADirectoryItDidNotMake(t *testing.T) {
	c := setup(t)
	require.NoError(t, os.MkdirAll(c.path("precious"), 0o755))
	require.ErrorContains(t, reset(c), "was not made by devstack")
	require.DirExists(t, c.path("precious"))
}

func TestExecute_PassesTheExitCodeOn(t *testing.T) {
	t.Parallel()
	require.NoError(t, execute(t.Context(), []string{"true"}, nil))
	require.ErrorIs(t, execute(t.Context(), []string{"sh", "-c", "exit 7"}, nil), exitCode(7))
	require.ErrorIs(t, execute(t.Context(), []string{"sh", "-c", "kill -9 $$"}, nil), exitCode(137))
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, execute(ctx, []string{"sleep", "60"}, nil), exitCode(130))
}
