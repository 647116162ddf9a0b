package verify_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"tenantry/internal/testdb"
	"tenantry/internal/verify"
)

// planted is one discrepancy: how it comes, how it goes, and its only finding.
type planted struct {
	code, subject string
	// in is where plant and undo run: {central}, {db}, or empty for the server.
	in, plant, undo string
}

// onRows are planted in the central rows.
var onRows = []planted{
	{"SIGNING_KEY_MISSING", "{tenant}", "{central}", `UPDATE signing_keys SET retired_at = now(), expires_at = now()`, `UPDATE signing_keys SET retired_at = NULL, expires_at = NULL`},
	{"SIGNING_KEY_ORPHAN", "{x}", "{central}",
		`SET session_replication_role = replica; INSERT INTO signing_keys (id, tenant_id, public_key, private_key) SELECT '{x}', '{x}', public_key, '' FROM signing_keys`,
		`DELETE FROM signing_keys WHERE id = '{x}'`},
	{"DIRTY_MARK_ORPHAN", "{x}", "{central}", `INSERT INTO outbox_dirty VALUES ('{x}', now())`, `DELETE FROM outbox_dirty WHERE tenant_id = '{x}'`},
	{"OWNER_ADDRESS_KEPT", "{tenant}", "{central}", `UPDATE tenants SET owner_email = 'x' WHERE id = '{tenant}'`, `UPDATE tenants SET owner_email = NULL`},
	{"SCHEMA_ERROR", "{tenant}", "{central}", `UPDATE tenants SET schema_error = 'FAILED' WHERE id = '{tenant}'`, `UPDATE tenants SET schema_error = ''`},
	{"RESUME_ABANDONED", "{tenant}", "{central}", `UPDATE tenants SET state = 'resuming' WHERE id = '{tenant}'`, `UPDATE tenants SET state = 'active' WHERE id = '{tenant}'`},
	{"TENANT_ACCESS", "{db}", "{central}", `UPDATE tenants SET state = 'suspended' WHERE id = '{tenant}'`, `UPDATE tenants SET state = 'active' WHERE id = '{tenant}'`},
	{"OPERATION_STUCK", "{x}", "{central}",
		`INSERT INTO operations (id, kind, tenant_id, workflow_id) VALUES ('{x}', 'tenant.suspend', '{tenant}', 'w'); UPDATE tenants SET state = 'suspended' WHERE id = '{tenant}'`,
		`DELETE FROM operations WHERE id = '{x}'; UPDATE tenants SET state = 'active' WHERE id = '{tenant}'`},
	{"OPERATION_MISSING", "{tenant}", "{central}", `UPDATE tenants SET operation_id = '{x}' WHERE id = '{tenant}'`, `UPDATE tenants SET operation_id = '{op}' WHERE id = '{tenant}'`},
	{"OPERATION_NOT_ENDED", "{op}", "{central}", `UPDATE operations SET state = 'running', ended_at = NULL WHERE id = '{op}'`, `UPDATE operations SET state = 'succeeded', ended_at = now() WHERE id = '{op}'`},
	{"OPERATION_NOT_ENDED", "{x}", "{central}", `INSERT INTO operations (id, kind, tenant_id, workflow_id) VALUES ('{x}', 'tenant.provision', '{x}', 'w')`, `DELETE FROM operations WHERE id = '{x}'`},
	{"OPERATION_ENDED_EARLY", "{makingop}", "{central}", `UPDATE operations SET state = 'failed', ended_at = now() WHERE id = '{makingop}'`, `UPDATE operations SET state = 'running', ended_at = NULL WHERE id = '{makingop}'`},
	{"OPERATION_STUCK", "{x}", "{central}", `INSERT INTO operations (id, kind, tenant_id, workflow_id) VALUES ('{x}', 'other', '{tenant}', 'w')`, `DELETE FROM operations WHERE id = '{x}'`},
	{"OUTBOX_ORPHAN", "{x}", "{central}", `INSERT INTO outbox (id, kind, name, operation_id) VALUES ('{x}', 'start', 'n', '{x}')`, `DELETE FROM outbox WHERE id = '{x}'`},
	{"OUTBOX_STUCK", "{x}", "{central}", `INSERT INTO outbox (id, kind, name, created_at) VALUES ('{x}', 'mail', 'n', now() - interval '16 minutes')`, `DELETE FROM outbox WHERE id = '{x}'`},
	{"RECEIPT_ORPHAN", "{x}", "{central}", `INSERT INTO hook_receipts (id, source_id, message_id, body_hash, operation_id) VALUES ('{x}', '{op}', '3', '', '{x}')`, `DELETE FROM hook_receipts WHERE id = '{x}'`},
	{"RECEIPT_ORPHAN", "{x}", "{central}", `INSERT INTO hook_receipts (id, source_id, message_id, body_hash, refusal) VALUES ('{x}', '{x}', '3', '', 'R')`, `DELETE FROM hook_receipts WHERE id = '{x}'`},
	{"RECEIPT_ORPHAN", "{x}", "{central}", `INSERT INTO hook_receipts (id, source_id, message_id, body_hash) VALUES ('{x}', '{op}', '3', '')`, `DELETE FROM hook_receipts WHERE id = '{x}'`},
	{"HOOK_SECRET_ORPHAN", "{x}", "{central}", `INSERT INTO hook_secrets (id, source_id, secret) VALUES ('{x}', '{x}', '')`, `DELETE FROM hook_secrets WHERE id = '{x}'`},
	{"INSTALLATION_ROW", "{central}", "{central}", `UPDATE installation SET id = 'zzzzzz'`, `UPDATE installation SET id = substr('{prefix}', 4, 6)`},
	{"SCHEMA_VERSION", "{central}", "{central}", `UPDATE goose_db_version SET is_applied = false WHERE version_id = (SELECT max(version_id) FROM goose_db_version)`, `UPDATE goose_db_version SET is_applied = true`},
	{"SCHEMA_RECORD", "{tenant}", "{central}", `UPDATE tenants SET schema_version = schema_version - 1 WHERE id = '{tenant}'`, `UPDATE tenants SET schema_version = schema_version + 1 WHERE id = '{tenant}'`},
	{"TENANT_NAME", "{making}", "{central}",
		`UPDATE tenants SET database_name = overlay(database_name placing 'zzzzzz' from 4), role_name = overlay(role_name placing 'zzzzzz' from 4) WHERE id = '{making}'`,
		`UPDATE tenants SET database_name = '{makingdb}', role_name = '{makingdb}' WHERE id = '{making}'`},
	{"HISTORY_WRITABLE", "{central}", "{central}", `GRANT UPDATE ON audit_log TO "{api}"`, `REVOKE UPDATE ON audit_log FROM "{api}"`},
	{"HISTORY_WRITABLE", "{central}", "{central}", `GRANT DELETE ON goose_db_version TO PUBLIC`, `REVOKE DELETE ON goose_db_version FROM PUBLIC`},
	{"WORKFLOW_MISSING", "{waiting}", "{central}", `UPDATE outbox SET done_at = now() WHERE operation_id = '{waitingop}'`, `UPDATE outbox SET done_at = NULL WHERE operation_id = '{waitingop}'`},
	{"WORKFLOW_MISSING", "{making}", "{central}", `UPDATE tenants SET workflow_id = 'other', state = 'failing' WHERE id = '{making}'`, `UPDATE tenants SET workflow_id = '', state = 'provisioning' WHERE id = '{making}'`},
}

