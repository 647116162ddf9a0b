package verify

import (
	"context"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tenantry/internal/schema"
)

// tenant is a central row.
type tenant struct {
	ID            uuid.UUID
	State         string
	Database      string
	Role          string
	SchemaVersion int64
	SchemaError   string
	// Workflow is the one that holds the reservation, or is to.
	Workflow string
	// Intent is "open", "done" or "none": its start intent.
	Intent string
	// MaxUsers is what operators have set; Limiting: a change of it is open.
	MaxUsers int64
	Limiting bool
	// Changing: an operation that changes who may enter is open.
	Changing bool
	// reachable: its database is there, sound, open and the provisioner's.
	reachable bool
}

func (s *scan) readTenants(ctx context.Context, tx pgx.Tx) error {
	rows, err := tx.Query(ctx, `
		SELECT t.id::text, t.state, t.database_name, t.role_name, t.schema_version, t.schema_error,
			CASE WHEN t.workflow_id <> '' THEN t.workflow_id ELSE coalesce(o.workflow_id, '') END,
			(SELECT CASE WHEN count(*) = 0 THEN 'none' WHEN bool_or(b.done_at IS NULL) THEN 'open' ELSE 'done' END
				FROM outbox b WHERE b.kind = 'start' AND b.operation_id = t.operation_id),
			EXISTS (SELECT FROM operations a WHERE a.tenant_id = t.id AND a.ended_at IS NULL AND a.kind IN ('tenant.suspend', 'tenant.resume')),
			t.max_users, EXISTS (SELECT FROM operations a WHERE a.tenant_id = t.id AND a.ended_at IS NULL AND a.kind = 'tenant.set_limits')
		FROM tenants t LEFT JOIN operations o ON o.id = t.operation_id ORDER BY t.id`)
	if err != nil {
		return fmt.Errorf("read tenants: %w", err)
	}
	var t tenant
	var id string
	_, err = pgx.ForEachRow(rows, []any{&id, &t.State, &t.Database, &t.Role, &t.SchemaVersion, &t.SchemaError, &t.Workflow, &t.Intent, &t.Changing, &t.MaxUsers, &t.Limiting}, func() error {
		t.ID = uuid.MustParse(id)
		s.tenants = append(s.tenants, t)
		return nil
	})
	if err != nil {
		return fmt.Errorf("read tenants: %w", err)
	}
	for _, t := range s.tenants {
		if own := s.prefix + "t_" + hex.EncodeToString(t.ID[:]); t.Database != own || t.Role != own {
			s.wrong("TENANT_NAME", t.ID.String(), "The tenant's database %s or role %s is not called %s.", t.Database, t.Role, own)
		}
	}
	s.count("tenants", len(s.tenants))
	return nil
}

// made reports whether the tenant's making has ended: its database and role
// are to be there.
func (t *tenant) made() bool {
	return t.State == "active" || t.State == "suspended" || t.State == "resuming"
}

// tenantOf answers the tenant whose database or role is called name.
func (s *scan) tenantOf(name string) *tenant {
	for i := range s.tenants {
		if s.tenants[i].Database == name || s.tenants[i].Role == name {
			return &s.tenants[i]
		}
	}
	return nil
}

// failing reports whether the object is of a tenant that is being taken back.
func (s *scan) failing(name string) bool {
	t := s.tenantOf(name)
	return t != nil && t.State == "failing"
}

// rowCheck is a query whose rows are subjects of one discrepancy.
type rowCheck struct{ code, sql, sentence string }

var rowChecks = []rowCheck{
	{"SIGNING_KEY_MISSING", `SELECT t.id::text FROM tenants t WHERE t.state IN ('active', 'suspended', 'resuming')
		AND NOT EXISTS (SELECT FROM signing_keys k WHERE k.tenant_id = t.id AND k.activates_at <= now() AND (k.retired_at IS NULL OR k.retired_at > now()))`,
		"The tenant has no signing key that signs now."},
	{"SIGNING_KEY_ORPHAN", `SELECT k.id::text FROM signing_keys k WHERE NOT EXISTS (SELECT FROM tenants t WHERE t.id = k.tenant_id)`,
		"The signing key belongs to no tenant."},
	{"DIRTY_MARK_ORPHAN", `SELECT d.tenant_id::text FROM outbox_dirty d WHERE NOT EXISTS (SELECT FROM tenants t WHERE t.id = d.tenant_id)`,
		"The outbox mark belongs to no tenant."},
	{"OWNER_ADDRESS_KEPT", `SELECT t.id::text FROM tenants t WHERE t.state IN ('active', 'suspended', 'resuming') AND t.owner_email IS NOT NULL
		AND NOT EXISTS (SELECT FROM operations o WHERE o.tenant_id = t.id AND o.kind = 'tenant.invite_owner' AND o.ended_at IS NULL)`,
		"The owner's sealed address was not wiped once the invitation was written."},
	{"RESUME_ABANDONED", `SELECT t.id::text FROM tenants t WHERE t.state = 'resuming'
		AND NOT EXISTS (SELECT FROM operations o WHERE o.tenant_id = t.id AND o.kind IN ('tenant.suspend', 'tenant.resume') AND o.ended_at IS NULL)`,
		"The tenant is resuming and no open operation will make it active."},
	{"SCHEMA_ERROR", `SELECT id::text FROM tenants WHERE schema_error <> ''`,
		"The tenant's last migration failed; tenants.schema_error holds the code."},
	{"OPERATION_MISSING", `SELECT t.id::text FROM tenants t WHERE NOT EXISTS (SELECT FROM operations o WHERE o.id = t.operation_id)`,
		"The tenant's provisioning operation is missing."},
	{"OPERATION_NOT_ENDED", `SELECT o.id::text FROM operations o LEFT JOIN tenants t ON t.id = o.tenant_id
		WHERE o.ended_at IS NULL AND (t.id IS NULL OR t.state IN ('active', 'suspended', 'resuming') AND t.operation_id = o.id)`,
		"The operation is open though its tenant is made or gone."},
	{"OPERATION_ENDED_EARLY", `SELECT o.id::text FROM operations o JOIN tenants t ON t.operation_id = o.id
		WHERE o.ended_at IS NOT NULL AND t.state IN ('reserved', 'provisioning', 'failing')`,
		"The operation has ended though its tenant is still being made or taken back."},
	{"OUTBOX_ORPHAN", `SELECT b.id::text FROM outbox b WHERE b.kind = 'start' AND b.done_at IS NULL
		AND NOT EXISTS (SELECT FROM operations o WHERE o.id = b.operation_id)`,
		"The start intent belongs to no operation."},
	{"RECEIPT_ORPHAN", `SELECT r.id::text FROM hook_receipts r
		WHERE NOT EXISTS (SELECT FROM hook_sources h WHERE h.id = r.source_id)
		OR r.operation_id IS NOT NULL AND NOT EXISTS (SELECT FROM operations o WHERE o.id = r.operation_id)
		OR r.operation_id IS NULL AND r.refusal = ''`,
		"The hook receipt points to no source, or to no answer."},
	{"HOOK_SECRET_ORPHAN", `SELECT s.id::text FROM hook_secrets s WHERE NOT EXISTS (SELECT FROM hook_sources h WHERE h.id = s.source_id)`,
		"The hook secret belongs to no source."},
}

