// Package subjects opens the keys of people (subject_keys): what is sealed
// under one is erased by destroying it.
package subjects

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"tenantry/internal/db"
	"tenantry/internal/secrets"
)

// Key opens a person's key.
func Key(ctx context.Context, tx db.TenantTx, id uuid.UUID) (secrets.SubjectKey, error) {
	var sealed []byte
	if err := tx.SQL().QueryRowContext(ctx, `SELECT sealed_key FROM subject_keys WHERE id = $1`, id).Scan(&sealed); err != nil {
		return secrets.SubjectKey{}, fmt.Errorf("load subject key: %w", err)
	}
	return secrets.OpenSubjectKey(tx.DataKey(), id, sealed)
}
