package auth

import (
	"context"
	"encoding/base64"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"tenantry/internal/argon"
	"tenantry/internal/secrets"
)

func pepper(t *testing.T, ids ...string) *secrets.Keyring {
	t.Helper()
	var parts []string
	for _, id := range ids {
		raw := make([]byte, secrets.KeySize)
		copy(raw, id)
		parts = append(parts, id+":"+base64.StdEncoding.EncodeToString(raw))
	}
	r, err := secrets.ParseKeyring(strings.Join(parts, ","))
	require.NoError(t, err)
	return r
}

func hasher(t *testing.T, ids ...string) *Hasher {
	t.Helper()
	h, err := NewHasher(pepper(t, ids...), 1, argon.Task.Sum)
	require.NoError(t, err)
	return h
}

func TestVerify_RefusesWrongAndUnknown(t *testing.T) {
	t.Parallel()
	h := hasher(t, "p")
	stored, err := h.Hash(t.Context(), "correct horse battery")
	require.NoError(t, err)
	for name, c := range map[string]struct {
		stored, password string
		ok               bool
	}{
		"right":                 {stored, "correct horse battery", true},
		"wrong":                 {stored, "correct horse batterz", false},
		"empty":                 {stored, "", false},
		"unknown account":       {"", "correct horse battery", false},
		"the dummy's password":  {"", "a password that nobody has", false},
		"same, wide characters": {stored, "correct horse battery", true},
	} {
		ok, _, err := h.Verify(t.Context(), c.stored, c.password)
		require.NoError(t, err, name)
		require.Equal(t, c.ok, ok, name)
	}
}

func TestVerify_RenewsUnderNewPepper(t *testing.T) {
	t.Parallel()
	stored, err := hasher(t, "old").Hash(t.Context(), "correct horse battery")
	require.NoError(t, err)
	ok, renew, err := hasher(t, "new", "old").Verify(t.Context(), stored, "correct horse battery")
	require.NoError(t, err)
	require.True(t, ok)
	require.True(t, renew)
	_, _, err = hasher(t, "new").Verify(t.Context(), stored, "correct horse battery")
	require.ErrorContains(t, err, "pepper", "a missing pepper is a fault of the operator, not a wrong password")
}

func TestHasher_NeverRunsMoreThanItsWidth(t *testing.T) {
	t.Parallel()
	h := hasher(t, "p")
	var running, most atomic.Int32
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			require.NoError(t, h.take(context.Background()))
			most.Store(max(most.Load(), running.Add(1)))
			running.Add(-1)
			h.give()
		})
	}
	wg.Wait()
	require.EqualValues(t, 1, most.Load())
}

func TestHasher_WaiterLeavesWithItsContext(t *testing.T) {
	t.Parallel()
	h := hasher(t, "p")
	require.NoError(t, h.take(t.Context()))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := h.Hash(ctx, "x")
	require.ErrorIs(t, err, context.Canceled)
}

// A crowd waits outside: one hashes, one is looked up.
func TestEnter_LetsOneMoreInThanCanHash(t *testing.T) {
	t.Parallel()
	h := hasher(t, "p")
	first, err := h.Enter(t.Context())
	require.NoError(t, err)
	second, err := h.Enter(t.Context())
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = h.Enter(ctx)
	require.ErrorIs(t, err, context.Canceled)
	first()
	third, err := h.Enter(t.Context())
	require.NoError(t, err)
	second()
	third()
}
