package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"tenantry/internal/devstack"
)

// state is what a later start of the same stack must know. It holds secrets.
type state struct {
	path string

	PostgresPort int    `json:"postgres_port"`
	OperatorKey  string `json:"operator_key"`
	Hook         hook   `json:"hook"`
	// Messages holds the webhook id per demo tenant, so that an interrupted start repeats the same message.
	Messages map[string]string `json:"messages"`
	// Ready holds the demo tenants whose owner has a password. They are left alone: it may have been changed since.
	Ready map[string]bool `json:"ready"`
}

// hook is what `tenantry hook create --json` prints.
type hook struct {
	Source      string `json:"source"`
	Secret      string `json:"secret"`
	OperatorKey string `json:"operator_key"`
}

func loadState(path string) (*state, error) {
	s := &state{path: path, Messages: map[string]string{}, Ready: map[string]bool{}}
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(content, s); err != nil {
		return nil, fmt.Errorf("%s: %w (make dev-reset starts afresh)", path, err)
	}
	return s, nil
}

func (s *state) save() error {
	content, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	return writeSecret(s.path, content)
}

// writeSecret replaces a file in one step, readable by this user alone.
func writeSecret(path string, content []byte) error {
	half := path + ".new"
	if err := os.WriteFile(half, content, 0o600); err != nil {
		return err
	}
	return os.Rename(half, path)
}

// reset forgets everything a stack has made.
func reset(c *config) error {
	if _, err := os.Stat(c.dir); errors.Is(err, fs.ErrNotExist) {
		fmt.Println("Nothing to forget.")
		return nil
	}
	// Only what up made is deleted, whatever DEV_DIR says.
	if _, err := os.Stat(c.path("lock")); err != nil {
		return fmt.Errorf("%s was not made by devstack up", c.dir)
	}
	lock, err := c.lock()
	if err != nil {
		return err
	}
	defer func() { _ = lock.Close() }()
	cluster, err := devstack.PostgresDir(c.path("pg"))
	if err != nil {
		return err
	}
	if err := os.RemoveAll(cluster); err != nil {
		return err
	}
	if filepath.Dir(cluster) != c.dir {
		if err := os.Remove(filepath.Dir(cluster)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := os.RemoveAll(c.dir); err != nil {
		return err
	}
	fmt.Printf("Forgot %s.\n", c.shown(c.dir))
	return nil
}
