// Package rbac is what a role allows (U1): permissions are names, a role is a
// set of them, and a person may do what the union of their roles allows.
package rbac

import (
	"slices"
	"strings"

	"tenantry/internal/apperr"
	"tenantry/internal/audit"
	"tenantry/internal/ids"
)

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

// Actor is who acts inside a tenant, with what they may do at this moment.
type Actor struct {
	audit.Actor
	// User is the person, also behind a key of theirs; zero for a service
	// account.
	User ids.User
	// Session is zero for a key.
	Session ids.Session
	// Permissions are sorted.
	Permissions []string
	RequestID   string
}

// Can reports whether the actor holds a permission.
func (a Actor) Can(permission string) bool { return slices.Contains(a.Permissions, permission) }

// CheckGrant refuses permissions that the actor does not hold: nobody grants,
// takes away or acts on what is above their own rights (U2).
func (a Actor) CheckGrant(permissions []string) error {
	var above []string
	for _, p := range permissions {
		if !a.Can(p) && !slices.Contains(above, p) {
			above = append(above, p)
		}
	}
	if len(above) == 0 {
		return nil
	}
	slices.Sort(above)
	return apperr.Newf(apperr.Forbidden, "GRANT_ABOVE_OWN", "This needs permissions that you do not hold yourself: %s.", strings.Join(above, ", "))
}
