package devstack

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// StopMode is how Postgres goes down.
type StopMode int

const (
	// Fast ends sessions, writes a checkpoint and leaves.
	Fast StopMode = iota
	// Immediate leaves at once; the next start recovers from the log, as after a crash.
	Immediate
)

func (m StopMode) signal() syscall.Signal {
	if m == Immediate {
		return syscall.SIGQUIT
	}
	return syscall.SIGINT
}

// PostgresOptions configures a cluster. The zero value is a throw-away one on a free port.
type PostgresOptions struct {
	// Dir holds the cluster, its socket and the superuser's password and is kept.
	// Empty means a temporary directory, removed by Close. When Postgres must run
	// as another user who cannot reach Dir, a directory below /var/tmp named after
	// a hash of Dir is used instead.
	Dir string
	// BinDir holds initdb and postgres; empty means FindPostgres.
	BinDir string
	// Port is 127.0.0.1's port, 0 a free one; PortVariable is what an error tells the reader to change.
	Port         int
	PortVariable string
	// FsyncOff trades the data's safety against a crash of the machine for speed.
	FsyncOff bool
	// MaxConnections is 100 when zero, SharedBuffers "128MB" when empty.
	MaxConnections int
	SharedBuffers  string
	// Settings are further server settings.
	Settings map[string]string
	// LogPath is "postgres.log" below Dir when empty.
	LogPath string
}

// Postgres is a cluster of our own.
type Postgres struct {
	// URL connects as the superuser to the database "postgres".
	URL string
	// Port is the port on 127.0.0.1.
	Port int
	// BinDir holds the server's programs.
	BinDir string
	// Dir is where the cluster really is.
	Dir string

	opts       PostgresOptions
	temporary  bool
	credential *syscall.Credential
	proc       *Process
}

// StartPostgres makes the cluster if Dir has none, starts it and waits until it answers a query.
func StartPostgres(ctx context.Context, opts PostgresOptions) (*Postgres, error) {
	pg := &Postgres{opts: opts, BinDir: opts.BinDir}
	var err error
	if pg.BinDir == "" {
		if pg.BinDir, err = FindPostgres(); err != nil {
			return nil, err
		}
	}
	if pg.credential, err = serverCredential(); err != nil {
		return nil, err
	}
	if err := pg.makeDir(); err != nil {
		return nil, err
	}
	password, err := pg.ensureCluster(ctx)
	if err == nil {
		want := Port{Part: "Postgres", Variable: opts.PortVariable, Number: opts.Port}
		err = withPort(want, func(port int) error {
			pg.Port = port
			pg.URL = (&url.URL{
				Scheme: "postgres", User: url.UserPassword("postgres", password),
				Host: Loopback(port), Path: "/postgres", RawQuery: "sslmode=disable",
			}).String()
			return pg.Start(ctx)
		})
	}
	if err != nil {
		return nil, errors.Join(err, pg.Close())
	}
	return pg, nil
}

// makeDir settles on a directory the server's user can reach and gives it to that user.
func (pg *Postgres) makeDir() error {
	dir := pg.opts.Dir
	if dir == "" {
		base := os.TempDir()
		if !reachable(base, pg.credential) {
			base = "/var/tmp"
		}
		made, err := os.MkdirTemp(base, "tenantry-pg-")
		if err != nil {
			return fmt.Errorf("postgres directory: %w", err)
		}
		pg.temporary, pg.Dir = true, made
		return pg.own(made)
	}
	dir, err := PostgresDir(dir)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return fmt.Errorf("postgres directory: %w", err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("postgres directory: %w", err)
	}
	pg.Dir = dir
	return pg.own(dir)
}

func (pg *Postgres) own(path string) error {
	if pg.credential == nil {
		return nil
	}
	if err := os.Chown(path, int(pg.credential.Uid), int(pg.credential.Gid)); err != nil {
		return fmt.Errorf("give %s to the user Postgres runs as: %w", path, err)
	}
	return nil
}

