package devstack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"time"
)

// TemporalPackage is what `go install` builds when no temporal is found. Newer
// tags of the CLI cannot be installed this way.
const TemporalPackage = "github.com/temporalio/cli/cmd/temporal@v1.5.1"

// preferredPostgres is the major version everything is tested on.
const preferredPostgres = 15

// FindPostgres returns the directory that holds initdb and postgres: the one on
// PATH, else version 15 or the newest below the distribution's directory.
func FindPostgres() (string, error) {
	if path, err := exec.LookPath("postgres"); err == nil {
		if real, err := filepath.EvalSymlinks(path); err == nil && hasServer(filepath.Dir(real)) {
			return filepath.Dir(real), nil
		}
	}
	var dirs []string
	for _, pattern := range []string{"/usr/lib/postgresql/*/bin", "/opt/homebrew/opt/postgresql@*/bin", "/usr/local/opt/postgresql@*/bin"} {
		found, _ := filepath.Glob(pattern)
		for _, dir := range found {
			if hasServer(dir) {
				dirs = append(dirs, dir)
			}
		}
	}
	if len(dirs) == 0 {
		return "", errors.New("no Postgres server found: neither postgres on PATH nor /usr/lib/postgresql/*/bin")
	}
	sort.Slice(dirs, func(i, j int) bool { return postgresRank(dirs[i]) > postgresRank(dirs[j]) })
	return dirs[0], nil
}

func hasServer(dir string) bool {
	for _, name := range []string{"initdb", "postgres"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.IsDir() {
			return false
		}
	}
	return true
}

func postgresRank(bin string) int {
	parent := filepath.Base(filepath.Dir(bin))
	version, _ := strconv.Atoi(parent[strings.LastIndex(parent, "@")+1:])
	if version == preferredPostgres {
		return 1 << 20
	}
	return version
}

// EnsurePostgres finds the server binaries or installs them with apt.
func EnsurePostgres(ctx context.Context, progress io.Writer) (string, error) {
	dir, missing := FindPostgres()
	if missing == nil {
		return dir, nil
	}
	if err := aptInstall(ctx, progress, "postgresql-15", "postgresql"); err != nil {
		return "", fmt.Errorf("%w; %w", missing, err)
	}
	return FindPostgres()
}

// EnsureRedis finds redis-server or installs it with apt.
func EnsureRedis(ctx context.Context, progress io.Writer) (string, error) {
	path, missing := exec.LookPath("redis-server")
	if missing == nil {
		return path, nil
	}
	if err := aptInstall(ctx, progress, "redis-server"); err != nil {
		return "", fmt.Errorf("no redis-server on PATH; %w", err)
	}
	return exec.LookPath("redis-server")
}

// aptInstall installs the first of the packages that the distribution knows.
func aptInstall(ctx context.Context, progress io.Writer, packages ...string) error {
	apt, err := exec.LookPath("apt-get")
	if err != nil {
		return fmt.Errorf("install %s and try again", packages[0])
	}
	if os.Geteuid() != 0 {
		return fmt.Errorf("install it with: sudo apt-get install %s", packages[0])
	}
	env := append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	if err := runQuietly(ctx, progress, "Updating the package list", env, apt, "update", "-q"); err != nil {
		return err
	}
	for _, name := range packages {
		err = runQuietly(ctx, progress, "Installing "+name, env, apt, "install", "-q", "-y", "--no-install-recommends", name)
		if err == nil {
			return nil
		}
	}
	return err
}

// EnsureTemporal returns an absolute path of the temporal CLI: on PATH, in binDir,
// or built into binDir, which takes about five minutes once.
func EnsureTemporal(ctx context.Context, binDir string, progress io.Writer) (string, error) {
	if path, err := exec.LookPath("temporal"); err == nil {
		return filepath.Abs(path)
	}
	binDir, err := filepath.Abs(binDir)
	if err != nil {
		return "", err
	}
	path := filepath.Join(binDir, "temporal")
	if info, err := os.Stat(path); err == nil && info.Mode()&0o111 != 0 {
		return path, nil
	}
	env := append(os.Environ(), "GOBIN="+binDir)
	what := "Building the Temporal CLI and dev server (about five minutes, once)"
	if err := runQuietly(ctx, progress, what, env, "go", "install", TemporalPackage); err != nil {
		return "", err
	}
	return path, nil
}

// runQuietly runs a command that can take minutes: it shows that time passes, and the output only on failure.
func runQuietly(ctx context.Context, progress io.Writer, what string, env []string, name string, args ...string) error {
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = env, &out, &out
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	began := time.Now()
	fmt.Fprintf(progress, "    %s: %s %s\n", what, filepath.Base(name), strings.Join(args, " "))
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	tick := time.NewTicker(20 * time.Second)
	defer tick.Stop()
	for {
		select {
		case err := <-ended:
			if err != nil {
				return fmt.Errorf("%s: %w\n%s", what, err, lastLines(out.String(), 20))
			}
			fmt.Fprintf(progress, "    done in %s\n", time.Since(began).Round(time.Second))
			return nil
		case <-tick.C:
			fmt.Fprintf(progress, "    … still at it after %s\n", time.Since(began).Round(time.Second))
		}
	}
}

func lastLines(s string, n int) string {
	lines := strings.Split(strings.TrimRight(s, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
