package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/joho/godotenv"
)

// Setting is one line of a .env file; Name carries the prefix.
type Setting struct{ Name, Value string }

// ReadFile answers the variables of a .env file, none when there is no file.
func ReadFile(path string) (map[string]string, error) {
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return map[string]string{}, nil
	}
	if err != nil {
		return nil, err
	}
	values, err := godotenv.UnmarshalBytes(content)
	if err != nil {
		return nil, fmt.Errorf("%s: %s", path, unreadableLine(content))
	}
	return values, nil
}

// WriteMissing adds the settings that the file at path lacks or leaves empty,
// and answers their names. It keeps every other line, makes the file readable
// by its owner alone, and replaces it in one step, so a crash leaves the old
// file or the new one. Values must hold none of space, quote, $, # and
// backslash, which shells and .env readers take differently.
func WriteMissing(path string, settings []Setting) ([]string, error) {
	have, err := ReadFile(path)
	if err != nil {
		return nil, err
	}
	content, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var added []string
	for _, s := range settings {
		if have[s.Name] != "" || slices.Contains(added, s.Name) {
			continue
		}
		if s.Value == "" || strings.ContainsAny(s.Value, " \t\r\n\"'`$#\\") {
			return nil, fmt.Errorf("%s: the value cannot stand in a .env file", s.Name)
		}
		content = setLine(content, s)
		added = append(added, s.Name)
	}
	if len(added) == 0 {
		return nil, nil
	}
	return added, replaceFile(path, content)
}

// setLine replaces an assignment of nothing, or adds a line.
func setLine(content []byte, s Setting) []byte {
	line := []byte(s.Name + "=" + s.Value)
	lines := bytes.Split(content, []byte("\n"))
	for i, l := range lines {
		name, _, found := strings.Cut(strings.TrimPrefix(strings.TrimSpace(string(l)), "export "), "=")
		if found && strings.TrimSpace(name) == s.Name {
			lines[i] = line
			return bytes.Join(lines, []byte("\n"))
		}
	}
	if len(content) > 0 && !bytes.HasSuffix(content, []byte("\n")) {
		content = append(content, '\n')
	}
	return append(append(content, line...), '\n')
}

func replaceFile(path string, content []byte) (err error) {
	// Through a link, so that the link stays one.
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".new-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = f.Close()
			_ = os.Remove(f.Name())
		}
	}()
	if _, err = f.Write(content); err != nil {
		return err
	}
	if err = f.Sync(); err != nil {
		return err
	}
	if err = f.Close(); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes the rename last: the keys in the file exist nowhere else.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }()
	return d.Sync()
}

// unreadableLine names the line at which a .env file stops being readable,
// without its content.
func unreadableLine(content []byte) string {
	lines := bytes.Split(content, []byte("\n"))
	for n := len(lines) - 1; n > 0; n-- {
		if _, err := godotenv.UnmarshalBytes(bytes.Join(lines[:n], []byte("\n"))); err == nil {
			return fmt.Sprintf("line %d cannot be read", n+1)
		}
	}
	return "line 1 cannot be read"
}
