package main

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tenantry/internal/systest"
)

// bareConnect connects to one of the fleet's databases, reads the rows of GET
// /v1/me and closes.
func bareConnect(ctx context.Context, sys *systest.System, n int) (func(context.Context, int) error, error) {
	databases, err := systest.Query[string](ctx, sys, "", `SELECT database_name FROM tenants WHERE slug LIKE 'crowd-%' ORDER BY slug LIMIT $1`, n)
	if err != nil {
		return nil, err
	}
	if len(databases) != n {
		return nil, fmt.Errorf("%d databases of %d", len(databases), n)
	}
	configs := make([]*pgx.ConnConfig, n)
	sessions, users := make([]uuid.UUID, n), make([]uuid.UUID, n)
	for i, name := range databases {
		conn, err := sys.Connect(ctx, name)
		if err != nil {
			return nil, err
		}
		configs[i] = conn.Config()
		err = conn.QueryRow(ctx, `SELECT id, user_id FROM sessions LIMIT 1`).Scan(&sessions[i], &users[i])
		if closing := conn.Close(ctx); err == nil {
			err = closing
		}
		if err != nil {
			return nil, err
		}
	}
	return func(ctx context.Context, i int) error {
		conn, err := pgx.ConnectConfig(ctx, configs[i])
		if err != nil {
			return err
		}
		err = readMe(ctx, conn, sessions[i], users[i])
		if closing := conn.Close(ctx); err == nil {
			err = closing
		}
		return err
	}, nil
}
