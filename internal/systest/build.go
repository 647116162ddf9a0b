package systest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"

	"tenantry/internal/devstack"
)

// Root answers the directory of go.mod, from anywhere below it.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", errors.New("systest: no go.mod above the working directory")
		}
		dir = up
	}
}

type built struct {
	once sync.Once
	path string
	err  error
}

var (
	builtMu sync.Mutex
	builds  = map[string]*built{}
)

// Build makes the binary with build tags, once per process and set of tags.
func Build(ctx context.Context, tags string) (string, error) {
	builtMu.Lock()
	b := builds[tags]
	if b == nil {
		b = &built{}
		builds[tags] = b
	}
	builtMu.Unlock()
	b.once.Do(func() { b.path, b.err = build(ctx, tags) })
	return b.path, b.err
}

// RemoveBuilds deletes what Build has made.
func RemoveBuilds() {
	builtMu.Lock()
	defer builtMu.Unlock()
	for tags, b := range builds {
		if b.path != "" {
			_ = os.RemoveAll(filepath.Dir(b.path)) // a temporary directory
		}
		delete(builds, tags)
	}
}

func build(ctx context.Context, tags string) (string, error) {
	root, err := Root()
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp("", "tenantry-bin-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "tenantry")
	cmd := exec.CommandContext(ctx, "go", "build", "-tags", tags, "-o", path, "./cmd/tenantry")
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", errors.Join(fmt.Errorf("go build ./cmd/tenantry: %w\n%s", err, out), os.RemoveAll(dir))
	}
	return path, nil
}

// temporalBinary finds the temporal CLI, or builds it into ./bin.
func temporalBinary(ctx context.Context) (string, error) {
	if path := os.Getenv("TENANTRY_TEST_TEMPORAL_BIN"); path != "" {
		return path, nil
	}
	root, err := Root()
	if err != nil {
		return "", err
	}
	return devstack.EnsureTemporal(ctx, filepath.Join(root, "bin"), os.Stderr)
}
