package config_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"tenantry/internal/config"
)

func TestWriteMissing_KeepsWhatIsThere(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), ".env")
	require.NoError(t, os.WriteFile(path, []byte("# mine\nTENANTRY_KEK_KEYS=old\nTENANTRY_CODEC_KEYS=\nOTHER=1"), 0o644))
	settings := []config.Setting{{"TENANTRY_KEK_KEYS", "new"}, {"TENANTRY_CODEC_KEYS", "c1:AA=="}, {"TENANTRY_CODEC_TOKEN", "t"}}
	added, err := config.WriteMissing(path, settings)
	require.NoError(t, err)
	require.Equal(t, []string{"TENANTRY_CODEC_KEYS", "TENANTRY_CODEC_TOKEN"}, added)
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "# mine\nTENANTRY_KEK_KEYS=old\nTENANTRY_CODEC_KEYS=c1:AA==\nOTHER=1\nTENANTRY_CODEC_TOKEN=t\n", string(content))
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	left, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	require.Len(t, left, 1, "no half-written file stays")

	added, err = config.WriteMissing(path, settings)
	require.NoError(t, err)
	require.Empty(t, added)
}

func TestWriteMissing_RefusesWhatReadersTakeDifferently(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), ".env")
	for _, value := range []string{"", "a b", "$HOME", "a#b", "a'b", "a\nB=c", `a\b`} {
		_, err := config.WriteMissing(path, []config.Setting{{"TENANTRY_CODEC_TOKEN", value}})
		require.ErrorContains(t, err, "TENANTRY_CODEC_TOKEN")
		require.NoFileExists(t, path)
	}
}
