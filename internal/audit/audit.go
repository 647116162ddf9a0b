// Package audit writes the log of effects: one row per effect, in the
// effect's own transaction, so there is no effect without its row (P4).
//
// Each row carries an HMAC under a key kept outside the tenant database: an
// edited row is known at once. Deleted or swapped rows are known once the
// sealer has numbered and chained them; until then `seq` is empty and that
// window is open.
package audit

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"

	"tenantry/internal/db"
	"tenantry/internal/ids"
	"tenantry/internal/secrets"
)

// Actor is who caused an effect.
type Actor struct {
	// Kind is one of user, api_key, operator, hook, system, anonymous.
	Kind string
	// ID is the account, key or hook source; zero for the last two kinds.
	ID uuid.UUID
}

// Actors without an id.
var (
	System    = Actor{Kind: "system"}
	Anonymous = Actor{Kind: "anonymous"}
)

// User answers the actor of an account.
func User(id ids.User) Actor { return Actor{Kind: "user", ID: id.UUID()} }

// APIKey answers the actor of an API key; its row says for whom it acts.
func APIKey(id uuid.UUID) Actor { return Actor{Kind: "api_key", ID: id} }

// Operator answers the actor of an operator key.
func Operator(id uuid.UUID) Actor { return Actor{Kind: "operator", ID: id} }

// Hook answers the actor of a hook source.
func Hook(id uuid.UUID) Actor { return Actor{Kind: "hook", ID: id} }

// Entry is one effect. Before and After hold ids and public facts; a personal
// value stands there only sealed under the key of the person it is about.
type Entry struct {
	Actor      Actor
	Action     string
	TargetKind string
	TargetID   uuid.UUID
	TenantID   ids.Tenant
	RequestID  string
	Before     map[string]any
	After      map[string]any
}

// Write adds the row to tx.
func Write(ctx context.Context, tx db.Tx, at time.Time, e Entry) error {
	id := ids.New()
	before, err := document(e.Before)
	if err != nil {
		return err
	}
	after, err := document(e.After)
	if err != nil {
		return err
	}
	mac := MAC(tx.DataKey(), id, at, e)
	_, err = tx.SQL().ExecContext(ctx, `
		INSERT INTO audit_log (id, at, actor_kind, actor_id, action, target_kind, target_id, tenant_id, request_id, before, after, mac)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`,
		id, at, e.Actor.Kind, orNull(e.Actor.ID), e.Action, e.TargetKind, orNull(e.TargetID), orNull(e.TenantID.UUID()),
		e.RequestID, before, after, mac)
	if err != nil {
		return fmt.Errorf("write audit row %s: %w", e.Action, err)
	}
	return nil
}

// MAC is the HMAC-SHA256 of a row under the owner's audit key. Its input is
// the JSON of every column, keys sorted, so no two rows share one.
func MAC(key secrets.DataKey, id uuid.UUID, at time.Time, e Entry) []byte {
	text, err := json.Marshal(map[string]any{
		"id": id, "at": at.UTC().Format(time.RFC3339Nano), "actor_kind": e.Actor.Kind, "actor_id": e.Actor.ID,
		"action": e.Action, "target_kind": e.TargetKind, "target_id": e.TargetID, "tenant_id": e.TenantID,
		"request_id": e.RequestID, "before": e.Before, "after": e.After,
	})
	if err != nil {
		panic(err) // Write has already encoded both documents
	}
	m := hmac.New(sha256.New, key.Derive("audit"))
	m.Write(text)
	return m.Sum(nil)
}

func document(m map[string]any) (sql.NullString, error) {
	if m == nil {
		return sql.NullString{}, nil
	}
	b, err := json.Marshal(m)
	if err != nil {
		return sql.NullString{}, fmt.Errorf("encode audit document: %w", err)
	}
	return sql.NullString{String: string(b), Valid: true}, nil
}

func orNull(id uuid.UUID) uuid.NullUUID { return uuid.NullUUID{UUID: id, Valid: id != uuid.Nil} }
