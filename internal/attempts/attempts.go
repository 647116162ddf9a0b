// Package attempts counts guesses at a secret (A9).
package attempts

import (
	"context"
	"fmt"
	"time"

	"tenantry/internal/db"
)

// Kinds are counted apart.
const (
	// Stranger is a password from a device that the account does not know.
	Stranger = "stranger"
	// Known is a password from a device that has logged in before.
	Known = "known"
)

// Clear forgets the failures of one kind, in the transaction of the success.
func Clear(ctx context.Context, tx db.TenantTx, kind string, subject []byte, _ time.Time) error {
	_, err := tx.SQL().ExecContext(ctx, `DELETE FROM login_counters WHERE kind = $1 AND subject_hash = $2`, kind, subject)
	if err != nil {
		return fmt.Errorf("clear failures: %w", err)
	}
	return nil
}