// ensureCluster returns the superuser's password, after initdb if there is no cluster yet.
func (pg *Postgres) ensureCluster(ctx context.Context) (string, error) {
	passwordFile := filepath.Join(pg.Dir, "superuser-password")
	if _, err := os.Stat(pg.dataDir()); err == nil {
		password, err := os.ReadFile(passwordFile)
		if err != nil {
			return "", fmt.Errorf("password of the cluster in %s: %w", pg.Dir, err)
		}
		return strings.TrimSpace(string(password)), nil
	}
	secret := make([]byte, 24)
	_, _ = rand.Read(secret) // never fails (crypto/rand)
	password := hex.EncodeToString(secret)
	if err := os.WriteFile(passwordFile, []byte(password+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("postgres password: %w", err)
	}
	if err := pg.own(passwordFile); err != nil {
		return "", err
	}
	if err := pg.initdb(ctx, passwordFile); err != nil {
		return "", err
	}
	return password, nil
}

func (pg *Postgres) initdb(ctx context.Context, passwordFile string) error {
	// Under another name until complete, so that a killed initdb is not taken for a cluster.
	half := pg.dataDir() + ".new"
	if err := os.RemoveAll(half); err != nil {
		return fmt.Errorf("initdb: %w", err)
	}
	args := []string{"-D", half, "-U", "postgres", "-A", "scram-sha-256", "--pwfile", passwordFile, "-E", "UTF8", "--locale", "C"}
	if runtime.GOOS == "linux" {
		args[len(args)-1] = "C.UTF-8"
	}
	if pg.opts.FsyncOff {
		args = append(args, "--no-sync")
	}
	cmd := exec.CommandContext(ctx, filepath.Join(pg.BinDir, "initdb"), args...)
	cmd.Dir = pg.Dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: pg.credential}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, lastLines(string(out), 20))
	}
	if err := os.Rename(half, pg.dataDir()); err != nil {
		return fmt.Errorf("initdb: %w", err)
	}
	return nil
}

func (pg *Postgres) dataDir() string { return filepath.Join(pg.Dir, "data") }

// SetMaxConnections changes max_connections from the next start on.
func (pg *Postgres) SetMaxConnections(n int) { pg.opts.MaxConnections = n }

// Start starts the stopped server again on its port and data.
func (pg *Postgres) Start(ctx context.Context) error {
	log := pg.opts.LogPath
	if log == "" {
		log = filepath.Join(pg.Dir, "postgres.log")
	}
	args := []string{"-D", pg.dataDir()}
	settings := pg.settings()
	for _, key := range slices.Sorted(maps.Keys(settings)) {
		args = append(args, "-c", key+"="+settings[key])
	}
	proc, err := Start(Command{
		Name: "postgres", Path: filepath.Join(pg.BinDir, "postgres"), Args: args, Dir: pg.Dir,
		LogPath: log, StopSignal: Fast.signal(), Credential: pg.credential,
	})
	if err != nil {
		return err
	}
	pg.proc = proc
	if err := proc.WaitReady(ctx, 60*time.Second, pg.ping); err != nil {
		return errors.Join(err, pg.Stop(Immediate))
	}
	return nil
}

func (pg *Postgres) settings() map[string]string {
	s := map[string]string{
		"listen_addresses":        "127.0.0.1",
		"port":                    strconv.Itoa(pg.Port),
		"unix_socket_directories": pg.socketDir(),
		"max_connections":         "100",
		"shared_buffers":          "128MB",
		"password_encryption":     "scram-sha-256",
		"log_line_prefix":         "%m [%p] %q%u@%d ",
		"timezone":                "UTC",
		"log_timezone":            "UTC",
	}
	if pg.opts.MaxConnections > 0 {
		s["max_connections"] = strconv.Itoa(pg.opts.MaxConnections)
	}
	if pg.opts.SharedBuffers != "" {
		s["shared_buffers"] = pg.opts.SharedBuffers
	}
	if pg.opts.FsyncOff {
		s["fsync"], s["synchronous_commit"], s["full_page_writes"] = "off", "off", "off"
	}
	maps.Copy(s, pg.opts.Settings)
	return s
}

// socketDir is inside the data directory, which nobody else can enter; a path
// too long for a socket address means TCP only.
func (pg *Postgres) socketDir() string {
	const longest = 107 - len("/.s.PGSQL.65535.lock")
	if len(pg.dataDir()) > longest {
		return ""
	}
	return pg.dataDir()
}

func (pg *Postgres) ping(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, pg.URL)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	return conn.Ping(ctx)
}

// PID is the postmaster's process id; it changes with every start.
func (pg *Postgres) PID() int { return pg.proc.PID() }

// Process is the running postmaster.
func (pg *Postgres) Process() *Process { return pg.proc }

// Stop stops the server and keeps its data. Stopping a stopped server is no error.
func (pg *Postgres) Stop(mode StopMode) error {
	if pg.proc == nil {
		return nil
	}
	return pg.proc.stop(mode.signal())
}

// Restart stops the server in the given mode and starts it again on the same port.
func (pg *Postgres) Restart(ctx context.Context, mode StopMode) error {
	if err := pg.Stop(mode); err != nil {
		return err
	}
	return pg.Start(ctx)
}

// Close stops the server and removes its directory if that was temporary.
func (pg *Postgres) Close() error {
	if !pg.temporary {
		return pg.Stop(Fast)
	}
	return errors.Join(pg.Stop(Immediate), os.RemoveAll(pg.Dir))
}
