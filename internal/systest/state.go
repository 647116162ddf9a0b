package systest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Connect opens a session as the superuser on a database; empty is the central
// one. The caller closes it.
func (s *System) Connect(ctx context.Context, database string) (*pgx.Conn, error) {
	if database == "" {
		central, err := url.Parse(s.settings["CENTRAL_URL"])
		if err != nil {
			return nil, err
		}
		database = strings.TrimPrefix(central.Path, "/")
	}
	u, err := url.Parse(s.Postgres.URL)
	if err != nil {
		return nil, err
	}
	u.Path = "/" + database
	return pgx.Connect(ctx, u.String())
}

// Query reads rows of one column as the superuser; a dead server is an error.
func Query[T any](ctx context.Context, s *System, database, sql string, args ...any) ([]T, error) {
	conn, err := s.Connect(ctx, database)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	rows, err := conn.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[T])
}

// Value reads the one row of Query.
func Value[T any](ctx context.Context, s *System, database, sql string, args ...any) (T, error) {
	var zero T
	found, err := Query[T](ctx, s, database, sql, args...)
	if err != nil {
		return zero, err
	}
	if len(found) != 1 {
		return zero, fmt.Errorf("%d rows from %s", len(found), sql)
	}
	return found[0], nil
}

// Database returns the name of a tenant's database.
func (s *System) Database(ctx context.Context, slug string) (string, error) {
	return Value[string](ctx, s, "", `SELECT database_name FROM tenants WHERE slug = $1`, slug)
}

// Metric reads a metric without labels at the address of a setting
// ("METRICS_ADDR", "WORKER_ADDR").
func (s *System) Metric(ctx context.Context, addr, name string) (float64, error) {
	a, err := s.Call(ctx, http.MethodGet, "http://"+s.Setting(addr)+"/metrics", "", nil)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(a.Body)) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return strconv.ParseFloat(strings.TrimSpace(value), 64)
		}
	}
	return 0, fmt.Errorf("no metric %s", name)
}

// Report is what `tenantry verify` found.
type Report struct {
	// Code is the exit code: 0 clean, 3 discrepancies.
	Code   int    `json:"-"`
	Stdout string `json:"-"`
	Stderr string `json:"-"`
	// Findings hold warnings too, which Clean forgives.
	Findings []Finding `json:"findings"`
	// Notes say what was not compared.
	Notes []string `json:"notes"`
}

// Finding is one discrepancy.
type Finding struct {
	Severity string `json:"severity"`
	Code     string `json:"code"`
	Subject  string `json:"subject"`
	Message  string `json:"message"`
}

// Clean reports whether nothing was found.
func (r Report) Clean() bool { return r.Code == 0 }

// Verify runs `tenantry verify --json`. A scan that could not run is an error;
// discrepancies are not.
func (s *System) Verify(ctx context.Context) (Report, error) {
	ran, err := s.CLI(ctx, "verify", "--json")
	if err != nil {
		return Report{}, err
	}
	r := Report{Code: ran.Code, Stdout: ran.Stdout, Stderr: ran.Stderr}
	if ran.Code != 0 && ran.Code != 3 {
		return r, fmt.Errorf("tenantry verify: exit code %d\n%s%s", ran.Code, ran.Stdout, ran.Stderr)
	}
	if err := json.Unmarshal([]byte(ran.Stdout), &r); err != nil {
		return r, fmt.Errorf("tenantry verify --json: %w in %q", err, ran.Stdout)
	}
	return r, nil
}

// Residue names what is left of a tenant that must be gone: rows, slug, role,
// database, keys, intents. Receipt, operation and audit rows may stay.
func (s *System) Residue(ctx context.Context, tenantID, slug string) ([]string, error) {
	return s.problems(ctx, `
		SELECT 'tenant row in state ' || state FROM tenants WHERE id = $1
		UNION ALL SELECT 'slug taken by ' || id FROM tenants WHERE slug = $2
		UNION ALL SELECT 'signing key' FROM signing_keys WHERE tenant_id = $1
		UNION ALL SELECT 'outbox mark' FROM outbox_dirty WHERE tenant_id = $1
		UNION ALL SELECT 'open start intent' FROM outbox WHERE tenant_id = $1 AND kind = 'start' AND done_at IS NULL
		UNION ALL SELECT 'database ' || datname FROM pg_database WHERE datname LIKE $3
		UNION ALL SELECT 'role ' || rolname FROM pg_roles WHERE rolname LIKE $3
		UNION ALL SELECT 'operation in state ' || state FROM operations WHERE tenant_id = $1 AND (state <> 'failed' OR ended_at IS NULL)`,
		tenantID, slug, "%"+strings.ReplaceAll(tenantID, "-", ""))
}

// Missing names what a provisioned tenant lacks.
func (s *System) Missing(ctx context.Context, tenantID, slug string) ([]string, error) {
	return s.problems(ctx, `
		SELECT 'no active row' WHERE NOT EXISTS (SELECT FROM tenants WHERE id = $1 AND slug = $2 AND state = 'active' AND activated_at IS NOT NULL)
		UNION ALL SELECT 'the owner''s address is still there' FROM tenants WHERE id = $1 AND owner_email IS NOT NULL
		UNION ALL SELECT count(*) || ' signing keys' FROM signing_keys WHERE tenant_id = $1 HAVING count(*) <> 1
		UNION ALL SELECT count(*) || ' open databases' FROM pg_database WHERE datname LIKE $3 AND datallowconn AND datconnlimit = -1 HAVING count(*) <> 1
		UNION ALL SELECT 'PUBLIC may connect' FROM pg_database WHERE datname LIKE $3
			AND (datacl IS NULL OR EXISTS (SELECT FROM aclexplode(datacl) WHERE grantee = 0))
		UNION ALL SELECT count(*) || ' login roles' FROM pg_roles WHERE rolname LIKE $3 AND rolcanlogin HAVING count(*) <> 1
		UNION ALL SELECT count(*) || ' succeeded operations' FROM operations WHERE tenant_id = $1 AND state = 'succeeded' AND ended_at IS NOT NULL
			HAVING count(*) <> 1`,
		tenantID, slug, "%"+strings.ReplaceAll(tenantID, "-", ""))
}

func (s *System) problems(ctx context.Context, sql string, tenantID, slug, names string) ([]string, error) {
	conn, err := s.Connect(ctx, "")
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	// The simple protocol sends text: one parameter serves columns of several types.
	rows, err := conn.Query(ctx, sql, pgx.QueryExecModeSimpleProtocol, tenantID, slug, names)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// CentralRows counts the rows of every central table by name, for "nothing was
// written". The marks are left out: they are written beside requests.
func (s *System) CentralRows(ctx context.Context) (map[string]int64, error) {
	conn, err := s.Connect(ctx, "")
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	rows, err := conn.Query(ctx, `SELECT tablename::text FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'outbox_dirty'`)
	if err != nil {
		return nil, err
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, err
	}
	out := map[string]int64{}
	for _, table := range tables {
		var n int64
		if err := conn.QueryRow(ctx, "SELECT count(*) FROM "+pgx.Identifier{table}.Sanitize()).Scan(&n); err != nil {
			return nil, err
		}
		out[table] = n
	}
	return out, nil
}
