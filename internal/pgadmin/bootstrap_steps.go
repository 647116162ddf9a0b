package pgadmin

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// step is one statement of the bootstrap, printed and run alike.
type step struct {
	comment string
	sql     string
	// unless is a query: a row of it means that the step is done.
	unless string
	// database is where to run it; empty is wherever the session is.
	database string
	// unprinted steps are for a program that runs beside others.
	unprinted bool
}

func (s step) run(ctx context.Context, conn *pgx.Conn, cfg *pgx.ConnConfig) error {
	if s.database != "" {
		c := cfg.Copy()
		c.Database = s.database
		other, err := pgx.ConnectConfig(ctx, c)
		if err != nil {
			return err
		}
		defer func() { _ = other.Close(context.WithoutCancel(ctx)) }()
		conn = other
	}
	if s.unless != "" {
		var done bool
		if err := conn.QueryRow(ctx, `SELECT EXISTS (`+s.unless+`)`).Scan(&done); err != nil || done {
			return err
		}
	}
	// The simple protocol takes several statements at once.
	_, err := conn.Exec(ctx, s.sql, pgx.QueryExecModeSimpleProtocol)
	return err
}

func bootstrapSteps(o Options) ([]step, error) {
	n, err := NewNames(o.Installation)
	if err != nil {
		return nil, err
	}
	api, err := Verifier(o.APIPassword)
	if err != nil {
		return nil, err
	}
	prov, err := Verifier(o.ProvisionerPassword)
	if err != nil {
		return nil, err
	}
	steps := roleSteps(n, api, prov)
	steps = append(steps, databaseSteps(n)...)
	// Two bootstraps of one server take turns here; the lock ends with the
	// session.
	steps = append(steps, step{
		comment: "Wait for another installation's bootstrap",
		sql:     fmt.Sprintf("SELECT pg_advisory_lock(%d)", lockKey("bootstrap")), unprinted: true,
	})
	for _, db := range []string{"postgres", "template1"} {
		steps = append(steps, step{
			comment: "No tenant's role may look into " + db,
			sql:     "REVOKE CONNECT, TEMPORARY ON DATABASE " + db + " FROM PUBLIC",
			unless: "SELECT FROM pg_database WHERE datname = " + literal(db) + " AND datacl IS NOT NULL AND NOT EXISTS " +
				"(SELECT FROM aclexplode(datacl) WHERE grantee = 0)",
		})
	}
	return steps, nil
}

func roleSteps(n Names, api, prov string) []step {
	create := func(role string) step {
		return step{
			comment: "Role " + role, sql: "CREATE ROLE " + ident(role),
			unless: "SELECT FROM pg_roles WHERE rolname = " + literal(role),
		}
	}
	alter := func(what, role, attributes string) step {
		return step{comment: what, sql: "ALTER ROLE " + ident(role) + " WITH " + attributes}
	}
	return []step{
		create(n.API()),
		alter("The API: rows of the central database, nothing else", n.API(),
			"LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD "+literal(api)),
		create(n.Provisioner()),
		alter("The provisioner: makes and drops this installation's databases and roles", n.Provisioner(),
			"LOGIN NOSUPERUSER CREATEDB CREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD "+literal(prov)),
		create(n.Group()),
		alter("The group: what every tenant's role may do in its own database", n.Group(),
			"NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS"),
		{
			comment: "The provisioner puts tenants' roles into the group",
			sql:     "GRANT " + ident(n.Group()) + " TO " + ident(n.Provisioner()) + " WITH ADMIN OPTION",
		},
		{
			comment: "The provisioner ends a tenant's sessions before it drops its database",
			sql:     "GRANT pg_signal_backend TO " + ident(n.Provisioner()),
		},
	}
}

func databaseSteps(n Names) []step {
	central, api, prov := ident(n.Central()), ident(n.API()), ident(n.Provisioner())
	return []step{
		{
			// Closed until PUBLIC is out: a new database takes anybody's session.
			comment: "The central database",
			sql:     "CREATE DATABASE " + central + " OWNER " + prov + " TEMPLATE template0 ENCODING 'UTF8' ALLOW_CONNECTIONS false",
			unless:  "SELECT FROM pg_database WHERE datname = " + literal(n.Central()),
		},
		{comment: "Nobody connects to it", sql: "REVOKE ALL ON DATABASE " + central + " FROM PUBLIC"},
		{comment: "but the API and the provisioner", sql: "GRANT CONNECT ON DATABASE " + central + " TO " + api + ", " + prov},
		{comment: "Open it", sql: "ALTER DATABASE " + central + " ALLOW_CONNECTIONS true"},
		{
			// Changing and deleting come with each migration, table by table
			// (internal/schema), so that the audit log never has them.
			comment:  "What the API may do with tables that migrations make",
			database: n.Central(),
			sql: strings.Join([]string{
				"REVOKE CREATE ON SCHEMA public FROM PUBLIC",
				fmt.Sprintf("ALTER DEFAULT PRIVILEGES FOR ROLE %s IN SCHEMA public GRANT SELECT, INSERT ON TABLES TO %s", prov, api),
				fmt.Sprintf("ALTER DEFAULT PRIVILEGES FOR ROLE %s IN SCHEMA public GRANT USAGE, SELECT ON SEQUENCES TO %s", prov, api),
			}, ";\n"),
		},
	}
}

func ident(name string) string { return pgx.Identifier{name}.Sanitize() }

// literal quotes text of our own making: names, verifiers and statements.
func literal(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }
