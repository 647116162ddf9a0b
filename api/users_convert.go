package api

import (
	"slices"

	usersv1 "tenantry/api/gen/tenantry/users/v1"
	"tenantry/internal/auth"
	"tenantry/internal/users"
)

func userMessage(u users.User) *usersv1.User {
	return &usersv1.User{
		Id: u.ID.String(), Name: u.Name, Email: u.Email, CreateTime: timestamp(&u.CreatedAt),
		LastLoginTime: timestamp(u.LastLoginAt), LoginCount: u.LoginCount, Version: u.Version,
	}
}

func meMessage(p auth.Principal) *usersv1.GetMeResponse {
	return &usersv1.GetMeResponse{
		User: userMessage(users.User{
			ID: p.User, Name: p.Name, Email: p.Email, CreatedAt: p.CreatedAt,
			LastLoginAt: p.LastLoginAt, LoginCount: p.LoginCount, Version: p.Version,
		}),
		Roles: p.Roles, Permissions: slices.Sorted(slices.Values(p.Permissions)), SessionId: p.Session.String(),
	}
}
