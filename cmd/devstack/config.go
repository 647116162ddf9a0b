package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"tenantry/internal/devstack"
)

// config is where everything of one stack is.
type config struct {
	repo string // the source tree
	dir  string // data, logs and secrets of the stack
	// tenantry is a ready-made binary; empty means build it.
	tenantry string

	api, worker, codec, postgres, redis, temporal, temporalUI, smtp, mailbox devstack.Port
}

// ports lists every port in the order of the report.
func (c *config) ports() []*devstack.Port {
	return []*devstack.Port{
		&c.api, &c.worker, &c.codec, &c.postgres, &c.redis, &c.temporal, &c.temporalUI, &c.smtp, &c.mailbox,
	}
}

func parseConfig(args []string) (*config, error) {
	repo, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(repo, "go.mod")); err != nil {
		return nil, errors.New("run this in the directory of go.mod")
	}
	c := &config{
		repo:       repo,
		api:        devstack.Port{Part: "the API", Variable: "DEV_API_PORT", Number: 8080},
		worker:     devstack.Port{Part: "the worker's health", Variable: "DEV_WORKER_PORT", Number: 8081},
		codec:      devstack.Port{Part: "the codec server", Variable: "DEV_CODEC_PORT", Number: 8082},
		postgres:   devstack.Port{Part: "Postgres", Variable: "DEV_PG_PORT", Number: 5439},
		redis:      devstack.Port{Part: "Redis", Variable: "DEV_REDIS_PORT", Number: 6399},
		temporal:   devstack.Port{Part: "Temporal", Variable: "DEV_TEMPORAL_PORT", Number: 7239},
		temporalUI: devstack.Port{Part: "the Temporal UI", Variable: "DEV_TEMPORAL_UI_PORT", Number: 8233},
		smtp:       devstack.Port{Part: "the mailbox (SMTP)", Variable: "DEV_SMTP_PORT", Number: 1025},
		mailbox:    devstack.Port{Part: "the mailbox page", Variable: "DEV_MAILBOX_PORT", Number: 8025},
	}
	flags := flag.NewFlagSet("devstack", flag.ContinueOnError)
	flags.StringVar(&c.dir, "dir", envOr("DEV_DIR", ".dev"), "data, logs and secrets (DEV_DIR)")
	flags.StringVar(&c.tenantry, "tenantry", os.Getenv("DEV_TENANTRY"), "binary to run instead of building one (DEV_TENANTRY)")
	for _, p := range c.ports() {
		if text, set := os.LookupEnv(p.Variable); set {
			if p.Number, err = strconv.Atoi(text); err != nil {
				return nil, fmt.Errorf("%s is not a port: %q", p.Variable, text)
			}
		}
		// DEV_TEMPORAL_UI_PORT becomes --temporal-ui-port.
		name := strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(p.Variable, "DEV_")), "_", "-")
		flags.IntVar(&p.Number, name, p.Number, "port of "+p.Part+" ("+p.Variable+")")
	}
	if err := flags.Parse(args); err != nil {
		return nil, exitCode(2)
	}
	if flags.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	for _, p := range c.ports() {
		if p.Number < 1 || p.Number > 65535 {
			return nil, fmt.Errorf("%s is not a port: %d", p.Variable, p.Number)
		}
	}
	if c.dir, err = filepath.Abs(c.dir); err != nil {
		return nil, err
	}
	return c, nil
}

func envOr(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}

func (c *config) path(parts ...string) string {
	return filepath.Join(append([]string{c.dir}, parts...)...)
}

func (c *config) log(name string) string { return c.path("log", name+".log") }

// shown is a path as the reader types it.
func (c *config) shown(path string) string {
	if rel, err := filepath.Rel(c.repo, path); err == nil && !strings.HasPrefix(rel, "..") {
		return rel
	}
	return path
}

func (c *config) publicURL() string { return fmt.Sprintf("http://localhost:%d", c.api.Number) }

func (c *config) tenantURL(slug string) string {
	return fmt.Sprintf("http://%s.localhost:%d", slug, c.api.Number)
}

// errRunning is why a directory cannot be locked.
var errRunning = errors.New("a dev stack is running here; stop it first (Ctrl-C in its terminal)")

// lock takes the stack's directory for this process; the kernel gives it back when the process ends, however that happens.
func (c *config) lock() (*os.File, error) {
	// Postgres' user must be able to pass through; what is secret has its own mode.
	if err := os.MkdirAll(c.dir, 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(c.path("lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errRunning
		}
		return nil, fmt.Errorf("lock %s: %w", c.dir, err)
	}
	return f, nil
}