// onTenants are planted in the active tenant's own database.
var onTenants = []planted{
	{"SCHEMA_VERSION", "{db}", "{db}", `UPDATE goose_db_version SET is_applied = false WHERE version_id = (SELECT max(version_id) FROM goose_db_version)`, `UPDATE goose_db_version SET is_applied = true`},
	{"LIMIT_MISMATCH", "{tenant}", "{db}", `INSERT INTO settings (id, document) VALUES (1, '{"max_users": 3}')`, `DELETE FROM settings`},
	{"OWNER_MISSING", "{tenant}", "{db}", `UPDATE invitations SET revoked_at = now()`, `UPDATE invitations SET revoked_at = NULL`},
	{"OWNER_MISSING", "{tenant}", "{db}", `UPDATE invitations SET role_ids = '["{x}"]'`, `UPDATE invitations SET role_ids = '["{op}"]'`},
	{"OWNER_INVITATION_EXPIRED", "{tenant}", "{db}", `UPDATE invitations SET expires_at = now() - interval '1 second'`, `UPDATE invitations SET expires_at = now() + interval '7 days'`},
	{"OUTBOX_STUCK", "{x}", "{db}", `INSERT INTO outbox (id, kind, name, created_at) VALUES ('{x}', 'mail', 'n', now() - interval '16 minutes')`, `DELETE FROM outbox`},
	{"HISTORY_WRITABLE", "{db}", "{db}", `GRANT DELETE ON audit_log TO "{group}"`, `REVOKE DELETE ON audit_log FROM "{group}"`},
	{"ROLE_OWNS", "{db}", "{db}", `ALTER TABLE users OWNER TO "{db}"`, `ALTER TABLE users OWNER TO "{prov}"; REVOKE ALL ON users FROM "{db}"`},
	{"DATABASE_UNREADABLE", "{db}", "{db}", `ALTER TABLE invitations RENAME TO hidden`, `ALTER TABLE hidden RENAME TO invitations`},
}

