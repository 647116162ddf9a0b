package recovery

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tenantry/internal/apperr"
)

func TestCheckPassword_EightCharactersAreEnoughOnlyBesideASecondFactor(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		password     string
		secondFactor bool
		short        bool
		reason       string
	}{
		{"fourteen chars", false, false, "PASSWORD_TOO_SHORT"},
		{"fifteen chars !", false, false, ""},
		{"fourteen chars", true, true, ""},
		{"fifteen chars !", true, false, ""},
		{"8 chars!", true, true, ""},
		{"7 chars", true, false, "PASSWORD_TOO_SHORT"},
		{"😀😀😀😀😀😀😀😀", true, true, ""},
		{strings.Repeat("x", 201), true, false, "PASSWORD_TOO_LONG"},
		{strings.Repeat("x", 1000), false, false, "PASSWORD_TOO_LONG"},
	} {
		short, err := checkPassword(tt.password, tt.secondFactor)
		require.Equal(t, tt.reason != "", err != nil, tt.password)
		if err != nil {
			require.Equal(t, tt.reason, apperr.ReasonOf(err), tt.password)
		}
		require.Equal(t, tt.short, short, tt.password)
	}
}

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
