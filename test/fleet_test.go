package test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tenantry/internal/systest/fleet"
)

// TestFleet_ASliceStaysWithinItsBudget is `make fleet` in short: eight tenants
// where each process has room for four connections, so they come and go; three
// callers at each would give one tenant more than its share, if they could.
func TestFleet_ASliceStaysWithinItsBudget(t *testing.T) {
	t.Parallel()
	var table strings.Builder
	summary, err := fleet.Run(within(t, 5*time.Minute), fleet.Options{Tenants: 8, Requests: 600, Budget: 4, Share: 1, Workers: 3, OpenRate: 40, OpenTime: 3 * time.Second, Seed: 3, Say: t.Logf})
	require.NoError(t, err)
	summary.Print(&table)
	t.Log("\n" + table.String())
	require.Empty(t, summary.Problems(), table.String())
	require.Positive(t, summary.Evictions, "connections came and went")
}
