package verify

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/sync/errgroup"

	"tenantry/internal/schema"
)

const (
	// parallel is how many tenant databases are read at once.
	parallel = 4
	// tenantTime bounds reading one.
	tenantTime = 30 * time.Second
)

// tenantDatabases reads the database of every tenant that is made.
func (s *scan) tenantDatabases(ctx context.Context) error {
	var g errgroup.Group
	g.SetLimit(parallel)
	for _, t := range s.tenants {
		if !t.reachable {
			continue
		}
		g.Go(func() error {
			one, cancel := context.WithTimeout(ctx, tenantTime)
			defer cancel()
			if err := s.tenantDatabase(one, t); err != nil {
				// One sick database must not hide the others.
				s.wrong("DATABASE_UNREADABLE", t.Database, "The database of tenant %s could not be read (%s).", t.ID, cause(err))
			}
			return nil
		})
	}
	_ = g.Wait() // no goroutine answers an error
	return ctx.Err()
}

// cause names an error without the server's text, which may quote rows.
func cause(err error) string {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return "SQLSTATE " + pg.Code
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return "no answer in time"
	}
	return "no connection"
}

func (s *scan) tenantDatabase(ctx context.Context, t tenant) error {
	cfg := s.cfg.Copy()
	cfg.Database = t.Database
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	opts := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	err = pgx.BeginTxFunc(ctx, conn, opts, func(tx pgx.Tx) error {
		for _, compare := range []func(context.Context, pgx.Tx, tenant) error{
			s.compareTenantSchema, s.compareOwner, s.compareTenantOutbox, s.compareLimits,
		} {
			if err := compare(ctx, tx, t); err != nil {
				return err
			}
		}
		return s.compareHistory(ctx, tx, t.Database)
	})
	if err == nil {
		s.count("tenant databases", 1)
	}
	return err
}

func (s *scan) compareTenantSchema(ctx context.Context, tx pgx.Tx, t tenant) error {
	v, err := appliedVersion(ctx, tx)
	if err != nil {
		return err
	}
	switch want := schema.TenantVersion(); {
	case v != want:
		s.wrong("SCHEMA_VERSION", t.Database, "The schema has version %d and this release %d.", v, want)
	case v != t.SchemaVersion:
		s.wrong("SCHEMA_RECORD", t.ID.String(), "The schema has version %d and the tenant's row says %d.", v, t.SchemaVersion)
	}
	return nil
}

// compareOwner: an owner, or an open invitation of one, which stands for the
// owner also when it has expired (U8).
func (s *scan) compareOwner(ctx context.Context, tx pgx.Tx, t tenant) error {
	var owners int
	if err := tx.QueryRow(ctx, `
		SELECT count(*) FROM users u JOIN user_roles g ON g.user_id = u.id JOIN roles r ON r.id = g.role_id
		WHERE r.name = 'owner' AND u.deleted_at IS NULL`).Scan(&owners); err != nil {
		return fmt.Errorf("read owners: %w", err)
	}
	if owners > 0 {
		return nil
	}
	var until *time.Time
	if err := tx.QueryRow(ctx, `
		SELECT max(i.expires_at) FROM invitations i JOIN roles r ON r.name = 'owner' AND i.role_ids ? r.id::text
		WHERE i.inviter_id IS NULL AND i.accepted_at IS NULL AND i.revoked_at IS NULL`).Scan(&until); err != nil {
		return fmt.Errorf("read invitations: %w", err)
	}
	switch {
	case until == nil:
		s.wrong("OWNER_MISSING", t.ID.String(), "The tenant has neither an owner nor an open invitation of one.")
	case !until.After(s.now):
		s.found(Warning, "OWNER_INVITATION_EXPIRED", t.ID.String(), "The owner's invitation expired at %s; send it again.", until.UTC().Format(time.RFC3339))
	}
	return nil
}

// compareLimits: the settings hold what operators have set, but for a change
// on its way.
func (s *scan) compareLimits(ctx context.Context, tx pgx.Tx, t tenant) error {
	if t.Limiting {
		return nil
	}
	var limit *int64
	if err := tx.QueryRow(ctx, `SELECT (SELECT (document->>'max_users')::bigint FROM settings)`).Scan(&limit); err != nil {
		return fmt.Errorf("read settings: %w", err)
	}
	if limit != nil && *limit != t.MaxUsers {
		s.wrong("LIMIT_MISMATCH", t.ID.String(), "The tenant's settings allow %d accounts and operators have set %d.", *limit, t.MaxUsers)
	}
	return nil
}

func (s *scan) compareTenantOutbox(ctx context.Context, tx pgx.Tx, t tenant) error {
	if t.State != "active" {
		return nil // nobody drains it until it is
	}
	stuck, err := texts(ctx, tx, outboxStuck, s.now.Add(-stuckAfter))
	if err != nil {
		return fmt.Errorf("read outbox: %w", err)
	}
	for _, id := range stuck {
		s.wrong("OUTBOX_STUCK", id, "The row of the outbox of %s has been waiting for more than %s.", t.Database, stuckAfter)
	}
	return nil
}
