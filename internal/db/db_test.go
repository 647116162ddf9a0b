package db_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"tenantry/internal/apperr"
	"tenantry/internal/db"
	"tenantry/internal/ids"
	"tenantry/internal/testdb"
)

func count(t *testing.T, l *db.Lease) int {
	t.Helper()
	n, err := db.InTenantRead(t.Context(), l, func(tx db.TenantTx) (int, error) { return tx.Ent().Role.Query().Count(t.Context()) })
	require.NoError(t, err)
	return n
}

func addRole(ctx context.Context, tx db.TenantTx, name string) error {
	return tx.Ent().Role.Create().SetID(ids.New()).SetName(name).SetPermissions([]string{}).Exec(ctx)
}

func TestInTenant_CommitsOnNilAndRollsBackOtherwise(t *testing.T) {
	t.Parallel()
	_, l := testdb.New(t).ActiveTenant(t, "acme")
	_, err := db.InTenant(t.Context(), l, func(tx db.TenantTx) (int, error) { return 0, addRole(t.Context(), tx, "kept") })
	require.NoError(t, err)
	require.Equal(t, 1, count(t, l))

	fault := errors.New("fault")
	r, err := db.InTenant(t.Context(), l, func(tx db.TenantTx) (int, error) { return 7, errors.Join(addRole(t.Context(), tx, "lost"), fault) })
	require.ErrorIs(t, err, fault)
	require.Zero(t, r, "a failed closure answers nothing")
	require.Panics(t, func() {
		_, _ = db.InTenant(t.Context(), l, func(tx db.TenantTx) (int, error) {
			require.NoError(t, addRole(t.Context(), tx, "lost"))
			panic("fault")
		})
	})
	require.Equal(t, 1, count(t, l))
}

func TestInTenantRead_CannotWrite(t *testing.T) {
	t.Parallel()
	_, l := testdb.New(t).ActiveTenant(t, "acme")
	_, err := db.InTenantRead(t.Context(), l, func(tx db.TenantTx) (int, error) { return 0, addRole(t.Context(), tx, "x") })
	require.ErrorContains(t, err, "read-only")
}

func TestInTenant_MarksBeforeItBegins(t *testing.T) {
	t.Parallel()
	in := testdb.New(t)
	tn := in.Active(t, "acme")
	marked := 0
	l := db.NewLease(tn.ID, tn.Key, nil, func(context.Context) { marked++ })
	require.Panics(t, func() { // no database: it must have been marked by then
		_, _ = db.InTenant(t.Context(), l, func(db.TenantTx) (int, error) { return 0, nil })
	})
	require.Equal(t, 1, marked)
}

func TestTenantsRole_CannotEditTheAuditLog(t *testing.T) {
	t.Parallel()
	_, l := testdb.New(t).ActiveTenant(t, "acme")
	for _, q := range []string{`UPDATE audit_log SET action = 'x'`, `DELETE FROM audit_log`, `TRUNCATE audit_log`, `DROP TABLE users`, `CREATE TABLE x ()`, `DELETE FROM goose_db_version`} {
		_, err := l.Database().Exec(t.Context(), q)
		var pg *pgconn.PgError
		require.ErrorAs(t, err, &pg, q)
		require.Equal(t, "42501", pg.Code, q)
	}
}

func TestClassify_SaysUnavailableOnlyForTheServersFaults(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err  error
		kind apperr.Kind
	}{
		"admin shutdown":     {&pgconn.PgError{Code: "57P01"}, apperr.Unavailable},
		"crash shutdown":     {fmt.Errorf("commit: %w", &pgconn.PgError{Code: "57P02"}), apperr.Unavailable},
		"too many clients":   {&pgconn.PgError{Code: "53300"}, apperr.Unavailable},
		"closed connection":  {sql.ErrConnDone, apperr.Unavailable},
		"dead in an answer":  {fmt.Errorf("load: %w", io.ErrUnexpectedEOF), apperr.Unavailable},
		"deadline":           {context.DeadlineExceeded, apperr.Unavailable},
		"a client that left": {context.Canceled, apperr.Internal},
		"unique violation":   {&pgconn.PgError{Code: "23505"}, apperr.Internal},
		"syntax error":       {&pgconn.PgError{Code: "42601"}, apperr.Internal},
		"a refusal":          {apperr.New(apperr.Forbidden, "X", "x"), apperr.Forbidden},
	} {
		require.Equal(t, c.kind, apperr.KindOf(db.Classify(c.err, "TENANT_UNREACHABLE")), name)
	}
	require.NoError(t, db.Classify(nil, "X"))
}
