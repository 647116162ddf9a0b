package schema

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"tenantry/internal/apperr"
	"tenantry/migrations"
)

// headroom is how many migrations a newer release may have added. They are
// expansions (rule 9): the binary before them runs on the schema after them.
const headroom = 10

// Range is the versions of a schema that this binary works with, both ends
// included. A version is the number of the last migration.
type Range struct{ Min, Max int64 }

// Range of either database. Min rises when a release first needs a migration.
var (
	CentralRange = Range{Min: 7, Max: CentralVersion() + headroom}
	TenantRange  = Range{Min: 7, Max: TenantVersion() + headroom}
)

// Check answers a precondition error when version is outside the range.
func (r Range) Check(what string, version int64) error {
	if version >= r.Min && version <= r.Max {
		return nil
	}
	hint := "run a newer release"
	if version < r.Min {
		hint = "run `tenantry migrate`"
	}
	return apperr.Newf(apperr.Precondition, "SCHEMA_OUT_OF_RANGE",
		"The schema of %s has version %d; this release works with %d to %d: %s.", what, version, r.Min, r.Max, hint)
}

// CentralVersion is the version that MigrateCentral reaches.
func CentralVersion() int64 { return latest(migrations.Central()) }

// TenantVersion is the version of a new tenant's database.
func TenantVersion() int64 { return latest(migrations.Tenant()) }

func latest(files fs.FS) int64 {
	names, err := fs.Glob(files, "*.sql")
	if err != nil || len(names) == 0 {
		panic("schema: no embedded migrations")
	}
	number, _, _ := strings.Cut(path.Base(names[len(names)-1]), "_")
	v, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		panic("schema: migration without a number: " + names[len(names)-1])
	}
	return v
}

// TenantHash names a template: 12 hex digits of a SHA-256 over the names and
// texts of the tenant migrations and over the grants that follow them.
var TenantHash = sync.OnceValue(func() string { return hashOf(migrations.Tenant(), tenantGrants("")) })

func hashOf(files fs.FS, more ...string) string {
	h := sha256.New()
	names, _ := fs.Glob(files, "*.sql") // fails only for a bad pattern
	for _, name := range names {
		text, err := fs.ReadFile(files, name)
		if err != nil {
			panic(err) // embedded
		}
		fmt.Fprintf(h, "%s\x00%d\x00%s", name, len(text), text)
	}
	for _, m := range more {
		fmt.Fprintf(h, "\x00%s", m)
	}
	return hex.EncodeToString(h.Sum(nil))[:12]
}

// Querier is any pgx pool, connection or transaction.
type Querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// Version answers the number of the last migration of the database that q is
// on; 0 when there was none.
func Version(ctx context.Context, q Querier) (int64, error) {
	var v int64
	err := q.QueryRow(ctx, `SELECT coalesce(max(version_id), 0) FROM goose_db_version WHERE is_applied`).Scan(&v)
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == "42P01" { // undefined_table
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read schema version: %w", err)
	}
	return v, nil
}

// CheckCentral refuses to work with a central database of an unknown schema.
// The API's credential may ask.
func CheckCentral(ctx context.Context, q Querier) error {
	v, err := Version(ctx, q)
	if err != nil {
		return err
	}
	return CentralRange.Check("the central database", v)
}
