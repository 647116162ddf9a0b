package auth

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"tenantry/internal/ids"
)

// Planted: handing out what is remembered instead of a copy.
func TestReadRoles_NobodyGetsWhatAnotherHasNarrowed(t *testing.T) {
	t.Parallel()
	text := []byte(fmt.Sprintf(`[{"id":%q,"name":"admin","permissions":["users.read","audit.read"]},{"id":%q,"name":"b","permissions":["users.read"]}]`, ids.New(), ids.New()))
	var a, b Principal
	require.NoError(t, a.ReadRoles(text))
	require.Equal(t, []string{"audit.read", "users.read"}, a.Permissions)
	require.Equal(t, []string{"admin", "b"}, a.Roles)
	a.Permissions[0], a.Roles[0] = "tenant.manage", "owner"
	require.NoError(t, b.ReadRoles(text))
	require.Equal(t, []string{"audit.read", "users.read"}, b.Permissions)
	require.Equal(t, []string{"admin", "b"}, b.Roles)
	require.Error(t, a.ReadRoles([]byte(`[`)))
}

func TestReadRoles_TheMemoryIsBounded(t *testing.T) {
	t.Parallel()
	for i := range maxGranted + 10 {
		var p Principal
		require.NoError(t, p.ReadRoles(fmt.Appendf(nil, `[{"id":%q,"name":"r%d","permissions":[]}]`, ids.New(), i)))
	}
	parsed.RLock()
	defer parsed.RUnlock()
	require.LessOrEqual(t, len(parsed.of), maxGranted)
}
