package schema

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"tenantry/migrations"
)

// lockTimeout bounds every wait of a migration for a table lock: behind a
// waiting ALTER TABLE all queries of that table queue up.
const lockTimeout = "5s"

// migrate takes a database to the newest version and then sets the grants; it
// answers the version reached. Two at once take turns.
func (s *Schema) migrate(ctx context.Context, database string, files fs.FS, grants string) (int64, error) {
	cfg, err := s.config(database)
	if err != nil {
		return 0, err
	}
	cfg.RuntimeParams["lock_timeout"] = s.lockTimeout
	// Each text is sent once: nothing is worth preparing.
	cfg.DefaultQueryExecMode = pgx.QueryExecModeExec
	db := stdlib.OpenDB(*cfg)
	defer func() { _ = db.Close() }()
	db.SetMaxOpenConns(1)
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 60), lock.WithUnlockTimeout(1, 5))
	if err != nil {
		return 0, fmt.Errorf("session locker: %w", err)
	}
	p, err := goose.NewProvider(goose.DialectPostgres, db, files,
		goose.WithSessionLocker(locker), goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	if err != nil {
		return 0, fmt.Errorf("migrations: %w", err)
	}
	if _, err := p.Up(ctx); err != nil {
		return 0, fmt.Errorf("migrate: %w", err)
	}
	if err := inTx(ctx, db, grants); err != nil {
		return 0, fmt.Errorf("grants: %w", err)
	}
	v, err := p.GetDBVersion(ctx)
	if err != nil {
		return 0, fmt.Errorf("read version: %w", err)
	}
	return v, nil
}

func inTx(ctx context.Context, db *sql.DB, text string) error {
	c, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	return c.Raw(func(driver any) error {
		conn, ok := driver.(*stdlib.Conn)
		if !ok {
			return errors.New("not a pgx connection")
		}
		return pgx.BeginFunc(ctx, conn.Conn(), func(tx pgx.Tx) error {
			_, err := tx.Exec(ctx, text, pgx.QueryExecModeSimpleProtocol)
			return err
		})
	})
}

// MigrateCentral takes the central database to the newest version.
func (s *Schema) MigrateCentral(ctx context.Context) error {
	n := s.admin.Names()
	v, err := s.migrate(ctx, n.Central(), migrations.Central(), centralGrants(n))
	if err != nil {
		return fmt.Errorf("central database: %w", err)
	}
	s.log.InfoContext(ctx, "central database migrated", "version", v)
	return nil
}
