package schema

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"tenantry/internal/apperr"
	"tenantry/internal/db"
	"tenantry/internal/pgadmin"
	"tenantry/migrations"
)

// buildTime bounds the building of a template, waiting for another builder
// included.
const buildTime = 2 * time.Minute

// EnsureTemplate answers the name of the template of this binary's schema,
// after building it if there is none. It is built under another name and
// renamed when complete, so a template with its name is whole. What a crash
// left half-built is dropped by the next builder. Templates of other schemas
// stay: an older or newer binary may be using them.
func (s *Schema) EnsureTemplate(ctx context.Context) (string, error) {
	name := s.admin.Names().Template(TenantHash())
	ready, err := templateReady(ctx, s.admin.Pool(), name)
	if err == nil && !ready {
		ctx, cancel := context.WithTimeout(ctx, buildTime)
		defer cancel()
		err = s.admin.Exclusively(ctx, "template", func(ctx context.Context, conn *pgx.Conn) error {
			return s.build(ctx, conn, name)
		})
	}
	if err == nil {
		return name, nil
	}
	if _, ok := apperr.As(err); ok {
		return "", err
	}
	return "", db.Classify(fmt.Errorf("template %s: %w", name, err), "CENTRAL_UNREACHABLE")
}

// templateReady reports whether the template is there, whole and closed.
func templateReady(ctx context.Context, q Querier, name string) (bool, error) {
	var ready bool
	err := q.QueryRow(ctx, `SELECT NOT datallowconn AND datconnlimit <> -2 FROM pg_database WHERE datname = $1`, name).Scan(&ready)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return false, fmt.Errorf("find template: %w", err)
	}
	return ready, nil
}

// build runs on the session that holds the template lock.
func (s *Schema) build(ctx context.Context, conn *pgx.Conn, name string) error {
	ready, err := templateReady(ctx, conn, name)
	if err != nil || ready {
		return err
	}
	if err := s.dropLeftovers(ctx, conn, name); err != nil {
		return err
	}
	n := s.admin.Names()
	building := n.Building(TenantHash())
	// template0 and not template1: nothing that somebody put there.
	if err := pgadmin.MakeClosed(ctx, conn, building, "template0"); err != nil {
		return fmt.Errorf("create: %w", err)
	}
	if err := s.run(ctx, conn,
		"REVOKE ALL ON DATABASE "+quote(building)+" FROM PUBLIC",
		"ALTER DATABASE "+quote(building)+" ALLOW_CONNECTIONS true"); err != nil {
		return err
	}
	if _, err := s.migrate(ctx, building, migrations.Tenant(), tenantGrants(n.Group())); err != nil {
		return err
	}
	// Closed for good: CREATE DATABASE fails while anybody is connected to
	// its template. It is no IS_TEMPLATE: that would let every role with
	// CREATEDB copy it; its owner may anyway.
	if err := s.run(ctx, conn,
		"ALTER DATABASE "+quote(building)+" ALLOW_CONNECTIONS false",
		"ALTER DATABASE "+quote(building)+" RENAME TO "+quote(name)); err != nil {
		return err
	}
	s.log.InfoContext(ctx, "template built", "template", name)
	return nil
}

// dropLeftovers drops what crashed builders left, and a template of this name
// that is invalid or was opened: nobody knows what is in it.
func (s *Schema) dropLeftovers(ctx context.Context, conn *pgx.Conn, name string) error {
	rows, err := conn.Query(ctx, `SELECT datname, datconnlimit FROM pg_database WHERE starts_with(datname, $1)`, s.admin.Names().Prefix())
	if err != nil {
		return fmt.Errorf("list templates: %w", err)
	}
	type database struct {
		Name  string
		Limit int
	}
	found, err := pgx.CollectRows(rows, pgx.RowToStructByPos[database])
	if err != nil {
		return fmt.Errorf("list templates: %w", err)
	}
	n := s.admin.Names()
	for _, d := range found {
		half := n.IsBuilding(d.Name) || d.Name == name || n.IsTemplate(d.Name) && d.Limit == -2
		if !half {
			continue
		}
		s.log.WarnContext(ctx, "dropping an unfinished template", "template", d.Name)
		if err := s.run(ctx, conn, "DROP DATABASE IF EXISTS "+quote(d.Name)+" WITH (FORCE)"); err != nil {
			return fmt.Errorf("drop %s: %w", d.Name, err)
		}
	}
	return nil
}

func (s *Schema) run(ctx context.Context, conn *pgx.Conn, statements ...string) error {
	for _, sql := range statements {
		if _, err := conn.Exec(ctx, sql, pgx.QueryExecModeSimpleProtocol); err != nil {
			return err
		}
	}
	return nil
}
