package apikeys

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"tenantry/internal/apperr"
	"tenantry/internal/ids"
	"tenantry/internal/rbac"
)

func TestParse_TakesWhatMintMadeAndNoOtherSpelling(t *testing.T) {
	t.Parallel()
	id := ids.New()
	text, hash := mint(id)
	require.True(t, LooksLikeKey(text))
	p, ok := Parse(text)
	require.True(t, ok)
	require.Equal(t, id, p.ID)
	require.Equal(t, hash, p.hash[:])
	for _, bad := range []string{"", "tnk_", text[:len(text)-1], text + "0", strings.ToUpper(text), " " + text, "tnk-" + text[4:]} {
		_, ok := Parse(bad)
		require.False(t, ok, bad)
	}
}

// One changed character anywhere never parses: CRC-32 finds every burst of up
// to 32 bits.
func TestParse_RefusesEverySlipOfOneCharacter(t *testing.T) {
	t.Parallel()
	text, _ := mint(ids.New())
	rapid.Check(t, func(t *rapid.T) {
		at := rapid.IntRange(0, len(text)-1).Draw(t, "at")
		c := byte(rapid.IntRange(0x21, 0x7e).Draw(t, "c"))
		if text[at] == c {
			return
		}
		_, ok := Parse(text[:at] + string(c) + text[at+1:])
		if ok {
			t.Fatalf("position %d, %q", at, c)
		}
	})
}

func TestCanonical_OneSpellingPerNetwork(t *testing.T) {
	t.Parallel()
	out, err := canonical([]string{"203.0.113.7", "203.0.113.7/32", "203.0.113.9/24", "2001:db8::1", "2001:DB8:0::/48"})
	require.NoError(t, err)
	require.Equal(t, []string{"203.0.113.7/32", "203.0.113.0/24", "2001:db8::1/128", "2001:db8::/48"}, out)
	for _, bad := range []string{"", "10.0.0.0/33", "host.example", "10.0.0.1/8/8", "fe80::1%eth0", "::ffff:10.0.0.1", "::ffff:10.0.0.0/104"} {
		_, err := canonical([]string{bad})
		e, ok := apperr.As(err)
		require.True(t, ok, bad)
		require.Equal(t, "allowed_networks", e.Fields[0].Path)
	}
}

func TestCheckScopes_NamesWhatIsAllowed(t *testing.T) {
	t.Parallel()
	require.NoError(t, checkScopes([]string{"users.read"}))
	for _, bad := range [][]string{nil, {"users.*"}, {"users.read", "USERS.READ"}} {
		err := checkScopes(bad)
		require.Equal(t, apperr.Invalid, apperr.KindOf(err))
		require.ErrorContains(t, err, strings.Join(rbac.Permissions, ", "))
	}
}
