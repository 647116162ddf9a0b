package api

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/types/known/timestamppb"

	"tenantry/internal/apperr"
	"tenantry/internal/db"
	"tenantry/internal/settings"
)

func each[A, B any](items []A, convert func(A) B) []B {
	out := make([]B, len(items))
	for i, item := range items {
		out[i] = convert(item)
	}
	return out
}

// timestamp is absent for an absent time.
func timestamp(t *time.Time) *timestamppb.Timestamp {
	if t == nil {
		return nil
	}
	return timestamppb.New(*t)
}

// parseID reads a UUID that the schema's rule has checked already; one id has
// one text, so other spellings are refused. The nil UUID (RFC 9562, 5.9) stands
// for "none" further in, so nobody may name it.
func parseID(field, text string) (uuid.UUID, error) {
	id, err := uuid.Parse(text)
	if err != nil || len(text) != 36 {
		return uuid.Nil, apperr.InvalidField(field, "string.uuid", "must be a UUID of 36 characters")
	}
	if id == uuid.Nil {
		return uuid.Nil, apperr.InvalidField(field, "string.uuid", "must not be the nil UUID, which names nothing")
	}
	return id, nil
}

// parseIDs is parseID for a list.
func parseIDs(field string, texts []string) ([]uuid.UUID, error) {
	out := make([]uuid.UUID, len(texts))
	for i, text := range texts {
		id, err := parseID(fmt.Sprintf("%s[%d]", field, i), text)
		if err != nil {
			return nil, err
		}
		out[i] = id
	}
	return out, nil
}

// appURL is where the tenant's people log in; empty when there is none.
func appURL(ctx context.Context, l *db.Lease) (string, error) {
	return db.InTenantRead(ctx, l, func(tx db.TenantTx) (string, error) {
		doc, err := settings.Load(ctx, tx)
		return doc.AppURL, err
	})
}
