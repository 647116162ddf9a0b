// Package testdb gives each test an installation of its own on the server of
// TENANTRY_TEST_PG_URL, made by the product's own bootstrap and migrations, so
// that tests run in parallel. Only _test.go files import it.
package testdb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"tenantry/internal/db"
	"tenantry/internal/pgadmin"
	"tenantry/internal/schema"
	"tenantry/internal/secrets"
)

// setupTime bounds making or dropping an installation.
const setupTime = 2 * time.Minute

// Installation is a whole one: roles, central database, template; no tenant.
type Installation struct {
	IID   string
	Names pgadmin.Names
	// SuperURL is the server's superuser, CentralURL the API, ProvisionerURL
	// the worker; the last two are on the central database.
	SuperURL       string
	CentralURL     string
	ProvisionerURL string
	// Ring is a fresh key-encryption key, RingText its configuration.
	Ring     *secrets.Keyring
	RingText string
	// Central uses the API's credential, at most 8 connections.
	Central *db.Central
	// Provisioner is the pool of Admin on the central database.
	Provisioner *pgxpool.Pool
	Admin       *pgadmin.Admin
	Schema      *schema.Schema
}

// Log is a logger that says nothing.
func Log() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// ServerURL answers the test server's superuser URL. A missing server is a
// failure, never a skip.
func ServerURL(t testing.TB) string {
	t.Helper()
	u := os.Getenv("TENANTRY_TEST_PG_URL")
	if u == "" {
		t.Fatal("TENANTRY_TEST_PG_URL is not set: tests need a Postgres superuser's URL (make test sets it)")
	}
	return u
}

// New makes an installation and drops it, with all its tenants, at the end.
func New(t testing.TB) *Installation {
	t.Helper()
	return On(t, ServerURL(t))
}

// On is New on a server of the test's own.
func On(t testing.TB, superURL string) *Installation {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), setupTime)
	defer cancel()
	opts := pgadmin.Options{}.Complete()
	names, err := pgadmin.NewNames(opts.Installation)
	require.NoError(t, err)
	in := &Installation{IID: opts.Installation, Names: names, SuperURL: superURL}
	t.Cleanup(func() { in.drop(t) })

	res, err := pgadmin.Bootstrap(ctx, superURL, opts)
	require.NoError(t, err)
	in.CentralURL, in.ProvisionerURL = res.CentralURL, res.ProvisionerURL
	in.RingText = NewRing()
	in.Ring, err = secrets.ParseKeyring(in.RingText)
	require.NoError(t, err)

	in.Provisioner = in.OpenPool(t, in.ProvisionerURL, 6)
	in.Admin = pgadmin.New(in.Provisioner, Log())
	in.Schema = schema.New(in.Admin, in.ProvisionerURL, Log())
	require.NoError(t, in.migrate(ctx))
	in.Central = db.NewCentral(in.OpenPool(t, in.CentralURL, 8), in.Ring)
	return in
}

// migrate makes the central schema and the template side by side.
func (in *Installation) migrate(ctx context.Context) error {
	var g errgroup.Group
	g.Go(func() error {
		_, err := in.Schema.EnsureTemplate(ctx)
		return err
	})
	g.Go(func() error {
		if err := in.Schema.MigrateCentral(ctx); err != nil {
			return err
		}
		return in.Schema.InitInstallation(ctx, in.Ring, in.IID)
	})
	return g.Wait()
}

// OpenPool opens a pool and closes it at the end of the test.
func (in *Installation) OpenPool(t testing.TB, url string, conns int32) *pgxpool.Pool {
	t.Helper()
	cfg, err := pgxpool.ParseConfig(url)
	require.NoError(t, err)
	cfg.MaxConns = conns
	cfg.MinConns = 0
	p, err := pgxpool.NewWithConfig(context.Background(), cfg)
	require.NoError(t, err)
	t.Cleanup(p.Close)
	return p
}

// URL answers the URL of a role on a database of the test server.
func (in *Installation) URL(role, password, database string) string {
	u, err := url.Parse(in.SuperURL)
	if err != nil {
		panic(err) // used before, by New
	}
	u.User, u.Path = url.UserPassword(role, password), "/"+database
	return u.String()
}

// SuperURLOn answers the superuser's URL on a database.
func (in *Installation) SuperURLOn(database string) string {
	u, err := url.Parse(in.SuperURL)
	if err != nil {
		panic(err)
	}
	u.Path = "/" + database
	return u.String()
}

// Super runs a statement as superuser on a database; empty is the server's
// own. For planting what the product cannot do.
func (in *Installation) Super(t testing.TB, database, sql string, args ...any) {
	t.Helper()
	target := in.SuperURL
	if database != "" {
		target = in.SuperURLOn(database)
	}
	ctx, cancel := context.WithTimeout(context.Background(), setupTime)
	defer cancel()
	conn, err := pgx.Connect(ctx, target)
	require.NoError(t, err)
	_, err = conn.Exec(ctx, sql, args...)
	require.NoError(t, err)
	pid := conn.PgConn().PID()
	require.NoError(t, conn.Close(ctx))
	if database != "" {
		in.awaitExit(ctx, t, pid)
	}
}

// awaitExit waits for a superuser's session to be gone: the provisioner
// cannot end one, so a DROP right after would fail on it.
func (in *Installation) awaitExit(ctx context.Context, t testing.TB, pid uint32) {
	t.Helper()
	conn, err := pgx.Connect(ctx, in.SuperURL)
	require.NoError(t, err)
	defer func() { _ = conn.Close(ctx) }()
	for left := 1; left > 0; {
		require.NoError(t, conn.QueryRow(ctx, `SELECT count(*) FROM pg_stat_activity WHERE pid = $1`, pid).Scan(&left))
	}
}

// drop removes every database and role of the installation.
func (in *Installation) drop(t testing.TB) {
	ctx, cancel := context.WithTimeout(context.Background(), setupTime)
	defer cancel()
	if err := in.dropAll(ctx); err != nil {
		t.Errorf("drop installation %s: %v", in.IID, err)
	}
}

func (in *Installation) dropAll(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, in.SuperURL)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer func() { _ = conn.Close(ctx) }()
	var errs []error
	for _, what := range []struct{ list, drop string }{
		{`SELECT datname::text FROM pg_database WHERE starts_with(datname, $1)`, `DROP DATABASE IF EXISTS %s WITH (FORCE)`},
		{`SELECT rolname::text FROM pg_roles WHERE starts_with(rolname, $1) ORDER BY rolname DESC`, `DROP ROLE IF EXISTS %s`},
	} {
		rows, err := conn.Query(ctx, what.list, in.Names.Prefix())
		if err != nil {
			return err
		}
		names, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return err
		}
		for _, n := range names {
			sql := strings.Replace(what.drop, "%s", pgx.Identifier{n}.Sanitize(), 1)
			if _, err := conn.Exec(ctx, sql, pgx.QueryExecModeSimpleProtocol); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", n, err))
			}
		}
	}
	return errors.Join(errs...)
}
