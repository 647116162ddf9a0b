package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"tenantry/internal/devstack"
	"tenantry/internal/mailbox"
)

func (s *stack) findPrograms(ctx context.Context) (err error) {
	if s.postgresBin, err = devstack.EnsurePostgres(ctx, s.progress); err != nil {
		return err
	}
	if s.redisPath, err = devstack.EnsureRedis(ctx, s.progress); err != nil {
		return err
	}
	s.temporalPath, err = devstack.EnsureTemporal(ctx, filepath.Join(s.repo, "bin"), s.progress)
	return err
}

// build makes the binary, so that the stack runs what the source tree says.
func (s *stack) build(ctx context.Context) error {
	if s.config.tenantry != "" {
		path, err := filepath.Abs(s.config.tenantry)
		s.config.tenantry = path
		return err
	}
	s.config.tenantry = filepath.Join(s.repo, "bin", "tenantry")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", s.config.tenantry, "./cmd/tenantry")
	cmd.Dir = s.repo
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build ./cmd/tenantry: %w\n%s", err, out)
	}
	return nil
}

func (s *stack) startPostgres(ctx context.Context) (err error) {
	s.postgres, err = devstack.StartPostgres(ctx, devstack.PostgresOptions{
		Dir: s.path("pg"), BinDir: s.postgresBin, LogPath: s.log("postgres"), MaxConnections: 200,
		Port: s.config.postgres.Number, PortVariable: s.config.postgres.Variable,
	})
	if err != nil {
		return err
	}
	s.add("Postgres", s.postgres.Process(), s.postgres.Close)
	s.state.PostgresPort = s.config.postgres.Number
	return s.state.save()
}

func (s *stack) startRedis(ctx context.Context) (err error) {
	s.redis, err = devstack.StartRedis(ctx, devstack.RedisOptions{
		Dir: s.path("redis"), Path: s.redisPath, LogPath: s.log("redis"),
		Port: s.config.redis.Number, PortVariable: s.config.redis.Variable,
	})
	if err != nil {
		return err
	}
	s.add("Redis", s.redis.Process(), s.redis.Stop)
	return nil
}

func (s *stack) startTemporal(ctx context.Context) (err error) {
	s.temporal, err = devstack.StartTemporal(ctx, devstack.TemporalOptions{
		Path: s.temporalPath, DBFile: s.path("temporal", "temporal.db"), LogPath: s.log("temporal"),
		Port: s.config.temporal.Number, PortVariable: s.config.temporal.Variable,
		UIPort: s.config.temporalUI.Number, UIPortVariable: s.config.temporalUI.Variable,
		CodecEndpoint: s.codecURL(),
	})
	if err != nil {
		return err
	}
	s.add("Temporal", s.temporal.Process(), s.temporal.Stop)
	return nil
}

func (s *stack) startMailbox(context.Context) (err error) {
	if s.mailbox, err = mailbox.New(mailbox.Options{Dir: s.path("mail")}); err != nil {
		return err
	}
	if err := s.mailbox.Start(devstack.Loopback(s.config.smtp.Number), devstack.Loopback(s.config.mailbox.Number)); err != nil {
		return err
	}
	s.add("the mailbox", nil, s.mailbox.Close)
	return nil
}

func (s *stack) bootstrap(ctx context.Context) error {
	_, err := s.command(ctx, s.addresses(), "bootstrap", "--superuser-url", s.postgres.URL, "--env-file", s.path("installation.env"))
	return err
}

func (s *stack) migrate(ctx context.Context) error {
	if err := s.writeDotEnv(); err != nil {
		return err
	}
	_, err := s.cli(ctx, "migrate")
	return err
}

func (s *stack) startCodec(ctx context.Context) error {
	return s.startServer(ctx, "codec", s.config.codec.Number, "/")
}

func (s *stack) startWorker(ctx context.Context) error {
	return s.startServer(ctx, "worker", s.config.worker.Number, "/readyz")
}

func (s *stack) startAPI(ctx context.Context) error {
	return s.startServer(ctx, "api", s.config.api.Number, "/readyz")
}

// startServer runs `tenantry name` without what is withheld from it and waits until it answers.
func (s *stack) startServer(ctx context.Context, name string, port int, path string) error {
	settings, err := s.settings()
	if err != nil {
		return err
	}
	// An empty directory: a .env file here would bring back what is withheld.
	dir := s.path("run", name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	proc, err := devstack.Start(devstack.Command{
		Name: name, Path: s.config.tenantry, Args: []string{name}, Dir: dir,
		Env: environment(settings, withheld[name]...), LogPath: s.log(name),
	})
	if err != nil {
		return err
	}
	s.add("the "+name, proc, proc.Stop)
	return proc.WaitReady(ctx, 60*time.Second, func(ctx context.Context) error {
		return answers(ctx, "http://"+devstack.Loopback(port)+path)
	})
}

// answers accepts whatever a working server says; only a 5xx means that it is not ready.
func answers(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	_ = resp.Body.Close()
	if resp.StatusCode >= http.StatusInternalServerError {
		return fmt.Errorf("%s answers %s", url, resp.Status)
	}
	return nil
}

// cli runs a tenantry command with the whole configuration and returns its standard output.
func (s *stack) cli(ctx context.Context, args ...string) ([]byte, error) {
	settings, err := s.settings()
	if err != nil {
		return nil, err
	}
	return s.command(ctx, settings, args...)
}

func (s *stack) command(ctx context.Context, settings map[string]string, args ...string) ([]byte, error) {
	dir := s.path("run", "cli")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	log, err := os.OpenFile(s.log("cli"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	// Interrupted rather than killed: a migration shall end its transaction.
	cmd := exec.CommandContext(ctx, s.config.tenantry, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	var stderr strings.Builder
	cmd.Dir, cmd.Env, cmd.Stderr = dir, environment(settings), &stderr
	out, err := cmd.Output()
	_, _ = log.WriteString(stderr.String())
	if err != nil {
		return nil, fmt.Errorf("tenantry %s: %w\n%s", args[0], err, strings.TrimSpace(stderr.String()))
	}
	return out, nil
}
