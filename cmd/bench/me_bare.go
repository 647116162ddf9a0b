package main

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tenantry/internal/systest"
)

// bareMe reads the rows of GET /v1/me in a plain pgx loop: session, account
// and roles in one statement, on as many connections as there are loops.
func bareMe(ctx context.Context, sys *systest.System, slug string) (run, error) {
	pool, err := barePool(ctx, sys, slug, meWidth)
	if err != nil {
		return nil, err
	}
	var session, user uuid.UUID
	if err := pool.QueryRow(ctx, `SELECT id, user_id FROM sessions LIMIT 1`).Scan(&session, &user); err != nil {
		return nil, fmt.Errorf("a session to read: %w", err)
	}
	call := func(ctx context.Context) error { return readMe(ctx, pool, session, user) }
	return func(ctx context.Context) (float64, error) { return rate(ctx, meWidth, 3*time.Second, call) }, nil
}

// readMe reads the rows of GET /v1/me.
func readMe(ctx context.Context, db interface {
	QueryRow(context.Context, string, ...any) pgx.Row
}, session, user uuid.UUID) error {
	var name, email string
	var version, logins int64
	var last *time.Time
	var created, authenticated time.Time
	var roles []byte
	return db.QueryRow(ctx, `
		SELECT u.name, u.email, u.version, u.login_count, u.last_login_at, u.created_at, s.authenticated_at,
			(SELECT json_agg(r.permissions) FROM user_roles ur JOIN roles r ON r.id = ur.role_id WHERE ur.user_id = u.id)
		FROM sessions s JOIN users u ON u.id = s.user_id WHERE s.id = $1 AND s.user_id = $2`, session, user).
		Scan(&name, &email, &version, &logins, &last, &created, &authenticated, &roles)
}