// onServer are planted in roles, databases and rights.
var onServer = []planted{
	{"ROLE_RESIDUE", "{residue}", "", `CREATE ROLE "{residue}"`, `DROP ROLE "{residue}"`},
	{"ROLE_UNKNOWN", "{prefix}guest", "", `CREATE ROLE "{prefix}guest"`, `DROP ROLE "{prefix}guest"`},
	{"ROLE_ATTRIBUTES", "{db}", "", `ALTER ROLE "{db}" CREATEDB`, `ALTER ROLE "{db}" NOCREATEDB`},
	{"TENANT_ACCESS", "{db}", "", `ALTER ROLE "{db}" NOLOGIN`, `ALTER ROLE "{db}" LOGIN`},
	{"ROLE_ATTRIBUTES", "{api}", "", `ALTER ROLE "{api}" CREATEROLE`, `ALTER ROLE "{api}" NOCREATEROLE`},
	{"ROLE_ATTRIBUTES", "{prov}", "", `ALTER ROLE "{prov}" SUPERUSER`, `ALTER ROLE "{prov}" NOSUPERUSER`},
	{"ROLE_ATTRIBUTES", "{group}", "", `ALTER ROLE "{group}" LOGIN`, `ALTER ROLE "{group}" NOLOGIN`},
	{"ROLE_MEMBERSHIP", "{db}", "", `REVOKE "{group}" FROM "{db}"`, `GRANT "{group}" TO "{db}"`},
	{"ROLE_MEMBERSHIP", "{db}", "", `GRANT "{api}" TO "{db}"`, `REVOKE "{api}" FROM "{db}"`},
	{"ROLE_MEMBERSHIP", "{api}", "", `GRANT "{prov}" TO "{api}"`, `REVOKE "{prov}" FROM "{api}"`},
	{"ROLE_MEMBERSHIP", "{prov}", "", `REVOKE pg_signal_backend FROM "{prov}"`, `GRANT pg_signal_backend TO "{prov}"`},
	{"ROLE_MEMBERSHIP", "{prov}", "", `CREATE ROLE gone_{prefix};;GRANT "{prov}" TO gone_{prefix}`, `DROP ROLE gone_{prefix}`},
	{"CONNECT_MISSING", "{db}", "", `REVOKE CONNECT ON DATABASE "{db}" FROM "{db}"`, `GRANT CONNECT ON DATABASE "{db}" TO "{db}"`},
	{"CONNECT_MISSING", "{api}", "", `REVOKE CONNECT ON DATABASE "{central}" FROM "{api}"`, `GRANT CONNECT ON DATABASE "{central}" TO "{api}"`},
	{"CONNECT_FOREIGN", "{db}", "", `GRANT CONNECT ON DATABASE "{central}" TO "{db}"`, `REVOKE CONNECT ON DATABASE "{central}" FROM "{db}"`},
	{"CONNECT_FOREIGN", "{group}", "", `GRANT CONNECT ON DATABASE "{db}" TO "{group}"`, `REVOKE CONNECT ON DATABASE "{db}" FROM "{group}"`},
	{"CONNECT_FOREIGN", "{api}", "", `GRANT CONNECT ON DATABASE "{db}" TO "{api}"`, `REVOKE CONNECT ON DATABASE "{db}" FROM "{api}"`},
	{"DATABASE_RIGHTS", "{db}", "", `GRANT CREATE ON DATABASE "{db}" TO "{db}"`, `REVOKE CREATE ON DATABASE "{db}" FROM "{db}"`},
	{"PUBLIC_RIGHTS", "{db}", "", `GRANT CONNECT ON DATABASE "{db}" TO PUBLIC`, `REVOKE ALL ON DATABASE "{db}" FROM PUBLIC`},
	{"PUBLIC_RIGHTS", "{db}", "", `GRANT TEMPORARY ON DATABASE "{db}" TO PUBLIC`, `REVOKE ALL ON DATABASE "{db}" FROM PUBLIC`},
	{"PUBLIC_RIGHTS", "{central}", "", `GRANT CONNECT ON DATABASE "{central}" TO PUBLIC`, `REVOKE ALL ON DATABASE "{central}" FROM PUBLIC`},
	{"PUBLIC_RIGHTS", "{tpl}", "", `GRANT CONNECT ON DATABASE "{tpl}" TO PUBLIC`, `REVOKE ALL ON DATABASE "{tpl}" FROM PUBLIC`},
	{"DATABASE_OWNER", "{db}", "", `ALTER DATABASE "{db}" OWNER TO postgres`, `ALTER DATABASE "{db}" OWNER TO "{prov}"`},
	{"DATABASE_CLOSED", "{db}", "", `ALTER DATABASE "{db}" ALLOW_CONNECTIONS false`, `ALTER DATABASE "{db}" ALLOW_CONNECTIONS true`},
	{"DATABASE_INVALID", "{db}", "", `UPDATE pg_database SET datconnlimit = -2 WHERE datname = '{db}'`, `UPDATE pg_database SET datconnlimit = -1 WHERE datname = '{db}'`},
	{"DATABASE_MISSING", "{db}", "",
		`REVOKE ALL ON DATABASE "{db}" FROM "{db}";;ALTER DATABASE "{db}" RENAME TO gone_{prefix}`,
		`ALTER DATABASE gone_{prefix} RENAME TO "{db}";;GRANT CONNECT ON DATABASE "{db}" TO "{db}"`},
	{"DATABASE_RESIDUE", "{residue}", "", `CREATE DATABASE "{residue}"`, `DROP DATABASE "{residue}"`},
	{"DATABASE_UNKNOWN", "{prefix}old", "", `CREATE DATABASE "{prefix}old"`, `DROP DATABASE "{prefix}old"`},
	{"TEMPLATE_LEFTOVER", "{prefix}tpb_0123456789ab", "", `CREATE DATABASE "{prefix}tpb_0123456789ab"`, `DROP DATABASE "{prefix}tpb_0123456789ab"`},
	{"TEMPLATE_OPEN", "{tpl}", "", `ALTER DATABASE "{tpl}" ALLOW_CONNECTIONS true`, `ALTER DATABASE "{tpl}" ALLOW_CONNECTIONS false`},
	{"TEMPLATE_MISSING", "{tpl}", "", `ALTER DATABASE "{tpl}" RENAME TO "{prefix}tpl_0123456789ab"`, `ALTER DATABASE "{prefix}tpl_0123456789ab" RENAME TO "{tpl}"`},
	{"ROLE_MISSING", "{db}", "",
		`REVOKE "{group}" FROM "{db}";;REVOKE ALL ON DATABASE "{db}" FROM "{db}";;ALTER ROLE "{db}" RENAME TO gone_{prefix}`,
		`ALTER ROLE gone_{prefix} RENAME TO "{db}";;GRANT "{group}" TO "{db}";;GRANT CONNECT ON DATABASE "{db}" TO "{db}"`},
}

