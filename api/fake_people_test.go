package api

import (
	"context"

	invitationsv1 "tenantry/api/gen/tenantry/invitations/v1"
	rolesv1 "tenantry/api/gen/tenantry/roles/v1"
	settingsv1 "tenantry/api/gen/tenantry/settings/v1"
	usersv1 "tenantry/api/gen/tenantry/users/v1"
)

func (f *fake) GetUser(_ context.Context, req *usersv1.GetUserRequest) (*usersv1.User, error) {
	return &usersv1.User{Id: req.GetId(), Version: 1}, nil
}

func (f *fake) UpdateUser(_ context.Context, req *usersv1.UpdateUserRequest) (*usersv1.User, error) {
	f.effects.Add(1)
	return &usersv1.User{Id: req.GetId(), Version: req.GetVersion() + 1}, nil
}

func (f *fake) DeleteUser(_ context.Context, req *usersv1.DeleteUserRequest) (*usersv1.User, error) {
	f.effects.Add(1)
	return &usersv1.User{Id: req.GetId(), Version: req.GetVersion() + 1}, nil
}

func (f *fake) RestoreUser(_ context.Context, req *usersv1.RestoreUserRequest) (*usersv1.User, error) {
	f.effects.Add(1)
	return &usersv1.User{Id: req.GetId()}, nil
}

func (f *fake) SetUserRoles(_ context.Context, req *usersv1.SetUserRolesRequest) (*usersv1.User, error) {
	f.effects.Add(1)
	return &usersv1.User{Id: req.GetId(), Version: req.GetVersion() + 1}, nil
}

func (f *fake) CreateRole(_ context.Context, req *rolesv1.CreateRoleRequest) (*rolesv1.Role, error) {
	f.effects.Add(1)
	return &rolesv1.Role{Name: req.GetName(), Version: 1}, nil
}

func (f *fake) GetRole(_ context.Context, req *rolesv1.GetRoleRequest) (*rolesv1.Role, error) {
	return &rolesv1.Role{Id: req.GetId(), Version: 1}, nil
}

func (f *fake) ListRoles(context.Context, *rolesv1.ListRolesRequest) (*rolesv1.ListRolesResponse, error) {
	return &rolesv1.ListRolesResponse{}, nil
}

func (f *fake) UpdateRole(_ context.Context, req *rolesv1.UpdateRoleRequest) (*rolesv1.Role, error) {
	f.effects.Add(1)
	return &rolesv1.Role{Id: req.GetId(), Version: req.GetVersion() + 1}, nil
}

func (f *fake) DeleteRole(context.Context, *rolesv1.DeleteRoleRequest) (*rolesv1.DeleteRoleResponse, error) {
	f.effects.Add(1)
	return &rolesv1.DeleteRoleResponse{}, nil
}

func (f *fake) CreateInvitation(_ context.Context, req *invitationsv1.CreateInvitationRequest) (*invitationsv1.Invitation, error) {
	f.effects.Add(1)
	return &invitationsv1.Invitation{Email: req.GetEmail(), Version: 1}, nil
}

func (f *fake) GetInvitation(_ context.Context, req *invitationsv1.GetInvitationRequest) (*invitationsv1.Invitation, error) {
	return &invitationsv1.Invitation{Id: req.GetId(), Version: 1}, nil
}

func (f *fake) ListInvitations(context.Context, *invitationsv1.ListInvitationsRequest) (*invitationsv1.ListInvitationsResponse, error) {
	return &invitationsv1.ListInvitationsResponse{}, nil
}

func (f *fake) ResendInvitation(_ context.Context, req *invitationsv1.ResendInvitationRequest) (*invitationsv1.Invitation, error) {
	f.effects.Add(1)
	return &invitationsv1.Invitation{Id: req.GetId()}, nil
}

func (f *fake) RevokeInvitation(_ context.Context, req *invitationsv1.RevokeInvitationRequest) (*invitationsv1.Invitation, error) {
	f.effects.Add(1)
	return &invitationsv1.Invitation{Id: req.GetId()}, nil
}

func (f *fake) GetSettings(context.Context, *settingsv1.GetSettingsRequest) (*settingsv1.Settings, error) {
	return &settingsv1.Settings{Version: 1}, nil
}

func (f *fake) UpdateSettings(_ context.Context, req *settingsv1.UpdateSettingsRequest) (*settingsv1.Settings, error) {
	f.effects.Add(1)
	return &settingsv1.Settings{Version: req.GetVersion() + 1}, nil
}
