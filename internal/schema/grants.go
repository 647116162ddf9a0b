package schema

import (
	"strings"

	"github.com/jackc/pgx/v5"

	"tenantry/internal/pgadmin"
)

// keptTables are the tables that a serving role may only add to or read.
const (
	auditTable   = "audit_log"
	versionTable = "goose_db_version"
)

// centralGrants are run after every central migration, in its own
// transaction: the rights of the API on rows, anew, table by table.
func centralGrants(n pgadmin.Names) string { return grants(n.API()) }

// tenantGrants are run after every tenant migration. They are copied with the
// template; an empty role stands for the text of the hash.
func tenantGrants(group string) string {
	return strings.Join([]string{
		grants(group),
		// The provisioner runs this, so these are for what it makes later.
		// Changing and deleting follow with the next run of grants.
		"ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT ON TABLES TO " + quote(group),
		"ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT USAGE, SELECT ON SEQUENCES TO " + quote(group),
	}, ";\n")
}

func grants(role string) string {
	r := quote(role)
	return strings.Join([]string{
		"REVOKE CREATE ON SCHEMA public FROM PUBLIC",
		"GRANT USAGE ON SCHEMA public TO " + r,
		"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO " + r,
		"GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO " + r,
		// One transaction: the audit log cannot be edited even for a moment.
		"REVOKE UPDATE, DELETE, TRUNCATE ON " + auditTable + " FROM " + r,
		"REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON " + versionTable + " FROM " + r,
	}, ";\n")
}

func quote(role string) string { return pgx.Identifier{role}.Sanitize() }
