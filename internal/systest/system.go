package systest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"tenantry/internal/devstack"
	"tenantry/internal/mailbox"
)

// Options chooses an installation. The zero value is the release build on a
// Postgres that does not sync, with nothing but the defaults configured.
type Options struct {
	// Tags are the build tags of the binary ("crashpoints").
	Tags string
	// Fsync makes Postgres keep what it has acknowledged, as in production.
	Fsync bool
	// Env holds further variables of all processes, with the prefix.
	Env map[string]string
	// Idle starts neither the API nor the worker, and makes no hook source.
	Idle bool
}

// HookSource is what `tenantry hook create` printed.
type HookSource struct {
	Source      string `json:"source"`
	Secret      string `json:"secret"`
	OperatorKey string `json:"operator_key"`
}

// System is a running installation.
type System struct {
	// Dir holds logs and data; Close removes it.
	Dir string
	// Binary is the tenantry command, TemporalBinary the temporal one.
	Binary         string
	TemporalBinary string

	Postgres *devstack.Postgres
	Redis    *devstack.Redis
	Temporal *devstack.Temporal
	Mailbox  *mailbox.Mailbox

	// OperatorKey holds every scope; Hook is the first source.
	OperatorKey string
	Hook        HookSource

	opts     Options
	apiPort  int
	settings map[string]string
	client   *http.Client

	mu     sync.Mutex // guards what follows
	api    *devstack.Process
	worker *devstack.Process
	beside *devstack.Process
	// spawned is every process of the product; most have ended.
	spawned []*devstack.Process
}

// Start makes an installation and waits until it answers.
func Start(ctx context.Context, opts Options) (*System, error) {
	s := &System{opts: opts, client: newClient()}
	if err := s.start(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("start the system: %w", err), errors.New(s.Logs(20)), s.Close())
	}
	return s, nil
}

func (s *System) start(ctx context.Context) (err error) {
	if s.Binary, err = Build(ctx, s.opts.Tags); err != nil {
		return err
	}
	if s.TemporalBinary, err = temporalBinary(ctx); err != nil {
		return err
	}
	// Postgres runs as another user, who must be able to pass.
	if s.Dir, err = os.MkdirTemp("", "tenantry-sys-"); err != nil {
		return err
	}
	if err := os.Chmod(s.Dir, 0o755); err != nil { //nolint:gosec // see above; secrets have their own mode
		return err
	}
	for _, step := range []func(context.Context) error{s.startServers, s.configure, s.bootstrap} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	if s.opts.Idle {
		return nil
	}
	if err := s.StartWorker(ctx); err != nil {
		return err
	}
	if err := s.StartAPI(ctx); err != nil {
		return err
	}
	s.Hook, err = s.CreateHookSource(ctx, "billing")
	return err
}

// startServers starts what the product needs, side by side.
func (s *System) startServers(ctx context.Context) error {
	steps := []func(context.Context) error{s.startPostgres, s.startRedis, s.startTemporal, s.startMailbox}
	errs := make([]error, len(steps))
	var all sync.WaitGroup
	for i, step := range steps {
		all.Go(func() { errs[i] = step(ctx) })
	}
	all.Wait()
	return errors.Join(errs...)
}

func (s *System) startPostgres(ctx context.Context) error {
	return onFreePort(func(port int) (err error) {
		s.Postgres, err = devstack.StartPostgres(ctx, devstack.PostgresOptions{
			BinDir: os.Getenv("TENANTRY_TEST_PG_BIN"), Port: port, FsyncOff: !s.opts.Fsync, MaxConnections: 300, LogPath: s.logPath("postgres"),
		})
		return err
	})
}

func (s *System) startRedis(ctx context.Context) error {
	return onFreePort(func(port int) (err error) {
		s.Redis, err = devstack.StartRedis(ctx, devstack.RedisOptions{Port: port, LogPath: s.logPath("redis")})
		return err
	})
}

func (s *System) startTemporal(ctx context.Context) error {
	return onFreePort(func(port int) (err error) {
		s.Temporal, err = devstack.StartTemporal(ctx, devstack.TemporalOptions{
			Path: s.TemporalBinary, Port: port, DBFile: s.TemporalFile(), LogPath: s.logPath("temporal"),
		})
		return err
	})
}

func (s *System) startMailbox(context.Context) (err error) {
	if s.Mailbox, err = mailbox.New(mailbox.Options{Capacity: 10_000}); err != nil {
		return err
	}
	return s.Mailbox.Start("127.0.0.1:0", "")
}

// TemporalFile is the database file of the Temporal server.
func (s *System) TemporalFile() string { return filepath.Join(s.Dir, "temporal", "temporal.db") }

func (s *System) logPath(name string) string { return filepath.Join(s.Dir, "log", name+".log") }

// LogFiles lists what all processes have written, the command line included.
func (s *System) LogFiles() []string {
	files, _ := filepath.Glob(filepath.Join(s.Dir, "log", "*.log")) // fails for bad patterns only
	slices.Sort(files)
	return files
}

// Logs answers the last lines of every log, for a failed test.
func (s *System) Logs(lines int) string {
	var b strings.Builder
	for _, file := range s.LogFiles() {
		content, err := os.ReadFile(file)
		if err != nil || len(content) == 0 {
			continue
		}
		all := strings.Split(strings.TrimRight(string(content), "\n"), "\n")
		fmt.Fprintf(&b, "--- %s (last of %d lines)\n%s\n", filepath.Base(file), len(all), strings.Join(all[max(0, len(all)-lines):], "\n"))
	}
	return b.String()
}

// Close stops everything, the product first, and removes the data.
func (s *System) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, p := range s.spawned {
		errs = append(errs, p.Kill()) // nothing is worth draining: the data goes too
	}
	if s.Mailbox != nil {
		errs = append(errs, s.Mailbox.Close())
	}
	if s.Temporal != nil && s.Temporal.Process() != nil {
		errs = append(errs, s.Temporal.Kill())
	}
	if s.Redis != nil {
		errs = append(errs, s.Redis.Stop())
	}
	if s.Postgres != nil {
		errs = append(errs, s.Postgres.Close())
	}
	if s.Dir != "" {
		errs = append(errs, os.RemoveAll(s.Dir))
	}
	return errors.Join(errs...)
}
