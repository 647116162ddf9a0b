package operations

import (
	"context"

	"entgo.io/ent/dialect/sql"
	"github.com/google/uuid"

	"tenantry/ent/schema/central"
	"tenantry/internal/db"
	"tenantry/internal/lists"
)

// Operations is what the list of operations may show, filter and sort by.
var Operations = lists.MustDerive(central.Operation{}, lists.Options{Name: "operations", Table: "operations", Sort: "-created_at"})

// List answers operations, newest first if no other order is asked; with a
// source, only that source's.
func (s *Service) List(ctx context.Context, in lists.Request, source *uuid.UUID) (lists.Result[Operation], error) {
	return db.InCentral(ctx, s.central, func(tx db.CentralTx) (lists.Result[Operation], error) {
		q, err := Operations.Parse(in, tx.DataKey())
		if err != nil {
			return lists.Result[Operation]{}, err
		}
		var where []*sql.Predicate
		if source != nil {
			where = append(where, sql.EQ("source_id", *source))
		}
		return lists.Run(ctx, tx.SQL(), q, place, where...)
	})
}

func place(o *Operation, field string) any {
	switch field {
	case "id":
		return (*uuid.UUID)(&o.ID)
	case "kind":
		return &o.Kind
	case "tenant_id":
		return (*uuid.UUID)(&o.Tenant)
	case "workflow_id":
		return &o.WorkflowID
	case "state":
		return &o.State
	case "reason":
		return &o.Reason
	case "created_at":
		return &o.CreatedAt
	case "ended_at":
		return &o.EndedAt
	}
	panic("operations: no place for " + field)
}
