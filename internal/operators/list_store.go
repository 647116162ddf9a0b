package operators

import (
	"context"

	"tenantry/ent/schema/central"
	"tenantry/internal/db"
	"tenantry/internal/lists"
)

// Keys is what the list of operator keys may show, filter and sort by.
var Keys = lists.MustDerive(central.OperatorKey{}, lists.Options{Name: "operator_keys", Table: "operator_keys", Sort: "created_at"})

// List answers keys in the order they were made, if no other is asked.
func (s *Service) List(ctx context.Context, in lists.Request) (lists.Result[Key], error) {
	return db.InCentral(ctx, s.central, func(tx db.CentralTx) (lists.Result[Key], error) {
		q, err := Keys.Parse(in, tx.DataKey())
		if err != nil {
			return lists.Result[Key]{}, err
		}
		return lists.Run(ctx, tx.SQL(), q, place)
	})
}

func place(k *Key, field string) any {
	switch field {
	case "id":
		return &k.ID
	case "name":
		return &k.Name
	case "scopes":
		return lists.JSONTo(&k.Scopes)
	case "created_at":
		return &k.CreatedAt
	case "expires_at":
		return &k.ExpiresAt
	case "revoked_at":
		return &k.RevokedAt
	}
	panic("operators: no place for " + field)
}
