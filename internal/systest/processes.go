package systest

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"tenantry/internal/devstack"
)

// startTime bounds a process's start.
const startTime = 60 * time.Second

// spawn starts `tenantry name` in an empty directory: a .env file there would
// bring back what is withheld.
func (s *System) spawn(name string, extra []string) (*devstack.Process, error) {
	dir := filepath.Join(s.Dir, "run", name)
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // empty
		return nil, err
	}
	p, err := devstack.Start(devstack.Command{
		Name: name, Path: s.Binary, Args: []string{name}, Dir: dir,
		Env: s.environment(name, extra), LogPath: s.logPath(name),
	})
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.spawned = append(slices.DeleteFunc(s.spawned, func(p *devstack.Process) bool { return !p.Alive() }), p)
	return p, nil
}

func (s *System) ready(ctx context.Context, p *devstack.Process, url string) error {
	return p.WaitReady(ctx, startTime, func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		resp, err := s.client.Do(req)
		if err != nil {
			return err
		}
		_ = resp.Body.Close()
		if resp.StatusCode >= http.StatusInternalServerError {
			return fmt.Errorf("%s answers %s", url, resp.Status)
		}
		return nil
	})
}

// StartAPI starts the API and waits until it is ready. extra holds NAME=value.
func (s *System) StartAPI(ctx context.Context, extra ...string) error {
	p, err := s.spawn("api", extra)
	if err != nil {
		return err
	}
	s.set(&s.api, p)
	return s.ready(ctx, p, s.URL("/readyz"))
}

// SpawnWorker starts the worker without waiting for it: it may be meant to die
// at once. extra holds NAME=value.
func (s *System) SpawnWorker(extra ...string) (*devstack.Process, error) {
	p, err := s.spawn("worker", extra)
	if err == nil {
		s.set(&s.worker, p)
	}
	return p, err
}

// StartWorker starts the worker and waits until it is ready.
func (s *System) StartWorker(ctx context.Context, extra ...string) error {
	p, err := s.SpawnWorker(extra...)
	if err != nil {
		return err
	}
	return s.ready(ctx, p, "http://"+s.settings["WORKER_ADDR"]+"/readyz")
}

// StartSecondWorker starts a worker beside the one that runs, and answers the
// older one; Worker is the new one from here on.
func (s *System) StartSecondWorker(ctx context.Context) (older *devstack.Process, err error) {
	older = s.Worker()
	port, err := freePort()
	if err != nil {
		return older, err
	}
	addr := devstack.Loopback(port)
	p, err := s.SpawnWorker(prefix + "WORKER_ADDR=" + addr)
	if err != nil {
		return older, err
	}
	return older, s.ready(ctx, p, "http://"+addr+"/readyz")
}

// StartCodec starts the codec server.
func (s *System) StartCodec(ctx context.Context) error {
	p, err := s.spawn("codec", nil)
	if err != nil {
		return err
	}
	return s.ready(ctx, p, s.CodecURL())
}

// CodecURL is the codec server's address.
func (s *System) CodecURL() string { return "http://" + s.settings["CODEC_ADDR"] }

func (s *System) set(field **devstack.Process, p *devstack.Process) {
	s.mu.Lock()
	defer s.mu.Unlock()
	*field = p
}

// API is the running API process, nil before its first start.
func (s *System) API() *devstack.Process {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.api
}

// Worker is the running worker process, nil before its first start.
func (s *System) Worker() *devstack.Process {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.worker
}

// StopAPI lets the API drain (SIGTERM); having to kill it is an error.
func (s *System) StopAPI() error { return s.API().Stop() }

// KillAPI ends the API with SIGKILL.
func (s *System) KillAPI() error { return s.API().Kill() }

// StopWorker lets the worker drain (SIGTERM); having to kill it is an error.
func (s *System) StopWorker() error { return s.Worker().Stop() }

// KillWorker ends the worker with SIGKILL.
func (s *System) KillWorker() error { return s.Worker().Kill() }

// Freeze stops a process where it stands, as on a machine that hangs.
func Freeze(p *devstack.Process) error { return p.Signal(syscall.SIGSTOP) }

// Thaw lets a frozen process go on.
func Thaw(p *devstack.Process) error { return p.Signal(syscall.SIGCONT) }

// RestartPostgres stops the database server in a mode and starts it again.
func (s *System) RestartPostgres(ctx context.Context, mode devstack.StopMode) error {
	return s.Postgres.Restart(ctx, mode)
}

// StopTemporal stops the Temporal server; its file stays.
func (s *System) StopTemporal() error { return s.Temporal.Stop() }

// StartTemporal starts the Temporal server again.
func (s *System) StartTemporal(ctx context.Context) error { return s.Temporal.Start(ctx) }

// FlushRedis makes Redis forget everything.
func (s *System) FlushRedis(ctx context.Context) error {
	return redisCommand(ctx, s.Redis.Port, "FLUSHALL")
}
