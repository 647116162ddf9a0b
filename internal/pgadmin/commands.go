package pgadmin

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"tenantry/internal/ids"
)

// States in which commands are allowed; the empty one stands for no row: the
// last compensation deletes it, and a repeated one may come later.
var (
	making = []string{"provisioning"}
	taking = []string{"failing", ""}
)

// Target names a tenant's server objects.
type Target struct {
	Tenant         ids.Tenant
	Database, Role string
}

// CreateRole makes the tenant's role, or gives the existing one this password
// and its proper attributes. The tenant must be provisioning.
func (a *Admin) CreateRole(ctx context.Context, t Target, password string) error {
	v, err := Verifier(password)
	if err != nil {
		return err
	}
	return a.command(ctx, "create role", t, making, func(ctx context.Context, conn *pgx.Conn) error {
		var exists bool
		if err := conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)`, t.Role).Scan(&exists); err != nil {
			return err
		}
		// INHERIT: the group's grants are all the role has. Only a superuser
		// may speak of the other attributes in ALTER, or could have set them.
		sql := "CREATE ROLE " + ident(t.Role) + " WITH NOSUPERUSER NOREPLICATION NOBYPASSRLS"
		if exists {
			sql = "ALTER ROLE " + ident(t.Role) + " WITH"
		}
		if err := exec(ctx, conn, sql+" LOGIN INHERIT NOCREATEDB NOCREATEROLE PASSWORD "+literal(v)); err != nil {
			return err
		}
		return exec(ctx, conn, "GRANT "+ident(a.names.Group())+" TO "+ident(t.Role))
	})
}

// CreateDatabase copies a finished template (Schema.EnsureTemplate) into the
// tenant's database, owned by the provisioner and closed to everybody. The
// tenant must be provisioning.
func (a *Admin) CreateDatabase(ctx context.Context, t Target, template string) error {
	if !a.names.IsTemplate(template) {
		return fmt.Errorf("%q is no template of installation %s", template, a.names.Installation())
	}
	return a.command(ctx, "create database", t, making, func(ctx context.Context, conn *pgx.Conn) error {
		return MakeClosed(ctx, conn, t.Database, template)
	})
}

// MakeClosed makes a database from a template, closed to everybody, unless a
// sound one is there. A half-dropped one (datconnlimit -2: a crash inside
// DROP) is dropped first. conn must hold the lock that guards the name.
func MakeClosed(ctx context.Context, conn *pgx.Conn, database, template string) error {
	var limit int
	err := conn.QueryRow(ctx, `SELECT datconnlimit FROM pg_database WHERE datname = $1`, database).Scan(&limit)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
	case err != nil:
		return fmt.Errorf("find database: %w", err)
	case limit == invalid:
		if err := exec(ctx, conn, "DROP DATABASE IF EXISTS "+ident(database)+" WITH (FORCE)"); err != nil {
			return fmt.Errorf("drop invalid database: %w", err)
		}
	default:
		return nil
	}
	// Closed from its first moment: a copy does not inherit the template's
	// rights, so PUBLIC could connect to it.
	return exec(ctx, conn, "CREATE DATABASE "+ident(database)+" TEMPLATE "+ident(template)+" ENCODING 'UTF8' ALLOW_CONNECTIONS false")
}

// invalid is the connection limit of a database whose DROP was cut off.
const invalid = -2

// GrantAndOpen lets the tenant's role, and nobody else, connect. The tenant
// must be provisioning.
func (a *Admin) GrantAndOpen(ctx context.Context, t Target) error {
	return a.command(ctx, "grant and open", t, making, func(ctx context.Context, conn *pgx.Conn) error {
		// The order is the guarantee: open only when PUBLIC is out.
		for _, sql := range []string{
			"REVOKE ALL ON DATABASE " + ident(t.Database) + " FROM PUBLIC",
			"GRANT CONNECT ON DATABASE " + ident(t.Database) + " TO " + ident(t.Role),
			"ALTER DATABASE " + ident(t.Database) + " ALLOW_CONNECTIONS true",
		} {
			if err := exec(ctx, conn, sql); err != nil {
				return err
			}
		}
		return nil
	})
}

// CloseDatabase ends the database's sessions and lets nobody in. The tenant
// must be failing or gone; a missing or invalid database is closed enough.
func (a *Admin) CloseDatabase(ctx context.Context, t Target) error {
	return a.command(ctx, "close database", t, taking, func(ctx context.Context, conn *pgx.Conn) error {
		var there bool
		err := conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1 AND datconnlimit <> $2)`,
			t.Database, invalid).Scan(&there)
		if err != nil || !there {
			return err
		}
		if err := exec(ctx, conn, "ALTER DATABASE "+ident(t.Database)+" ALLOW_CONNECTIONS false"); err != nil {
			return err
		}
		// A superuser's session is not ours to end; most other columns of
		// sessions of other roles are hidden from the provisioner.
		_, err = conn.Exec(ctx, `SELECT pg_terminate_backend(s.pid, 5000) FROM pg_stat_activity s
			JOIN pg_roles r ON r.oid = s.usesysid WHERE s.datname = $1 AND NOT r.rolsuper`, t.Database)
		return err
	})
}

// DropDatabase drops the database with whatever sessions it has. The tenant
// must be failing or gone; a missing database is done.
func (a *Admin) DropDatabase(ctx context.Context, t Target) error {
	return a.command(ctx, "drop database", t, taking, func(ctx context.Context, conn *pgx.Conn) error {
		return exec(ctx, conn, "DROP DATABASE IF EXISTS "+ident(t.Database)+" WITH (FORCE)")
	})
}

// DropRole drops the tenant's role; its database must be gone. The tenant
// must be failing or gone; a missing role is done.
func (a *Admin) DropRole(ctx context.Context, t Target) error {
	return a.command(ctx, "drop role", t, taking, func(ctx context.Context, conn *pgx.Conn) error {
		return exec(ctx, conn, "DROP ROLE IF EXISTS "+ident(t.Role))
	})
}

// exec runs one statement; DDL takes no parameters and is not worth preparing.
func exec(ctx context.Context, conn *pgx.Conn, sql string) error {
	_, err := conn.Exec(ctx, sql, pgx.QueryExecModeSimpleProtocol)
	return err
}
