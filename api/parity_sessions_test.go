package api

import (
	"maps"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	authv1 "tenantry/api/gen/tenantry/auth/v1"
)

func init() { maps.Copy(scenes, sessionScenes) }

// session opens one more session of the owner's and answers its id.
func (s scene) session(t *testing.T) string {
	t.Helper()
	return s.as(t, "", "POST", "/v1/auth/login", `{"email":"owner@acme.example","password":"`+goodPassword+`"}`).get(t, http.StatusOK, "session_id")
}

var sessionScenes = map[string]func(*testing.T, scene) proto.Message{
	"ListSessions": func(*testing.T, scene) proto.Message { return &authv1.ListSessionsRequest{Limit: 1} },
	"RevokeSession": func(t *testing.T, s scene) proto.Message {
		return &authv1.RevokeSessionRequest{Id: s.session(t)}
	},
	"RevokeAllSessions": func(t *testing.T, s scene) proto.Message {
		// Each door ends one session: those of other scenes end here.
		_, err := s.sql(t).Exec(t.Context(), `
			UPDATE sessions SET revoked_at = now() WHERE revoked_at IS NULL AND id NOT IN (SELECT id FROM sessions ORDER BY created_at, id LIMIT 1)`)
		require.NoError(t, err)
		s.session(t)
		return &authv1.RevokeAllSessionsRequest{}
	},
}
