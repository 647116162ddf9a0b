package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"ariga.io/atlas/sql/migrate"
	atlas "ariga.io/atlas/sql/schema"
	"ariga.io/atlas/sql/sqltool"
	"entgo.io/ent/dialect"
	entsql "entgo.io/ent/dialect/sql"
	"entgo.io/ent/dialect/sql/schema"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	central "tenantry/ent/centraldb/migrate"
	tenant "tenantry/ent/tenantdb/migrate"
	"tenantry/internal/ids"
)

// set is one folder of migrations with the ent schema it must reach.
type set struct {
	name string
	diff func(ctx context.Context, drv dialect.Driver, name string, opts ...schema.MigrateOption) error
}

var sets = []set{
	{"central", func(ctx context.Context, drv dialect.Driver, name string, opts ...schema.MigrateOption) error {
		return central.NewSchema(drv).NamedDiff(ctx, name, opts...)
	}},
	{"tenant", func(ctx context.Context, drv dialect.Driver, name string, opts ...schema.MigrateOption) error {
		return tenant.NewSchema(drv).NamedDiff(ctx, name, opts...)
	}},
}

// byHand are indexes that ent cannot express and that are written by hand.
var byHand = []string{
	"installation_only_row", "tenant_activated_at_id",
	"apikey_expires_at_id", "apikey_last_used_at_id",
	"user_deleted_at_id", "user_last_login_at_id", "user_search_text", "user_search_words",
}

// diff answers the path and text of the missing migration, "" when there is
// none.
func diff(ctx context.Context, url, root string, s set, name string) (path, sql string, err error) {
	if url == "" {
		return "", "", errors.New("TENANTRY_TEST_PG_URL is not set: the URL of a Postgres superuser")
	}
	// Atlas works on a copy: its checksum file and time stamp stay there.
	work, err := os.MkdirTemp("", "gendiff-")
	if err != nil {
		return "", "", fmt.Errorf("working copy: %w", err)
	}
	defer func() { _ = os.RemoveAll(work) }()
	have, err := copySet(filepath.Join(root, s.name), work)
	if err != nil {
		return "", "", err
	}
	drv, drop, err := scratch(ctx, url)
	if err != nil {
		return "", "", err
	}
	defer func() { err = errors.Join(err, drop()) }()
	if err := plan(ctx, drv, s, work); err != nil {
		return "", "", err
	}
	for _, f := range sqlFiles(work) {
		if slices.Contains(have, filepath.Base(f)) {
			continue
		}
		text, err := os.ReadFile(f)
		if err != nil {
			return "", "", fmt.Errorf("read the new migration: %w", err)
		}
		if len(have) == 0 {
			name = "init"
		}
		return filepath.Join(root, s.name, fmt.Sprintf("%05d_%s.sql", len(have)+1, name)), forward(string(text)), nil
	}
	return "", "", nil
}

func sqlFiles(dir string) []string {
	found, _ := filepath.Glob(filepath.Join(dir, "*.sql")) // fails only for a bad pattern
	return found
}

// copySet copies the migrations, checks that they are numbered without a gap
// and answers their names in order.
func copySet(from, to string) ([]string, error) {
	var names []string
	for i, f := range sqlFiles(from) {
		base := filepath.Base(f)
		if want := fmt.Sprintf("%05d_", i+1); !strings.HasPrefix(base, want) {
			return nil, fmt.Errorf("%s: the next migration is %s…: numbers have no gaps", f, want)
		}
		text, err := os.ReadFile(f)
		if err != nil {
			return nil, fmt.Errorf("read migration: %w", err)
		}
		if err := os.WriteFile(filepath.Join(to, base), text, 0o600); err != nil {
			return nil, fmt.Errorf("copy migration: %w", err)
		}
		names = append(names, base)
	}
	return names, nil
}

// scratch makes an empty database and answers what drops it.
func scratch(ctx context.Context, url string) (dialect.Driver, func() error, error) {
	server, err := pgx.Connect(ctx, url)
	if err != nil {
		return nil, nil, fmt.Errorf("connect: %w", err)
	}
	name := "tenantry_gendiff_" + strings.ReplaceAll(ids.New().String(), "-", "")
	if _, err := server.Exec(ctx, `CREATE DATABASE `+name+` TEMPLATE template0 ENCODING 'UTF8'`); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("scratch database: %w", err), server.Close(ctx))
	}
	cfg := server.Config().Copy()
	cfg.Database = name
	db := stdlib.OpenDB(*cfg)
	return entsql.OpenDB(dialect.Postgres, db), func() error {
		// An interrupt must not leave the database behind.
		ctx := context.WithoutCancel(ctx)
		_, err := server.Exec(ctx, `DROP DATABASE IF EXISTS `+name+` WITH (FORCE)`)
		return errors.Join(db.Close(), err, server.Close(ctx))
	}, nil
}

func plan(ctx context.Context, drv dialect.Driver, s set, work string) error {
	local, err := migrate.NewLocalDir(work)
	if err != nil {
		return fmt.Errorf("working copy: %w", err)
	}
	dir := &sqltool.GooseDir{LocalDir: local}
	sum, err := dir.Checksum()
	if err != nil {
		return fmt.Errorf("checksum: %w", err)
	}
	if err := migrate.WriteSumFile(dir, sum); err != nil {
		return fmt.Errorf("checksum: %w", err)
	}
	var dropped []string
	err = s.diff(ctx, drv, "new",
		schema.WithDir(dir), schema.WithFormatter(sqltool.GooseFormatter), schema.WithMigrationMode(schema.ModeReplay),
		schema.WithDropColumn(true), schema.WithDropIndex(true), schema.WithIndent("  "),
		schema.WithDiffHook(keepHandwork(&dropped)))
	if err != nil {
		return fmt.Errorf("diff: %w", err)
	}
	if len(dropped) > 0 {
		return fmt.Errorf("tables %v are in the migrations and not in the ent schema: dropping one is written by hand", dropped)
	}
	return nil
}

// keepHandwork leaves out what would take back hand-written SQL, and notes
// the tables that ent no longer knows (ent itself passes over them).
func keepHandwork(dropped *[]string) schema.DiffHook {
	return func(next schema.Differ) schema.Differ {
		return schema.DiffFunc(func(current, desired *atlas.Schema) ([]atlas.Change, error) {
			changes, err := next.Diff(current, desired)
			if err != nil {
				return nil, err
			}
			var kept []atlas.Change
			for _, c := range changes {
				switch c := c.(type) {
				case *atlas.DropTable:
					*dropped = append(*dropped, c.T.Name)
				case *atlas.ModifyTable:
					if c.Changes = slices.DeleteFunc(c.Changes, handwork); len(c.Changes) > 0 {
						kept = append(kept, c)
					}
				default:
					kept = append(kept, c)
				}
			}
			return kept, nil
		})
	}
}

func handwork(c atlas.Change) bool {
	switch c := c.(type) {
	case *atlas.DropCheck:
		return true
	case *atlas.DropIndex:
		return slices.Contains(byHand, c.I.Name)
	}
	return false
}

// forward cuts the down section: migrations only go forward.
func forward(sql string) string {
	up, _, _ := strings.Cut(sql, "-- +goose Down")
	return strings.TrimSpace(up) + "\n"
}
