package operators

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tenantry/ent/centraldb"
	"tenantry/ent/centraldb/operatorkey"
	"tenantry/internal/apperr"
	"tenantry/internal/db"
)

var errNoKey = errors.New("no such operator key")

type keyRow struct {
	Key
	hash   []byte
	source *uuid.UUID
}

// load reads a key in one round trip outside a transaction: it runs on every
// central request.
func (s *Service) load(ctx context.Context, id uuid.UUID) (keyRow, error) {
	var r keyRow
	var scopes []byte
	err := s.central.Pool().QueryRow(ctx, `
		SELECT id, name, secret_hash, scopes, source_id, created_at, expires_at, revoked_at FROM operator_keys WHERE id = $1`, id).
		Scan(&r.ID, &r.Name, &r.hash, &scopes, &r.source, &r.CreatedAt, &r.ExpiresAt, &r.RevokedAt)
	if errors.Is(err, pgx.ErrNoRows) {
		return r, errNoKey
	}
	if err != nil {
		return r, db.Classify(fmt.Errorf("load operator key: %w", err), "CENTRAL_UNREACHABLE")
	}
	return r, json.Unmarshal(scopes, &r.Scopes)
}

func insert(ctx context.Context, tx db.CentralTx, k Key, hash []byte, source *uuid.UUID) error {
	return tx.Ent().OperatorKey.Create().SetID(k.ID).SetName(k.Name).SetSecretHash(hash).SetScopes(k.Scopes).
		SetNillableSourceID(source).SetCreatedAt(k.CreatedAt).SetExpiresAt(k.ExpiresAt).Exec(ctx)
}

// revoke reports whether this call ended the key.
func revoke(ctx context.Context, tx db.CentralTx, id uuid.UUID, now time.Time) (bool, error) {
	k, err := tx.Ent().OperatorKey.Query().Where(operatorkey.ID(id)).ForUpdate().Only(ctx)
	if centraldb.IsNotFound(err) {
		return false, apperr.New(apperr.NotFound, "OPERATOR_NOT_FOUND", "No such operator key.")
	}
	if err != nil || k.RevokedAt != nil {
		return false, err
	}
	return true, tx.Ent().OperatorKey.UpdateOneID(id).SetRevokedAt(now).Exec(ctx)
}
