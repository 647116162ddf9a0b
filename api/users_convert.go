package api

import (
	"slices"

	"github.com/google/uuid"

	usersv1 "tenantry/api/gen/tenantry/users/v1"
	"tenantry/internal/auth"
	"tenantry/internal/users"
)

func userMessage(u users.User) *usersv1.User {
	return &usersv1.User{
		Id: u.ID.String(), Name: u.Name, Email: u.Email, CreateTime: timestamp(&u.CreatedAt), UpdateTime: timestamp(&u.UpdatedAt),
		DeleteTime: timestamp(u.DeletedAt), LastLoginTime: timestamp(u.LastLoginAt), LoginCount: u.LoginCount, Version: u.Version,
		Roles: userRoles(u.Roles), Locale: u.Locale,
	}
}

// userRoles is absent for roles that were not loaded.
func userRoles(roles []users.Role) *usersv1.UserRoles {
	if roles == nil {
		return nil
	}
	return &usersv1.UserRoles{
		Items: each(roles, func(r users.Role) *usersv1.UserRole { return &usersv1.UserRole{Id: r.ID.String(), Name: r.Name} }),
	}
}

// meMessage is the caller: a person with their session or key, or a service
// account with its key.
func meMessage(p auth.Principal) *usersv1.GetMeResponse {
	out := &usersv1.GetMeResponse{Roles: p.Roles, Permissions: slices.Sorted(slices.Values(p.Permissions))}
	if p.APIKey != uuid.Nil {
		out.ApiKeyId = p.APIKey.String()
	} else {
		out.SessionId = p.Session.String()
	}
	if p.ServiceAccount != uuid.Nil {
		out.ServiceAccountId = p.ServiceAccount.String()
		return out
	}
	u := users.User{
		ID: p.User, Name: p.Name, Email: p.Email, CreatedAt: p.CreatedAt, UpdatedAt: p.UpdatedAt,
		LastLoginAt: p.LastLoginAt, LoginCount: p.LoginCount, Version: p.Version, Locale: p.Locale, Roles: []users.Role{},
	}
	for i, id := range p.RoleIDs {
		u.Roles = append(u.Roles, users.Role{ID: id, Name: p.Roles[i]})
	}
	out.User = userMessage(u)
	return out
}
