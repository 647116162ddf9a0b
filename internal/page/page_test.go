package page

import (
	"encoding/base64"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"tenantry/internal/apperr"
	"tenantry/internal/ids"
	"tenantry/internal/secrets"
)

func dataKey(t *testing.T) secrets.DataKey {
	t.Helper()
	r, err := secrets.ParseKeyring("k:" + base64.StdEncoding.EncodeToString(make([]byte, secrets.KeySize)))
	require.NoError(t, err)
	d, _, err := secrets.NewDataKey(r, ids.NewTenant())
	require.NoError(t, err)
	return d
}

func TestCursor_KeepsMicrosecondsAndEndsTheWalk(t *testing.T) {
	t.Parallel()
	key := dataKey(t)
	want := Position{CreatedAt: time.Date(2026, 1, 2, 3, 4, 5, 678_901_000, time.UTC), ID: uuid.New()}
	at := func(p Position) Position { return p }

	r, err := Cut([]Position{want, {}}, 1, key, "users", at)
	require.NoError(t, err)
	require.Len(t, r.Items, 1)
	got, err := Request{Cursor: r.Next}.After(key, "users")
	require.NoError(t, err)
	require.Equal(t, want, *got)

	r, err = Cut([]Position{want}, 1, key, "users", at)
	require.NoError(t, err)
	require.Empty(t, r.Next, "the last page has no cursor")
}

func TestCursor_IsWorthNothingElsewhere(t *testing.T) {
	t.Parallel()
	key := dataKey(t)
	r, err := Cut([]Position{{ID: uuid.New()}, {}}, 1, key, "users", func(p Position) Position { return p })
	require.NoError(t, err)
	for name, c := range map[string]struct {
		key    secrets.DataKey
		list   string
		cursor string
	}{
		"another tenant": {dataKey(t), "users", r.Next},
		"another list":   {key, "tenants", r.Next},
		"truncated":      {key, "users", r.Next[:len(r.Next)-4]},
		"random":         {key, "users", "AAAA"},
		"not base64":     {key, "users", "%%%"},
		"padded":         {key, "users", r.Next + "=="},
	} {
		_, err := Request{Cursor: c.cursor}.After(c.key, c.list)
		require.Equal(t, "CURSOR_INVALID", apperr.ReasonOf(err), name)
	}
}

func TestSize_RefusesOutOfBounds(t *testing.T) {
	t.Parallel()
	for limit, ok := range map[int]bool{-1: false, 0: true, 1: true, 100: true, 101: false} {
		_, err := Request{Limit: limit}.Size()
		require.Equal(t, ok, err == nil, limit)
	}
}
