package devstack

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// RedisOptions configures a Redis server. The zero value keeps everything in memory, on a free port.
type RedisOptions struct {
	// Dir keeps the data (append-only file, synced every second). Empty means nothing is kept.
	Dir string
	// Path is redis-server; empty means the one on PATH.
	Path string
	// Port is 127.0.0.1's port, 0 a free one; PortVariable is what an error tells the reader to change.
	Port         int
	PortVariable string
	// LogPath is a temporary file when empty.
	LogPath string
}

// Redis is a server of our own.
type Redis struct {
	// URL is redis://127.0.0.1:port/0.
	URL  string
	Port int

	opts    RedisOptions
	scratch string
	proc    *Process
}

// StartRedis starts redis-server and waits until it answers PING.
func StartRedis(ctx context.Context, opts RedisOptions) (*Redis, error) {
	if opts.Path == "" {
		path, err := exec.LookPath("redis-server")
		if err != nil {
			return nil, fmt.Errorf("no redis-server on PATH: %w", err)
		}
		opts.Path = path
	}
	r := &Redis{opts: opts}
	if opts.Dir == "" {
		dir, err := os.MkdirTemp("", "tenantry-redis-")
		if err != nil {
			return nil, fmt.Errorf("redis directory: %w", err)
		}
		r.scratch = dir
	} else if err := os.MkdirAll(opts.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("redis directory: %w", err)
	}
	want := Port{Part: "Redis", Variable: opts.PortVariable, Number: opts.Port}
	err := withPort(want, func(port int) error {
		r.Port, r.URL = port, "redis://"+Loopback(port)+"/0"
		return r.Start(ctx)
	})
	if err != nil {
		return nil, errors.Join(err, r.Stop())
	}
	return r, nil
}

// Start starts the stopped server again on its port and data.
func (r *Redis) Start(ctx context.Context) error {
	dir, appendOnly, log := r.opts.Dir, "yes", r.opts.LogPath
	if r.scratch != "" {
		dir, appendOnly = r.scratch, "no"
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("redis directory: %w", err)
		}
	}
	if log == "" {
		log = filepath.Join(dir, "redis.log")
	}
	proc, err := Start(Command{
		Name: "redis", Path: r.opts.Path, LogPath: log,
		Args: []string{
			"--port", strconv.Itoa(r.Port), "--bind", "127.0.0.1", "--dir", dir,
			"--appendonly", appendOnly, "--appendfsync", "everysec", "--save", "", "--daemonize", "no",
		},
	})
	if err != nil {
		return err
	}
	r.proc = proc
	if err := proc.WaitReady(ctx, 30*time.Second, r.ping); err != nil {
		return errors.Join(err, r.Stop())
	}
	return nil
}

// ping accepts only PONG: while Redis reads its file it answers -LOADING.
func (r *Redis) ping(ctx context.Context) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", Loopback(r.Port))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline)
	}
	if _, err := conn.Write([]byte("PING\r\n")); err != nil {
		return err
	}
	answer, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return err
	}
	if answer = strings.TrimSpace(answer); answer != "+PONG" {
		return fmt.Errorf("redis answered %q", answer)
	}
	return nil
}

// PID is the server's process id.
func (r *Redis) PID() int { return r.proc.PID() }

// Process is the running server.
func (r *Redis) Process() *Process { return r.proc }

// Stop stops the server; only what Dir keeps survives. Stopping a stopped server is no error.
func (r *Redis) Stop() error {
	var err error
	if r.proc != nil {
		err = r.proc.Stop()
	}
	if r.scratch != "" {
		err = errors.Join(err, os.RemoveAll(r.scratch))
	}
	return err
}

// Kill ends the server with SIGKILL, as a crash would.
func (r *Redis) Kill() error { return r.proc.Kill() }
