package schema

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/sync/errgroup"

	"tenantry/internal/ids"
	"tenantry/migrations"
)

// migratedAtOnce is how many tenants are migrated side by side.
const migratedAtOnce = 4

// TenantsError names the tenants whose migration failed.
type TenantsError struct {
	Failed []ids.Tenant
	Of     int
}

// Error lists the tenants; the codes are in tenants.schema_error.
func (e *TenantsError) Error() string {
	names := make([]string, len(e.Failed))
	for i, t := range e.Failed {
		names[i] = t.String()
	}
	return fmt.Sprintf("%d of %d tenants were not migrated: %s", len(e.Failed), e.Of, strings.Join(names, ", "))
}

// MigrateTenants takes every tenant that is made, suspended ones too, to the
// newest version, as the provisioner. progress hears of each, one at a time; it may be nil. Tenants
// that fail are named in a [*TenantsError] when all have had their turn.
func (s *Schema) MigrateTenants(ctx context.Context, progress func(tenant ids.Tenant, err error)) error {
	list, err := s.made(ctx)
	if err != nil {
		return err
	}
	failed := &TenantsError{Of: len(list)}
	var mu sync.Mutex
	var g errgroup.Group
	g.SetLimit(s.parallel)
	for _, t := range list {
		g.Go(func() error {
			err := s.migrateTenant(ctx, t)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failed.Failed = append(failed.Failed, t)
			}
			if progress != nil {
				progress(t, err)
			}
			return nil
		})
	}
	_ = g.Wait() // no tenant's failure ends the others
	if len(failed.Failed) > 0 {
		return failed
	}
	return nil
}

func (s *Schema) made(ctx context.Context) ([]ids.Tenant, error) {
	rows, err := s.admin.Pool().Query(ctx, `SELECT id::text FROM tenants WHERE state IN ('active', 'suspended', 'resuming') ORDER BY created_at, id`)
	if err != nil {
		return nil, fmt.Errorf("list tenants: %w", err)
	}
	texts, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("list tenants: %w", err)
	}
	out := make([]ids.Tenant, len(texts))
	for i, text := range texts {
		u, err := uuid.Parse(text)
		if err != nil {
			return nil, fmt.Errorf("tenant id: %w", err)
		}
		out[i] = ids.Tenant(u)
	}
	return out, nil
}

// migrateTenant migrates one and records how it went.
func (s *Schema) migrateTenant(ctx context.Context, t ids.Tenant) error {
	n := s.admin.Names()
	version, err := s.migrate(ctx, n.Tenant(t), migrations.Tenant(), tenantGrants(n.Group()))
	// Recorded also when ctx has ended: an operator looks here.
	rec := context.WithoutCancel(ctx)
	if err != nil {
		_, rerr := s.admin.Pool().Exec(rec, `UPDATE tenants SET schema_error = $2 WHERE id = $1`, t.UUID(), code(err))
		return errors.Join(fmt.Errorf("tenant %s: %w", t, err), rerr)
	}
	_, err = s.admin.Pool().Exec(rec, `UPDATE tenants SET schema_version = $2, schema_error = '' WHERE id = $1`, t.UUID(), version)
	if err != nil {
		return fmt.Errorf("record version of tenant %s: %w", t, err)
	}
	return nil
}

// code is what is kept of a failed migration: no text of the server, which
// may quote rows.
func code(err error) string {
	var pg *pgconn.PgError
	var connect *pgconn.ConnectError
	switch {
	case errors.As(err, &pg):
		return "SQLSTATE_" + pg.Code
	case errors.As(err, &connect):
		return "UNREACHABLE"
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return "CUT_OFF"
	default:
		return "FAILED"
	}
}
