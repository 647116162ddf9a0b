// Package rbac is what a role allows (U1): permissions are names, a role is a
// set of them, and a person may do what the union of their roles allows.
package rbac

// Names of the built-in roles.
const (
	Owner   = "owner"
	Admin   = "admin"
	Member  = "member"
	Auditor = "auditor"
)

// Permissions is every permission there is, sorted.
var Permissions = []string{
	"analytics.read", "apikeys.manage", "audit.read", "privacy.approve", "roles.manage", "settings.manage", "tenant.manage",
	"users.delete", "users.invite", "users.read", "users.update", "webhooks.manage",
}

// Builtin answers the built-in roles in the order they are seeded. That an
// admin may not grant owner is a rule of granting, not a permission.
func Builtin() []BuiltinRole {
	var admin []string
	for _, p := range Permissions {
		if p != "tenant.manage" {
			admin = append(admin, p)
		}
	}
	return []BuiltinRole{
		{Owner, Permissions},
		{Admin, admin},
		{Member, []string{}},
		{Auditor, []string{"analytics.read", "audit.read", "users.read"}},
	}
}

// BuiltinRole is a role every tenant has.
type BuiltinRole struct {
	Name        string
	Permissions []string
}
