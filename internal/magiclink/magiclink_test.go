package magiclink

import (
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"tenantry/internal/ids"
	"tenantry/internal/secrets"
	"tenantry/internal/testdb"
)

func TestNewCode_IsEvenAndUnambiguous(t *testing.T) {
	t.Parallel()
	const n = 20_000
	count := map[rune]int{}
	for range n {
		code := newCode()
		require.Len(t, code, codeLen)
		for _, c := range code {
			require.Contains(t, alphabet, string(c))
			count[c]++
		}
	}
	require.False(t, strings.ContainsAny(alphabet, "01AEIOUL"))
	even := float64(n*codeLen) / float64(len(alphabet))
	for c, got := range count {
		require.InDelta(t, even, float64(got), 0.1*even, string(c)) // about 6.5 standard deviations
	}
}

func TestHashCode_IsTheCodeAsPeopleTypeIt(t *testing.T) {
	t.Parallel()
	ring, err := secrets.ParseKeyring(testdb.NewRing())
	require.NoError(t, err)
	key, _, err := secrets.NewDataKey(ring, ids.NewTenant())
	require.NoError(t, err)
	id := uuid.New()
	want := hashCode(key, id, "B7KXQ2")
	for _, typed := range []string{"b7kxq2", " B7K XQ2 ", "b7k-xq2", "Ｂ７ＫＸＱ２", "Ｂ７Ｋ\u3000ＸＱ２"} {
		require.Equal(t, want, hashCode(key, id, typed), typed)
	}
	require.NotEqual(t, want, hashCode(key, id, "B7KXQ3"))
	require.NotEqual(t, want, hashCode(key, uuid.New(), "B7KXQ2"), "of another request")
}
