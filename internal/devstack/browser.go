package devstack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
)

// browsers are the names under which Chromium is installed.
var browsers = []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"}

// FindChromium answers the browser on PATH.
func FindChromium() (string, error) {
	for _, name := range browsers {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("no Chromium found on PATH: neither chromium nor google-chrome")
}

// EnsureChromium finds the browser or installs it with apt.
func EnsureChromium(ctx context.Context, progress io.Writer) (string, error) {
	path, missing := FindChromium()
	if missing == nil {
		return path, nil
	}
	if err := aptInstall(ctx, progress, "chromium", "chromium-browser"); err != nil {
		return "", fmt.Errorf("%w; %w", missing, err)
	}
	return FindChromium()
}
