package api

import (
	rolesv1 "tenantry/api/gen/tenantry/roles/v1"
	"tenantry/internal/rbac"
)

func roleMessage(r rbac.Role) *rolesv1.Role {
	return &rolesv1.Role{
		Id: r.ID.String(), Name: r.Name, Description: r.Description, Builtin: r.Builtin, Permissions: r.Permissions,
		CreateTime: timestamp(&r.CreatedAt), UpdateTime: timestamp(&r.UpdatedAt), Version: r.Version,
	}
}

func deletedRole(struct{}) *rolesv1.DeleteRoleResponse { return &rolesv1.DeleteRoleResponse{} }
