package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"tenantry/internal/devstack"
)

// run executes a command beside servers of its own and exits with its code.
func run(ctx context.Context, args []string) error {
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	if len(args) == 0 {
		fmt.Fprint(os.Stderr, usage)
		return exitCode(2)
	}
	pgBin, err := devstack.EnsurePostgres(ctx, os.Stderr)
	if err != nil {
		return err
	}
	redisPath, err := devstack.EnsureRedis(ctx, os.Stderr)
	if err != nil {
		return err
	}
	temporal, err := devstack.EnsureTemporal(ctx, "bin", os.Stderr)
	if err != nil {
		return err
	}
	pg, err := devstack.StartPostgres(ctx, devstack.PostgresOptions{
		BinDir: pgBin, FsyncOff: true, MaxConnections: 300, SharedBuffers: "256MB",
	})
	if err != nil {
		return err
	}
	defer closing("Postgres", pg.Close)
	redis, err := devstack.StartRedis(ctx, devstack.RedisOptions{Path: redisPath})
	if err != nil {
		return err
	}
	defer closing("Redis", redis.Stop)

	return execute(ctx, args, append(os.Environ(),
		"TENANTRY_TEST_PG_URL="+pg.URL,
		"TENANTRY_TEST_PG_BIN="+pgBin,
		"TENANTRY_TEST_REDIS_URL="+redis.URL,
		"TENANTRY_TEST_TEMPORAL_BIN="+temporal,
	))
}

func closing(what string, stop func() error) {
	if err := stop(); err != nil {
		fmt.Fprintf(os.Stderr, "devstack: stopping %s: %v\n", what, err)
	}
}

// execute runs the command in a process group of its own, so that a Ctrl-C
// reaches it once, through us, while the servers are still there.
func execute(ctx context.Context, args, env []string) error {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = env
	cmd.Stdin, cmd.Stdout, cmd.Stderr = nil, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := devstack.StartTied(cmd, syscall.SIGTERM); err != nil {
		return fmt.Errorf("run %s: %w", filepath.Base(args[0]), err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	var err error
	select {
	case err = <-ended:
	case <-ctx.Done():
		err = interrupt(cmd.Process.Pid, ended)
	}
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit) && exit.ExitCode() >= 0:
		if exit.ExitCode() == 0 {
			return nil
		}
		return exitCode(exit.ExitCode())
	case errors.As(err, &exit):
		// Ended by a signal: the shell's convention.
		return exitCode(128 + int(exit.Sys().(syscall.WaitStatus).Signal()))
	case err != nil:
		return fmt.Errorf("run %s: %w", filepath.Base(args[0]), err)
	case ctx.Err() != nil:
		return exitCode(130)
	}
	return nil
}

func interrupt(group int, ended <-chan error) error {
	_ = syscall.Kill(-group, syscall.SIGINT)
	select {
	case err := <-ended:
		return err
	case <-time.After(15 * time.Second):
		_ = syscall.Kill(-group, syscall.SIGKILL)
		return <-ended
	}
}
