package rbac

import (
	"context"

	"tenantry/ent/schema/tenant"
	"tenantry/internal/db"
	"tenantry/internal/lists"
)

// Roles is what the list of roles may show, filter and sort by.
var Roles = lists.MustDerive(tenant.Role{}, lists.Options{Name: "roles", Table: "roles", Sort: "created_at"})

// List answers roles in the order they were created, if no other is asked.
func (s *Service) List(ctx context.Context, l *db.Lease, in lists.Request) (lists.Result[Role], error) {
	q, err := Roles.Parse(in, l.Key)
	if err != nil {
		return lists.Result[Role]{}, err
	}
	return db.InTenantRead(ctx, l, func(tx db.TenantTx) (lists.Result[Role], error) {
		found, err := lists.Run(ctx, tx.SQL(), q, place)
		for i := range found.Items {
			found.Items[i].Permissions = sorted(found.Items[i].Permissions)
		}
		return found, err
	})
}

func place(r *Role, field string) any {
	switch field {
	case "id":
		return &r.ID
	case "name":
		return &r.Name
	case "description":
		return &r.Description
	case "builtin":
		return &r.Builtin
	case "permissions":
		return lists.JSONTo(&r.Permissions)
	case "version":
		return &r.Version
	case "created_at":
		return &r.CreatedAt
	case "updated_at":
		return &r.UpdatedAt
	}
	panic("rbac: no place for " + field)
}
