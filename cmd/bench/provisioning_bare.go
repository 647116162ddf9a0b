package main

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	"log/slog"

	"tenantry/internal/systest"
)

// bareActivities is how many steps a provisioning has.
const bareActivities = 8

const bareQueue = "bench-bare"

func bareWorkflow(ctx workflow.Context) error {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: time.Minute})
	for range bareActivities {
		if err := workflow.ExecuteActivity(ctx, bareActivity).Get(ctx, nil); err != nil {
			return err
		}
	}
	return nil
}

func bareActivity(context.Context) error { return nil }

// bareProvisioning runs the statements that make a tenant, one after the
// other, and an empty workflow with as many activities on the same Temporal.
func bareProvisioning(ctx context.Context, sys *systest.System) (run, error) {
	tc, err := client.DialContext(ctx, client.Options{
		HostPort: sys.Temporal.Address, Logger: log.NewStructuredLogger(slog.New(slog.DiscardHandler)),
	})
	if err != nil {
		return nil, err
	}
	w := worker.New(tc, bareQueue, worker.Options{})
	w.RegisterWorkflow(bareWorkflow)
	w.RegisterActivity(bareActivity)
	if err := w.Start(); err != nil {
		return nil, err
	}
	template, err := systest.Value[string](ctx, sys, "postgres", `SELECT datname::text FROM pg_database WHERE datname LIKE 'tn\_%\_tpl\_%'`)
	if err != nil {
		return nil, fmt.Errorf("template: %w", err)
	}
	conn, err := sys.Connect(ctx, "postgres")
	if err != nil {
		return nil, err
	}
	if _, err := conn.Exec(ctx, `CREATE TABLE bench_rows (id bigserial PRIMARY KEY, document jsonb)`); err != nil {
		return nil, err
	}
	made := 0
	return func(ctx context.Context) (float64, error) {
		return medianOf(batch, func() (time.Duration, error) {
			made++
			started := time.Now()
			if err := bareSQL(ctx, sys, conn, template, fmt.Sprintf("bench_bare_%d", made)); err != nil {
				return 0, err
			}
			r, err := tc.ExecuteWorkflow(ctx, client.StartWorkflowOptions{TaskQueue: bareQueue}, bareWorkflow)
			if err == nil {
				err = r.Get(ctx, nil)
			}
			return time.Since(started), err
		})
	}, nil
}

// bareSQL is the statements of the eight steps and no more.
func bareSQL(ctx context.Context, sys *systest.System, conn *pgx.Conn, template, name string) error {
	row := `INSERT INTO bench_rows (document) VALUES ('{}')`
	for _, sql := range []string{
		row, // the reservation
		`CREATE ROLE ` + name + ` LOGIN PASSWORD 'bench'`,
		`CREATE DATABASE ` + name + ` TEMPLATE ` + template + ` ALLOW_CONNECTIONS false`,
		`REVOKE ALL ON DATABASE ` + name + ` FROM PUBLIC`,
		`GRANT CONNECT ON DATABASE ` + name + ` TO ` + name,
		`ALTER DATABASE ` + name + ` ALLOW_CONNECTIONS true`,
	} {
		if _, err := conn.Exec(ctx, sql, pgx.QueryExecModeSimpleProtocol); err != nil {
			return err
		}
	}
	tenant, err := sys.Connect(ctx, name)
	if err != nil {
		return err
	}
	_, err = tenant.Exec(ctx, `
		INSERT INTO roles (id, name, builtin, permissions, version) SELECT gen_random_uuid(), 'r' || i, true, '[]', 1 FROM generate_series(1, 4) i;
		INSERT INTO settings (id, document, version) VALUES (1, '{}', 1);
		INSERT INTO subject_keys (id, sealed_key) VALUES (gen_random_uuid(), '');`, pgx.QueryExecModeSimpleProtocol)
	if err != nil {
		return err
	}
	if err := tenant.Close(ctx); err != nil {
		return err
	}
	for range 2 { // the signing key, the activation
		if _, err := conn.Exec(ctx, row); err != nil {
			return err
		}
	}
	return nil
}
