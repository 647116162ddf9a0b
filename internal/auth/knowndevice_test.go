package auth

import (
	"encoding/base64"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"tenantry/internal/clock"
	"tenantry/internal/ids"
	"tenantry/internal/secrets"
)

func dataKey(t *testing.T) secrets.DataKey {
	t.Helper()
	raw, err := secrets.ParseKeyring("k:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")
	require.NoError(t, err)
	key, _, err := secrets.NewDataKey(raw, ids.NewTenant())
	require.NoError(t, err)
	return key
}

// Planted: a device whose age, epoch or account is not looked at.
func TestKnownDevice_IsKnownForHalfAYearToItsAccountAndEpoch(t *testing.T) {
	t.Parallel()
	key, user, now := dataKey(t), ids.New(), clock.System()
	token := newDevice(user, 3).token(key, now)
	d, ok := readDevice(key, token, now)
	require.True(t, ok)
	require.True(t, d.of(user, 3))
	require.False(t, d.of(user, 4), "an account that has forgotten its devices")
	require.False(t, d.of(ids.New(), 3))
	require.False(t, d.of(uuid.Nil, 0), "nobody's account")
	for days, known := range map[int]bool{-1: true, 179: true, 180: true, 181: false, 400: false} {
		_, ok := readDevice(key, token, now.AddDate(0, 0, days))
		require.Equal(t, known, ok, "after %d days", days)
	}
	renewed, ok := readDevice(key, d.token(key, now.AddDate(0, 0, 100)), now.AddDate(0, 0, 270))
	require.True(t, ok, "a login renews it")
	require.Equal(t, d.id, renewed.id, "and it stays the same device")
	account, ok := DeviceAccount(key, token, now)
	require.True(t, ok)
	require.Equal(t, ids.User(user), account)
}

// Planted: a token whose signature, or version, is not looked at.
func TestKnownDevice_RefusesWhatIsNotOurToken(t *testing.T) {
	t.Parallel()
	key, now := dataKey(t), clock.System()
	token := newDevice(ids.New(), 1).token(key, now)
	_, ok := readDevice(dataKey(t), token, now)
	require.False(t, ok, "another tenant's")
	for i := range len(token) {
		flipped := []byte(token)
		flipped[i] ^= 1
		_, ok := readDevice(key, string(flipped), now)
		require.False(t, ok, "character %d is another", i)
	}
	raw, err := base64.RawURLEncoding.DecodeString(token)
	require.NoError(t, err)
	raw[0]++
	_, ok = readDevice(key, base64.RawURLEncoding.EncodeToString(append(raw[:deviceBody], deviceMAC(key, raw[:deviceBody])...)), now)
	require.False(t, ok, "signed, of a version that this release does not know")
	for _, bad := range []string{"", "x", token[:len(token)-1], token + "=", token + "A", " " + token, token[:20] + "\n" + token[21:]} {
		_, ok := readDevice(key, bad, now)
		require.False(t, ok, "%q", bad)
	}
}

func TestKnownDevice_IsReadInMicroseconds(t *testing.T) {
	t.Parallel()
	key, now := dataKey(t), clock.System()
	token := newDevice(ids.New(), 1).token(key, now)
	start := time.Now()
	for range 1000 {
		readDevice(key, token, now)
	}
	require.Less(t, time.Since(start), time.Second)
}
