package test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tenantry/internal/systest"
)

// verifier is what a browser keeps while it asks for a link (RFC 7636).
const verifier = "a-verifier-of-forty-three-characters-or-more_0~"

func challengeOf(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// settings changes a tenant's settings as their owner.
func settings(t *testing.T, s *systest.System, slug, owner string, changes map[string]any) {
	t.Helper()
	ctx := within(t, 30*time.Second)
	a, err := s.Get(ctx, slug, "/v1/settings", owner)
	require.NoError(t, err)
	var now struct{ Version string }
	require.NoError(t, a.JSON(&now))
	changes["version"] = now.Version
	a, err = s.Call(ctx, http.MethodPatch, s.TenantURL(slug, "/v1/settings"), owner, changes)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, a.Status, a.String())
}

// roleOf answers the id of a role.
func roleOf(t *testing.T, s *systest.System, slug, owner, name string) string {
	t.Helper()
	a, err := s.Get(within(t, 30*time.Second), slug, "/v1/roles?limit=100", owner)
	require.NoError(t, err)
	var list struct{ Roles []struct{ ID, Name string } }
	require.NoError(t, a.JSON(&list))
	for _, r := range list.Roles {
		if r.Name == name {
			return r.ID
		}
	}
	require.Fail(t, "no role "+name)
	return ""
}

func encode(t *testing.T, v any) []byte {
	t.Helper()
	text, err := json.Marshal(v)
	require.NoError(t, err)
	return text
}
