package main

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"tenantry/internal/systest"
)

// bareConnect connects to one of the fleet's databases, asks one query and
// closes.
func bareConnect(ctx context.Context, sys *systest.System, n int) (func(context.Context, int) error, error) {
	databases, err := systest.Query[string](ctx, sys, "", `SELECT database_name FROM tenants WHERE slug LIKE 'crowd-%' ORDER BY slug LIMIT $1`, n)
	if err != nil {
		return nil, err
	}
	if len(databases) != n {
		return nil, fmt.Errorf("%d databases of %d", len(databases), n)
	}
	configs := make([]*pgx.ConnConfig, n)
	for i, name := range databases {
		conn, err := sys.Connect(ctx, name)
		if err != nil {
			return nil, err
		}
		configs[i] = conn.Config()
		if err := conn.Close(ctx); err != nil {
			return nil, err
		}
	}
	return func(ctx context.Context, i int) error {
		conn, err := pgx.ConnectConfig(ctx, configs[i])
		if err != nil {
			return err
		}
		var users int
		err = conn.QueryRow(ctx, `SELECT count(*) FROM sessions s JOIN users u ON u.id = s.user_id WHERE u.deleted_at IS NULL`).Scan(&users)
		if closing := conn.Close(ctx); err == nil {
			err = closing
		}
		return err
	}, nil
}
