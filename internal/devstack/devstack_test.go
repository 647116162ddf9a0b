package devstack_test

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"tenantry/internal/devstack"
)

func query(t *testing.T, url, sql string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer func() { _ = conn.Close(context.Background()) }()
	var answer string
	require.NoError(t, conn.QueryRow(t.Context(), sql).Scan(&answer))
	return answer
}

func execute(t *testing.T, url, sql string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer func() { _ = conn.Close(context.Background()) }()
	_, err = conn.Exec(t.Context(), sql)
	require.NoError(t, err)
}

func TestStartPostgres_KeepsDataOverRestartAndLeavesNothing(t *testing.T) {
	t.Parallel()
	pg, err := devstack.StartPostgres(t.Context(), devstack.PostgresOptions{FsyncOff: true, MaxConnections: 50})
	require.NoError(t, err)
	first := pg.PID()
	require.Equal(t, "50", query(t, pg.URL, "SHOW max_connections"))
	require.Equal(t, "off", query(t, pg.URL, "SHOW fsync"))
	execute(t, pg.URL, "CREATE TABLE kept AS SELECT 'still here'::text AS what")
	execute(t, pg.URL, "CHECKPOINT")

	for _, mode := range []devstack.StopMode{devstack.Fast, devstack.Immediate} {
		require.NoError(t, pg.Restart(t.Context(), mode))
		require.NotEqual(t, first, pg.PID())
		require.Equal(t, "still here", query(t, pg.URL, "SELECT what FROM kept"))
	}
	last := pg.PID()
	require.NoError(t, pg.Close())
	require.ErrorIs(t, syscall.Kill(last, 0), syscall.ESRCH)
	require.NoDirExists(t, pg.Dir)
}

func TestStartPostgres_UsesTheClusterItFinds(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "pg")
	opts := devstack.PostgresOptions{Dir: dir, FsyncOff: true}
	pg, err := devstack.StartPostgres(t.Context(), opts)
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(pg.Dir) })
	system := query(t, pg.URL, "SELECT system_identifier::text FROM pg_control_system()")
	info, err := os.Stat(filepath.Join(pg.Dir, "superuser-password"))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	require.NoError(t, pg.Close())

	again, err := devstack.StartPostgres(t.Context(), opts)
	require.NoError(t, err)
	defer func() { require.NoError(t, again.Close()) }()
	require.Equal(t, system, query(t, again.URL, "SELECT system_identifier::text FROM pg_control_system()"))
}

func TestStartPostgres_NamesTheVariableOfATakenPort(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = l.Close() }()
	_, err = devstack.StartPostgres(t.Context(), devstack.PostgresOptions{
		FsyncOff: true, Port: l.Addr().(*net.TCPAddr).Port, PortVariable: "DEV_PG_PORT",
	})
	var taken *devstack.PortTakenError
	require.ErrorAs(t, err, &taken)
	require.ErrorContains(t, err, "DEV_PG_PORT")
}

func TestCheckPorts_NamesEveryTakenPort(t *testing.T) {
	t.Parallel()
	a, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = a.Close() }()
	b, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = b.Close() }()
	err = devstack.CheckPorts(
		devstack.Port{Part: "A", Variable: "PORT_A", Number: a.Addr().(*net.TCPAddr).Port},
		devstack.Port{Part: "B", Variable: "PORT_B", Number: b.Addr().(*net.TCPAddr).Port},
		devstack.Port{Part: "C", Variable: "PORT_C", Number: devstack.FreePort()},
	)
	require.ErrorContains(t, err, "PORT_A")
	require.ErrorContains(t, err, "PORT_B")
	require.NotContains(t, err.Error(), "PORT_C")
	err = devstack.CheckPorts(
		devstack.Port{Part: "C", Variable: "PORT_C", Number: 9}, devstack.Port{Part: "D", Variable: "PORT_D", Number: 9})
	require.ErrorContains(t, err, "PORT_D")
}

func redisSay(t *testing.T, r *devstack.Redis, line string) string {
	t.Helper()
	conn, err := net.Dial("tcp", devstack.Loopback(r.Port))
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	require.NoError(t, conn.SetDeadline(time.Now().Add(5*time.Second)))
	_, err = conn.Write([]byte(line + "\r\n"))
	require.NoError(t, err)
	buf := make([]byte, 256)
	n, err := conn.Read(buf)
	require.NoError(t, err)
	return strings.TrimSpace(string(buf[:n]))
}

func TestStartRedis_KeepsDataOnlyWithADirectory(t *testing.T) {
	t.Parallel()
	for _, kept := range []bool{true, false} {
		opts := devstack.RedisOptions{}
		want := "$-1"
		if kept {
			opts.Dir, want = t.TempDir(), "$1\r\nv"
		}
		r, err := devstack.StartRedis(t.Context(), opts)
		require.NoError(t, err)
		require.Equal(t, "+OK", redisSay(t, r, "SET k v"))
		require.NoError(t, r.Stop())
		require.False(t, r.Process().Alive())
		require.NoError(t, r.Start(t.Context()))
		require.Equal(t, want, redisSay(t, r, "GET k"))
		require.NoError(t, r.Stop())
	}
}

func TestStartTemporal_KeepsItsFile(t *testing.T) {
	t.Parallel()
	path := os.Getenv("TENANTRY_TEST_TEMPORAL_BIN")
	if path == "" {
		var err error
		path, err = devstack.EnsureTemporal(t.Context(), "../../bin", os.Stderr)
		require.NoError(t, err)
	}
	dir := t.TempDir()
	temporal, err := devstack.StartTemporal(t.Context(), devstack.TemporalOptions{
		Path: path, DBFile: filepath.Join(dir, "temporal.db"), LogPath: filepath.Join(dir, "temporal.log"),
	})
	require.NoError(t, err)
	require.NoError(t, temporal.Stop())
	// Search attributes that exist already must not be in the way.
	require.NoError(t, temporal.Start(t.Context()))
	require.NoError(t, temporal.Stop())
}

func TestProcess_ReportsItsLogWhenItEndsEarly(t *testing.T) {
	t.Parallel()
	p, err := devstack.Start(devstack.Command{
		Name: "broken", Path: "/bin/sh", Args: []string{"-c", "echo the reason; exit 3"},
		LogPath: filepath.Join(t.TempDir(), "broken.log"),
	})
	require.NoError(t, err)
	err = p.WaitReady(t.Context(), 10*time.Second, func(context.Context) error { return net.ErrClosed })
	require.ErrorContains(t, err, "the reason")
	require.ErrorContains(t, err, "exit status 3")
}

func TestProcess_StopKillsWhatIgnoresTheSignal(t *testing.T) {
	t.Parallel()
	log := filepath.Join(t.TempDir(), "deaf.log")
	p, err := devstack.Start(devstack.Command{
		Name: "deaf", Path: "/bin/sh", Args: []string{"-c", "trap '' TERM; echo up; while :; do sleep 1; done"},
		LogPath: log, StopTimeout: 100 * time.Millisecond,
	})
	require.NoError(t, err)
	require.NoError(t, p.WaitReady(t.Context(), 10*time.Second, func(context.Context) error {
		if !strings.Contains(p.LogTail(5), "up") {
			return net.ErrClosed
		}
		return nil
	}))
	require.ErrorContains(t, p.Stop(), "was killed")
	require.False(t, p.Alive())
	require.NoError(t, p.Stop(), "stopping twice is no error")
}
