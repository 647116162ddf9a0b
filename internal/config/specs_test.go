package config

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/caarlos0/env/v11"
	"github.com/stretchr/testify/require"
)

func TestSpecs_CoverEveryFieldAndNothingElse(t *testing.T) {
	t.Parallel()
	names, err := fieldNames()
	require.NoError(t, err)
	require.Len(t, specs, len(names))
	for _, name := range names {
		require.Contains(t, specs, name)
		require.NotEmpty(t, specs[name].allowed, name)
		require.NotNil(t, specs[name].check, name)
	}
}

// TestEnvExample_DocumentsEveryVariable fails when .env.example and Config
// drift: a variable missing, unknown, in another order, with another default,
// or an example that would be refused.
func TestEnvExample_DocumentsEveryVariable(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile("../../.env.example")
	require.NoError(t, err)
	params, err := env.GetFieldParamsWithOptions(&Config{}, env.Options{})
	require.NoError(t, err)
	assignment := regexp.MustCompile(`^(# ?)?(TENANTRY_[A-Z_]+)=(.*)$`)
	type line struct{ name, value string }
	var documented []line
	comment := false
	for _, l := range strings.Split(string(content), "\n") {
		m := assignment.FindStringSubmatch(l)
		if m == nil {
			comment = comment && strings.TrimSpace(l) != "" || strings.HasPrefix(l, "# ")
			continue
		}
		require.True(t, comment, "%s has no comment above it", m[2])
		documented = append(documented, line{strings.TrimPrefix(m[2], Prefix), m[3]})
	}
	var at int
	for _, p := range params {
		if p.OwnKey == "" {
			continue
		}
		require.Less(t, at, len(documented), "%s is not documented", p.OwnKey)
		require.Equal(t, p.OwnKey, documented[at].name)
		value := documented[at].value
		if p.HasDefaultValue {
			require.Equal(t, p.DefaultValue, value, p.OwnKey)
		}
		if specs[p.OwnKey].secret {
			require.Empty(t, value, "%s: an example secret gets used", p.OwnKey)
		} else if value != "" {
			require.Empty(t, specs[p.OwnKey].check(value), p.OwnKey)
		}
		at++
	}
	require.Len(t, documented, at)
}
