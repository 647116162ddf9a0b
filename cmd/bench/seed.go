package main

import (
	"context"
	"fmt"

	"tenantry/internal/systest"
)

// loginsOf provisions a tenant with n accounts that have the owner's password,
// and answers their addresses. Logins of one account at once would be guesses
// that wait for each other.
func loginsOf(ctx context.Context, sys *systest.System, slug string, n int) ([]string, error) {
	if _, err := ownerOf(ctx, sys, slug); err != nil {
		return nil, err
	}
	database, err := sys.Database(ctx, slug)
	if err != nil {
		return nil, err
	}
	emails, err := systest.Query[string](ctx, sys, database, `
		WITH made AS (
			INSERT INTO users (id, subject_key_id, name, email, email_normalized, password_hash)
			SELECT gen_random_uuid(), subject_key_id, 'Person ' || i, a.email, a.email, password_hash
			FROM users, generate_series(1, $1::int) i, LATERAL (SELECT 'person' || i || '@bench.example' AS email) a
			RETURNING email)
		SELECT email FROM made`, n)
	if err == nil && len(emails) != n {
		err = fmt.Errorf("%d accounts of %d", len(emails), n)
	}
	return emails, err
}
