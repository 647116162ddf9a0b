package systest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"tenantry/internal/devstack"
)

// Ran is how a command ended.
type Ran struct {
	Stdout, Stderr string
	Code           int
}

// CLI runs a tenantry command with the whole configuration.
func (s *System) CLI(ctx context.Context, args ...string) (Ran, error) {
	return s.Command(ctx, s.environment("cli", nil), args...)
}

// Command runs a tenantry command with an environment of its own.
func (s *System) Command(ctx context.Context, env []string, args ...string) (Ran, error) {
	dir := filepath.Join(s.Dir, "run", "cli")
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // empty
		return Ran{}, err
	}
	ran, err := run(ctx, dir, env, s.Binary, args...)
	return ran, errors.Join(err, s.appendLog("cli", ran.Stderr))
}

// Output is CLI that takes only success for an answer.
func (s *System) Output(ctx context.Context, args ...string) (string, error) {
	ran, err := s.CLI(ctx, args...)
	if err == nil && ran.Code != 0 {
		err = fmt.Errorf("tenantry %s: exit code %d\n%s", strings.Join(args[:min(2, len(args))], " "), ran.Code, ran.Stderr)
	}
	return ran.Stdout, err
}

// TemporalCLI runs the temporal command against this system's server.
func (s *System) TemporalCLI(ctx context.Context, args ...string) (Ran, error) {
	return run(ctx, s.Dir, s.temporalEnvironment(), s.TemporalBinary, args...)
}

// Shell runs a printed command line, with temporal and tenantry on its PATH.
func (s *System) Shell(ctx context.Context, line string) (Ran, error) {
	dirs := filepath.Dir(s.TemporalBinary) + ":" + filepath.Dir(s.Binary) + ":" + os.Getenv("PATH")
	env := append(s.temporalEnvironment(), "PATH="+dirs)
	return run(ctx, s.Dir, env, "/bin/sh", "-c", line)
}

// temporalEnvironment points the temporal command at the server, away from
// whatever its user has configured.
func (s *System) temporalEnvironment() []string {
	return append(os.Environ(), "TEMPORAL_ADDRESS="+s.Temporal.Address, "TEMPORAL_NAMESPACE="+devstack.TemporalNamespace,
		"HOME="+s.Dir, "TEMPORAL_CONFIG_FILE="+filepath.Join(s.Dir, "no-such-file"))
}

func (s *System) appendLog(name, text string) error {
	path := s.logPath(name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // files have their own mode
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

func run(ctx context.Context, dir string, env []string, name string, args ...string) (Ran, error) {
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = dir, env, &stdout, &stderr
	cmd.WaitDelay = 5 * time.Second
	err := cmd.Run()
	ran := Ran{Stdout: stdout.String(), Stderr: stderr.String(), Code: cmd.ProcessState.ExitCode()}
	var exit *exec.ExitError
	if errors.As(err, &exit) && ctx.Err() == nil {
		return ran, nil
	}
	if err != nil {
		err = fmt.Errorf("%s: %w\n%s", filepath.Base(name), err, ran.Stderr)
	}
	return ran, err
}

// redisCommand sends one inline command and wants +OK.
func redisCommand(ctx context.Context, port int, line string) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", devstack.Loopback(port))
	if err != nil {
		return fmt.Errorf("redis: %w", err)
	}
	defer func() { _ = conn.Close() }()
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline) // a connection that was just made
	}
	if _, err := conn.Write([]byte(line + "\r\n")); err != nil {
		return fmt.Errorf("redis: %w", err)
	}
	answer, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil || strings.TrimSpace(answer) != "+OK" {
		return fmt.Errorf("redis answered %q: %w", answer, err)
	}
	return nil
}
