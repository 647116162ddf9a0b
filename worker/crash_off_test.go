//go:build !crashpoints

package worker

import (
	"bytes"
	"go/build"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCrashPoints_AreNotInAReleaseBuild(t *testing.T) {
	t.Parallel()
	require.Empty(t, crashPoints())
	files := func(tags ...string) []string {
		c := build.Default
		c.BuildTags = tags
		p, err := c.ImportDir(".", 0)
		require.NoError(t, err)
		return p.GoFiles
	}
	require.NotContains(t, files(), "crash_on.go")
	require.Contains(t, files("crashpoints"), "crash_on.go")

	// This binary is built as a release is: no name of a crash point in it.
	self, err := os.Executable()
	require.NoError(t, err)
	b, err := os.ReadFile(self)
	require.NoError(t, err)
	for _, parts := range [][]string{{"TENANTRY", "CRASH"}, {"TENANTRY", "CRASH", "MARKER"}, {"parse", "Crashes"}} {
		sep := "_"
		if parts[0] == "parse" {
			sep = ""
		}
		require.False(t, bytes.Contains(b, []byte(strings.Join(parts, sep))), parts)
	}
	require.True(t, bytes.Contains(b, []byte("tenantry/worker.(*relay)")), "the scan must see symbols")
}
