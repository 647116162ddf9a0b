package api

import (
	"maps"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	invitationsv1 "tenantry/api/gen/tenantry/invitations/v1"
	rolesv1 "tenantry/api/gen/tenantry/roles/v1"
	settingsv1 "tenantry/api/gen/tenantry/settings/v1"
	usersv1 "tenantry/api/gen/tenantry/users/v1"
)

func init() { maps.Copy(scenes, peopleScenes) }

// user makes somebody and answers their id; their version is 1.
func (s scene) user(t *testing.T) (id string) {
	t.Helper()
	s.fillIn(t, s.host, s.registered(t), nil)
	require.NoError(t, s.sql(t).QueryRow(t.Context(), `SELECT id::text FROM users WHERE email_normalized = $1`, s.email()).Scan(&id))
	return id
}

// registered answers the page behind a registration's mail.
func (s scene) registered(t *testing.T) string {
	t.Helper()
	a := s.as(t, "", "POST", "/v1/auth/register", `{"name":"P","email":"`+s.email()+`","password":"`+goodPassword+`"}`)
	require.Equal(t, http.StatusOK, a.status, a.body)
	return s.link(t, s.tenant(t), s.email())
}

func (s scene) customRole(t *testing.T) string {
	t.Helper()
	return s.as(t, s.owner, "POST", "/v1/roles", `{"name":"`+s.name+`","permissions":["users.read"]}`).get(t, http.StatusOK, "id")
}

func (s scene) invitation(t *testing.T) string {
	t.Helper()
	return s.as(t, s.owner, "POST", "/v1/invitations", `{"email":"`+s.email()+`"}`).get(t, http.StatusOK, "id")
}

var peopleScenes = map[string]func(*testing.T, scene) proto.Message{
	"GetUser": func(t *testing.T, s scene) proto.Message { return &usersv1.GetUserRequest{Id: s.user(t)} },
	"UpdateUser": func(t *testing.T, s scene) proto.Message {
		return &usersv1.UpdateUserRequest{Id: s.user(t), Version: 1, Name: proto.String("Q"), Locale: proto.String("pt-BR")}
	},
	"DeleteUser": func(t *testing.T, s scene) proto.Message {
		return &usersv1.DeleteUserRequest{Id: s.user(t), Version: 1}
	},
	"RestoreUser": func(t *testing.T, s scene) proto.Message {
		id := s.user(t)
		require.Equal(t, http.StatusOK, s.as(t, s.owner, "DELETE", "/v1/users/"+id+"?version=1", "").status)
		return &usersv1.RestoreUserRequest{Id: id}
	},
	"SetUserRoles": func(t *testing.T, s scene) proto.Message {
		return &usersv1.SetUserRolesRequest{Id: s.user(t), Version: 1, RoleIds: []string{s.role(t, "auditor"), s.role(t, "admin")}}
	},

	"CreateRole": func(_ *testing.T, s scene) proto.Message {
		return &rolesv1.CreateRoleRequest{Name: s.name, Description: "d", Permissions: []string{"users.read"}}
	},
	"GetRole":   func(t *testing.T, s scene) proto.Message { return &rolesv1.GetRoleRequest{Id: s.customRole(t)} },
	"ListRoles": func(*testing.T, scene) proto.Message { return &rolesv1.ListRolesRequest{Limit: 1} },
	"UpdateRole": func(t *testing.T, s scene) proto.Message {
		return &rolesv1.UpdateRoleRequest{
			Id: s.customRole(t), Version: 1, Description: proto.String(""), Permissions: &rolesv1.PermissionList{Values: []string{"audit.read"}},
		}
	},
	"DeleteRole": func(t *testing.T, s scene) proto.Message {
		return &rolesv1.DeleteRoleRequest{Id: s.customRole(t), Version: 1}
	},

	"CreateInvitation": func(t *testing.T, s scene) proto.Message {
		return &invitationsv1.CreateInvitationRequest{Email: s.email(), RoleIds: []string{s.role(t, "auditor")}, Locale: proto.String("de")}
	},
	"GetInvitation": func(t *testing.T, s scene) proto.Message {
		return &invitationsv1.GetInvitationRequest{Id: s.invitation(t)}
	},
	"ListInvitations": func(*testing.T, scene) proto.Message {
		return &invitationsv1.ListInvitationsRequest{Limit: 1}
	},
	"ResendInvitation": func(t *testing.T, s scene) proto.Message {
		id := s.invitation(t)
		_, err := s.sql(t).Exec(t.Context(), `UPDATE invitations SET expires_at = expires_at - interval '1 hour' WHERE id = $1`, id)
		require.NoError(t, err)
		return &invitationsv1.ResendInvitationRequest{Id: id}
	},
	"RevokeInvitation": func(t *testing.T, s scene) proto.Message {
		return &invitationsv1.RevokeInvitationRequest{Id: s.invitation(t)}
	},

	"GetSettings": func(*testing.T, scene) proto.Message { return &settingsv1.GetSettingsRequest{} },
	"UpdateSettings": func(t *testing.T, s scene) proto.Message {
		// Each door finds the version that the others have found.
		_, err := s.sql(t).Exec(t.Context(), `UPDATE settings SET version = 1`)
		require.NoError(t, err)
		return &settingsv1.UpdateSettingsRequest{
			Version: 1, TimeZone: proto.String("Europe/Berlin"), AppUrl: proto.String(""), PasswordWords: &settingsv1.WordList{Values: []string{"acme"}},
		}
	},
}