// outboxStuck is the same in both kinds of database. Events wait for webhook
// delivery, which takes its own time.
const outboxStuck = `SELECT id::text FROM outbox WHERE done_at IS NULL AND kind <> 'event' AND created_at < $1`

func (s *scan) compareRows(ctx context.Context, tx pgx.Tx) error {
	for _, c := range rowChecks {
		subjects, err := texts(ctx, tx, c.sql)
		if err != nil {
			return fmt.Errorf("check %s: %w", c.code, err)
		}
		for _, subject := range subjects {
			s.wrong(c.code, subject, "%s", c.sentence)
		}
	}
	stuck, err := texts(ctx, tx, outboxStuck, s.now.Add(-stuckAfter))
	if err != nil {
		return fmt.Errorf("check outbox: %w", err)
	}
	for _, id := range stuck {
		s.wrong("OUTBOX_STUCK", id, "The row of the central outbox has been waiting for more than %s.", stuckAfter)
	}
	for _, table := range []string{"operations", "outbox", "hook_receipts", "signing_keys", "outbox_dirty"} {
		var n int
		if err := tx.QueryRow(ctx, `SELECT count(*) FROM `+table).Scan(&n); err != nil {
			return fmt.Errorf("count %s: %w", table, err)
		}
		s.count("central "+table, n)
	}
	return nil
}

type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

func texts(ctx context.Context, q querier, sql string, args ...any) ([]string, error) {
	rows, err := q.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// compareCentralSchema: the version, the installation's row, and an audit log
// that the API can only add to.
func (s *scan) compareCentralSchema(ctx context.Context, tx pgx.Tx) error {
	v, err := appliedVersion(ctx, tx)
	if err != nil {
		return err
	}
	if v != schema.CentralVersion() {
		s.wrong("SCHEMA_VERSION", s.prefix+"central", "The schema has version %d and this release %d.", v, schema.CentralVersion())
	}
	rows, err := texts(ctx, tx, `SELECT id FROM installation`)
	if err != nil {
		return fmt.Errorf("read installation: %w", err)
	}
	if len(rows) != 1 || rows[0] != s.iid {
		s.wrong("INSTALLATION_ROW", s.prefix+"central", "The installation's row is not the one row %q.", s.iid)
	}
	return s.compareHistory(ctx, tx, s.prefix+"central")
}

func appliedVersion(ctx context.Context, q querier) (int64, error) {
	var v int64
	err := q.QueryRow(ctx, `SELECT coalesce(max(version_id), 0) FROM goose_db_version WHERE is_applied`).Scan(&v)
	if err != nil {
		return 0, fmt.Errorf("read schema version: %w", err)
	}
	return v, nil
}

// compareHistory: nobody but the provisioner may change the audit log or the
// schema's version.
func (s *scan) compareHistory(ctx context.Context, q querier, subject string) error {
	found, err := texts(ctx, q, `
		SELECT coalesce(r.rolname::text, 'PUBLIC') || ' has ' || string_agg(a.privilege_type, ', ' ORDER BY 1) || ' on ' || c.relname
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, aclexplode(c.relacl) a LEFT JOIN pg_roles r ON r.oid = a.grantee
		WHERE n.nspname = 'public' AND a.grantee <> c.relowner
			AND (c.relname = 'audit_log' AND a.privilege_type NOT IN ('SELECT', 'INSERT')
				OR c.relname = 'goose_db_version' AND a.privilege_type <> 'SELECT')
		GROUP BY r.rolname, c.relname`)
	if err != nil {
		return fmt.Errorf("read rights on tables: %w", err)
	}
	if len(found) > 0 {
		s.wrong("HISTORY_WRITABLE", subject, "History can be changed: %s.", strings.Join(found, "; "))
	}
	return nil
}
