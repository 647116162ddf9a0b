package recovery

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestChange_WaitsAndIsUndoableInItsTime(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	c := change{expires: now.Add(changeTTL)}
	require.True(t, c.waits(now.Add(changeTTL-time.Second)))
	require.False(t, c.waits(now.Add(changeTTL)))
	require.False(t, c.undoable(now), "nothing was confirmed")
	c.confirmedAt = &now
	require.False(t, c.waits(now), "a second time")
	require.True(t, c.undoable(now.Add(undoTTL-time.Second)))
	require.False(t, c.undoable(now.Add(undoTTL)))
	c.undoneAt = &now
	require.False(t, c.undoable(now))
}