func TestScan_NamesEachPlantedDiscrepancyAndNothingElse(t *testing.T) {
	t.Parallel()
	for name, cases := range map[string][]planted{"rows": onRows, "tenants": onTenants, "server": onServer} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, testdb.New(t))
			requireClean(t, w.scan(t))
			for _, c := range cases {
				w.run(t, c.in, c.plant)
				requireOnly(t, w, c)
				w.run(t, c.in, c.undo)
			}
			requireClean(t, w.scan(t))
		})
	}
}

func requireOnly(t *testing.T, w *world, c planted) {
	t.Helper()
	r := w.scan(t)
	require.NotEmpty(t, r.Findings, "%s: nothing found after %s", c.code, c.plant)
	for _, f := range r.Findings {
		require.Equal(t, c.code, f.Code, "%s: %+v", c.plant, r.Findings)
		require.Equal(t, w.words.Replace(c.subject), f.Subject)
		require.NotEmpty(t, f.Message)
	}
	require.Len(t, r.Findings, 1, "%+v", r.Findings)
	require.Equal(t, c.code == "OWNER_INVITATION_EXPIRED", r.Clean(), "only warnings are clean")
}

func requireClean(t *testing.T, r verify.Report) {
	t.Helper()
	require.Empty(t, r.Findings)
	require.True(t, r.Clean())
}
