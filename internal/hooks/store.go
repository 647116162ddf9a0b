package hooks

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"tenantry/ent/centraldb"
	"tenantry/ent/centraldb/hookreceipt"
	"tenantry/ent/centraldb/hooksecret"
	"tenantry/ent/centraldb/hooksource"
	"tenantry/internal/apperr"
	"tenantry/internal/db"
	"tenantry/internal/ids"
	"tenantry/internal/secrets"
)

func errNoSource() error {
	return apperr.New(apperr.NotFound, "HOOK_SOURCE_UNKNOWN", "No such hook source.")
}

func insertSource(ctx context.Context, tx db.CentralTx, s Source) error {
	err := tx.Ent().HookSource.Create().SetID(s.ID).SetName(s.Name).SetCallbackURL(s.CallbackURL).SetCreatedAt(s.CreatedAt).Exec(ctx)
	if db.IsUnique(err, "") {
		return apperr.Newf(apperr.AlreadyExists, "HOOK_SOURCE_EXISTS", "There is a hook source named %q already.", s.Name)
	}
	return err
}

func sealPurpose(id uuid.UUID) string { return "hook-secret/" + id.String() }

func addSecret(ctx context.Context, tx db.CentralTx, source uuid.UUID, now time.Time) (Secret, string, error) {
	text := formatSecret(secrets.RandomBytes(32))
	id := ids.New()
	sealed, err := tx.DataKey().Seal([]byte(text), sealPurpose(id))
	if err != nil {
		return Secret{}, "", err
	}
	err = tx.Ent().HookSecret.Create().SetID(id).SetSourceID(source).SetSecret(sealed).SetCreatedAt(now).Exec(ctx)
	if err != nil {
		return Secret{}, "", fmt.Errorf("insert hook secret: %w", err)
	}
	return Secret{ID: id, CreatedAt: now}, text, nil
}

func lockSource(ctx context.Context, tx db.CentralTx, name string) (uuid.UUID, error) {
	id, err := tx.Ent().HookSource.Query().Where(hooksource.Name(name)).ForUpdate().OnlyID(ctx)
	if centraldb.IsNotFound(err) {
		return uuid.Nil, errNoSource()
	}
	return id, err
}

func liveSecrets(ctx context.Context, tx db.CentralTx, source uuid.UUID) (int, error) {
	return tx.Ent().HookSecret.Query().Where(hooksecret.SourceID(source), hooksecret.RetiredAtIsNil()).Count(ctx)
}

func retire(ctx context.Context, tx db.CentralTx, source, id uuid.UUID, now time.Time) (bool, error) {
	s, err := tx.Ent().HookSecret.Query().Where(hooksecret.ID(id), hooksecret.SourceID(source)).Only(ctx)
	if centraldb.IsNotFound(err) {
		return false, apperr.New(apperr.NotFound, "HOOK_SOURCE_UNKNOWN", "The source has no such secret.")
	}
	if err != nil || s.RetiredAt != nil {
		return false, err
	}
	return true, tx.Ent().HookSecret.UpdateOneID(id).SetRetiredAt(now).Exec(ctx)
}

// loadSecrets answers a source with its live secrets; none for an unknown
// source, so that its refusal is a wrong signature's.
func (s *Service) loadSecrets(ctx context.Context, name string) (Source, [][]byte, error) {
	var keys [][]byte
	src, err := db.InCentral(ctx, s.central, func(tx db.CentralTx) (Source, error) {
		row, err := tx.Ent().HookSource.Query().Where(hooksource.Name(name)).Only(ctx)
		if centraldb.IsNotFound(err) {
			return Source{}, nil
		}
		if err != nil {
			return Source{}, fmt.Errorf("load hook source: %w", err)
		}
		live, err := tx.Ent().HookSecret.Query().Where(hooksecret.SourceID(row.ID), hooksecret.RetiredAtIsNil()).All(ctx)
		if err != nil {
			return Source{}, fmt.Errorf("load hook secrets: %w", err)
		}
		for _, l := range live {
			text, err := tx.DataKey().Open(l.Secret, sealPurpose(l.ID))
			if err != nil {
				return Source{}, fmt.Errorf("hook secret %s: %w", l.ID, err)
			}
			if raw, ok := parseSecret(string(text)); ok {
				keys = append(keys, raw)
			}
		}
		return Source{ID: row.ID, Name: row.Name, CallbackURL: row.CallbackURL, CreatedAt: row.CreatedAt}, nil
	})
	return src, keys, err
}

type receipt struct {
	id, source uuid.UUID
	message    string
	bodyHash   []byte
	operation  ids.Operation
	refusal    string
	at         time.Time
}

// claimReceipt reports whether this is the first message with its id. It
// waits for a parallel copy's transaction.
func claimReceipt(ctx context.Context, tx db.CentralTx, r receipt) (bool, error) {
	res, err := tx.SQL().ExecContext(ctx, `
		INSERT INTO hook_receipts (id, source_id, message_id, body_hash, refusal, received_at) VALUES ($1, $2, $3, $4, '', $5)
		ON CONFLICT (source_id, message_id) DO NOTHING`, r.id, r.source, r.message, r.bodyHash, r.at)
	if err != nil {
		return false, fmt.Errorf("claim hook receipt: %w", err)
	}
	n, err := res.RowsAffected()
	return n == 1, err
}

func finishReceipt(ctx context.Context, tx db.CentralTx, r receipt, op *ids.Operation, refusal string) error {
	var id uuid.NullUUID
	if op != nil {
		id = uuid.NullUUID{UUID: op.UUID(), Valid: true}
	}
	_, err := tx.SQL().ExecContext(ctx, `UPDATE hook_receipts SET operation_id = $2, refusal = $3 WHERE id = $1`, r.id, id, refusal)
	if err != nil {
		return fmt.Errorf("finish hook receipt: %w", err)
	}
	return nil
}

func loadReceipt(ctx context.Context, tx db.CentralTx, r receipt) (receipt, error) {
	row, err := tx.Ent().HookReceipt.Query().Where(hookreceipt.SourceID(r.source), hookreceipt.MessageID(r.message)).Only(ctx)
	if err != nil {
		return receipt{}, fmt.Errorf("load hook receipt: %w", err)
	}
	kept := receipt{bodyHash: row.BodyHash, refusal: row.Refusal}
	if row.OperationID != nil {
		kept.operation = ids.Operation(*row.OperationID)
	}
	return kept, nil
}
