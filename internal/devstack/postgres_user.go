package devstack

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
)

// serverCredential is the user the server runs as: Postgres refuses to be root,
// so root hands over to an unprivileged account.
func serverCredential() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	var last error
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			last = err
			continue
		}
		uid, err := strconv.ParseUint(u.Uid, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("user %s: %w", name, err)
		}
		gid, err := strconv.ParseUint(u.Gid, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("user %s: %w", name, err)
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid), Groups: []uint32{uint32(gid)}}, nil
	}
	return nil, fmt.Errorf("Postgres does not run as root and there is no unprivileged user for it: %w", last)
}

// reachable reports whether the user can pass through every directory down to
// path. A nil credential is this process itself.
func reachable(path string, as *syscall.Credential) bool {
	if as == nil {
		return true
	}
	for dir := filepath.Clean(path); ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err == nil && !searchable(info, as) {
			return false
		}
		if dir == filepath.Dir(dir) {
			return true
		}
	}
}

func searchable(info fs.FileInfo, as *syscall.Credential) bool {
	mode := info.Mode().Perm()
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		if st.Uid == as.Uid {
			return mode&0o100 != 0
		}
		if slices.Contains(as.Groups, st.Gid) {
			return mode&0o010 != 0
		}
	}
	return mode&0o001 != 0
}

// PostgresDir returns where a cluster wanted in dir really lives: dir, or a
// directory below /var/tmp when the server's user cannot reach dir.
func PostgresDir(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("postgres directory: %w", err)
	}
	as, err := serverCredential()
	if err != nil {
		return "", err
	}
	if reachable(filepath.Dir(dir), as) {
		return dir, nil
	}
	sum := sha256.Sum256([]byte(dir))
	return filepath.Join("/var/tmp", "tenantry-"+hex.EncodeToString(sum[:6]), filepath.Base(dir)), nil
}
