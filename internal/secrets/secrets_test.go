package secrets

import (
	"encoding/base64"
	"testing"

	"github.com/stretchr/testify/require"

	"tenantry/internal/ids"
)

func ring(t *testing.T, names ...string) *Keyring {
	t.Helper()
	text := ""
	for i, n := range names {
		if i > 0 {
			text += ","
		}
		raw := make([]byte, KeySize)
		copy(raw, n)
		text += n + ":" + base64.StdEncoding.EncodeToString(raw)
	}
	r, err := ParseKeyring(text)
	require.NoError(t, err)
	return r
}

func TestKeyring_RefusesMalformedKeysWithoutShowingThem(t *testing.T) {
	t.Parallel()
	secret := base64.StdEncoding.EncodeToString([]byte("short secret"))
	for _, text := range []string{"", "noid", ":" + secret, "UPPER:" + secret, "a:" + secret, "a:!!!", "averyveryverylongid:" + secret} {
		_, err := ParseKeyring(text)
		require.Error(t, err, text)
		require.NotContains(t, err.Error(), secret)
	}
	k := base64.StdEncoding.EncodeToString(make([]byte, KeySize))
	_, err := ParseKeyring("a:" + k + ",a:" + k)
	require.ErrorContains(t, err, "twice")
}

func TestKeyring_FirstEncryptsAllDecrypt(t *testing.T) {
	t.Parallel()
	sealed, err := ring(t, "old").Seal([]byte("x"), "ad")
	require.NoError(t, err)
	plain, err := ring(t, "new", "old").Open(sealed, "ad")
	require.NoError(t, err)
	require.Equal(t, "x", string(plain))
	_, err = ring(t, "new").Open(sealed, "ad")
	require.ErrorIs(t, err, ErrOpen)
}

func TestOpen_RefusesAnotherOwnerPurposeOrEdit(t *testing.T) {
	t.Parallel()
	r := ring(t, "k")
	a, sealedA, err := NewDataKey(r, ids.NewTenant())
	require.NoError(t, err)
	b, _, err := NewDataKey(r, ids.NewTenant())
	require.NoError(t, err)
	ct, err := a.Seal([]byte("value"), "purpose")
	require.NoError(t, err)

	_, err = b.Open(ct, "purpose")
	require.ErrorIs(t, err, ErrOpen)
	_, err = a.Open(ct, "other")
	require.ErrorIs(t, err, ErrOpen)
	for i := range ct {
		edited := append([]byte(nil), ct...)
		edited[i] ^= 1
		_, err = a.Open(edited, "purpose")
		require.ErrorIs(t, err, ErrOpen)
	}
	_, err = OpenDataKey(r, ids.NewTenant(), sealedA)
	require.ErrorIs(t, err, ErrOpen, "a data key moved to another tenant's row must not open")
}

func TestSubjectKey_SealsForOnePersonOnly(t *testing.T) {
	t.Parallel()
	d, _, err := NewDataKey(ring(t, "k"), ids.NewTenant())
	require.NoError(t, err)
	jo, sealed, err := NewSubjectKey(d)
	require.NoError(t, err)
	li, _, err := NewSubjectKey(d)
	require.NoError(t, err)
	ct, err := jo.Seal("jo@example.com", "email")
	require.NoError(t, err)
	_, err = li.Open(ct, "email")
	require.ErrorIs(t, err, ErrOpen)
	again, err := OpenSubjectKey(d, jo.ID, sealed)
	require.NoError(t, err)
	email, err := again.Open(ct, "email")
	require.NoError(t, err)
	require.Equal(t, "jo@example.com", email)
}

func TestAddressHash_FoldsCaseAndWidthButNotPlus(t *testing.T) {
	t.Parallel()
	d, _, err := NewDataKey(ring(t, "k"), ids.NewTenant())
	require.NoError(t, err)
	other, _, err := NewDataKey(ring(t, "k"), ids.NewTenant())
	require.NoError(t, err)
	require.Equal(t, d.AddressHash("Jo@Example.com"), d.AddressHash(" jo@example.COM "))
	require.Equal(t, d.AddressHash("jo@example.com"), d.AddressHash("jo@example.com"))
	require.NotEqual(t, d.AddressHash("jo@example.com"), d.AddressHash("jo+a@example.com"))
	require.NotEqual(t, d.AddressHash("jo@example.com"), other.AddressHash("jo@example.com"))
}
