package settings

import (
	"context"
	"fmt"
	"time"

	"tenantry/internal/db"
)

// SetMaxUsers writes the operator's limit into the document, whose version
// changes, and answers the limit before. The same limit changes nothing.
func SetMaxUsers(ctx context.Context, tx db.TenantTx, n int, now time.Time) (before int, err error) {
	doc, err := Lock(ctx, tx)
	if err != nil || doc.MaxUsers == n {
		return doc.MaxUsers, err
	}
	_, err = tx.SQL().ExecContext(ctx, `
		UPDATE settings SET document = jsonb_set(document, '{max_users}', to_jsonb($1::int)), version = version + 1, updated_at = $2 WHERE id = 1`, n, now)
	if err != nil {
		return 0, fmt.Errorf("write limit: %w", err)
	}
	return doc.MaxUsers, nil
}
