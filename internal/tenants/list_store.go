package tenants

import (
	"context"

	"github.com/google/uuid"

	"tenantry/ent/schema/central"
	"tenantry/internal/db"
	"tenantry/internal/lists"
)

// List is what the list of tenants may show, filter and sort by.
var List = lists.MustDerive(central.Tenant{}, lists.Options{
	Name: "tenants", Table: "tenants", Sort: "created_at",
	Computed: map[string][]string{"url": {"slug"}},
})

// List answers tenants in the order they were reserved, if no other is asked.
func (s *Service) List(ctx context.Context, in lists.Request) (lists.Result[Tenant], error) {
	return db.InCentral(ctx, s.central, func(tx db.CentralTx) (lists.Result[Tenant], error) {
		q, err := List.Parse(in, tx.DataKey())
		if err != nil {
			return lists.Result[Tenant]{}, err
		}
		return lists.Run(ctx, tx.SQL(), q, place)
	})
}

func place(t *Tenant, field string) any {
	switch field {
	case "id":
		return (*uuid.UUID)(&t.ID)
	case "slug":
		return &t.Slug
	case "name":
		return &t.Name
	case "state":
		return &t.State
	case "schema_version":
		return &t.SchemaVersion
	case "max_users":
		return &t.MaxUsers
	case "version":
		return &t.Version
	case "created_at":
		return &t.CreatedAt
	case "activated_at":
		return &t.ActivatedAt
	}
	panic("tenants: no place for " + field)
}
