package hooks

import (
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"tenantry/ent/centraldb/hooksecret"
	"tenantry/ent/schema/central"
	"tenantry/internal/db"
	"tenantry/internal/lists"
)

// Sources is what the list of hook sources may show, filter and sort by.
var Sources = lists.MustDerive(central.HookSource{}, lists.Options{
	Name: "hook_sources", Table: "hook_sources", Sort: "created_at",
	// Facts of the secrets, loaded by the sources' ids.
	Computed: map[string][]string{"secrets": {"id"}},
})

// ListSources answers sources in the order they were made, if no other is
// asked.
func (s *Service) ListSources(ctx context.Context, in lists.Request) (lists.Result[Source], error) {
	return db.InCentral(ctx, s.central, func(tx db.CentralTx) (lists.Result[Source], error) {
		q, err := Sources.Parse(in, tx.DataKey())
		if err != nil {
			return lists.Result[Source]{}, err
		}
		found, err := lists.Run(ctx, tx.SQL(), q, place)
		if err == nil && slices.Contains(found.Shown, "secrets") {
			err = loadMeta(ctx, tx, found.Items)
		}
		return found, err
	})
}

func place(s *Source, field string) any {
	switch field {
	case "id":
		return &s.ID
	case "name":
		return &s.Name
	case "callback_url":
		return &s.CallbackURL
	case "created_at":
		return &s.CreatedAt
	}
	panic("hooks: no place for " + field)
}

// loadMeta loads when the secrets of a page were made and retired.
func loadMeta(ctx context.Context, tx db.CentralTx, sources []Source) error {
	found := make([]uuid.UUID, len(sources))
	index := map[uuid.UUID]int{}
	for i, s := range sources {
		found[i], index[s.ID] = s.ID, i
	}
	all, err := tx.Ent().HookSecret.Query().Where(hooksecret.SourceIDIn(found...)).Order(hooksecret.ByCreatedAt()).
		Select(hooksecret.FieldSourceID, hooksecret.FieldCreatedAt, hooksecret.FieldRetiredAt).All(ctx)
	if err != nil {
		return fmt.Errorf("list hook secrets: %w", err)
	}
	for _, s := range all {
		i := index[s.SourceID]
		sources[i].Secrets = append(sources[i].Secrets, Secret{ID: s.ID, CreatedAt: s.CreatedAt, RetiredAt: s.RetiredAt})
	}
	return nil
}
