package test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tenantry/internal/systest/crash"
)

// TestCrash_SamplePointsLeaveAWholeTenantOrNothing is `make crash` in short.
func TestCrash_SamplePointsLeaveAWholeTenantOrNothing(t *testing.T) {
	t.Parallel()
	var table strings.Builder
	summary, err := crash.Run(within(t, 8*time.Minute), crash.Options{Points: 12, Seed: 2, Lanes: 2, Say: t.Logf})
	summary.Print(&table)
	t.Log("\n" + table.String())
	require.NoError(t, err)
	require.True(t, summary.Green(), table.String())
}

// TestCrash_SeesAMissingCompensation proves the harness: with a compensation
// that does nothing it is red.
func TestCrash_SeesAMissingCompensation(t *testing.T) {
	t.Parallel()
	summary, err := crash.Run(within(t, 5*time.Minute), crash.Options{Points: 2, Seed: 1, Lanes: 1, Sabotage: "DropRole"})
	require.NoError(t, err)
	require.False(t, summary.Green())
	require.Len(t, summary.Results, 4, "the success path, the failing path, two points of it")
	require.Equal(t, crash.Provisioned, summary.Results[0].Outcome, "nothing is taken back here")
	for _, r := range summary.Results[1:] {
		require.Equal(t, crash.Red, r.Outcome, r.What)
		require.Contains(t, strings.Join(r.Problems, " "), "role tn_", r.What)
		require.Contains(t, strings.Join(r.Problems, " "), "tenantry verify", r.What)
	}
}
