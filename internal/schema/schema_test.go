package schema_test

import (
	"context"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"tenantry/internal/apperr"
	"tenantry/internal/schema"
	"tenantry/internal/secrets"
	"tenantry/internal/testdb"
)

func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func TestRange_RefusesPolitelyOutside(t *testing.T) {
	t.Parallel()
	r := schema.Range{Min: 3, Max: 5}
	for v := int64(3); v <= 5; v++ {
		require.NoError(t, r.Check("x", v))
	}
	for v, hint := range map[int64]string{0: "tenantry migrate", 2: "tenantry migrate", 6: "newer release"} {
		err := r.Check("the central database", v)
		require.Equal(t, apperr.Precondition, apperr.KindOf(err))
		require.Equal(t, "SCHEMA_OUT_OF_RANGE", apperr.ReasonOf(err))
		require.ErrorContains(t, err, hint)
		require.ErrorContains(t, err, "3 to 5")
	}
	require.NoError(t, schema.CentralRange.Check("x", schema.CentralVersion()))
	require.NoError(t, schema.TenantRange.Check("x", schema.TenantVersion()))
}

func TestCheckCentral_AsksWithTheAPICredential(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	in := testdb.New(t)
	require.NoError(t, schema.CheckCentral(ctx, in.Central.Pool()))
	in.Super(t, in.Names.Central(), `INSERT INTO goose_db_version (version_id, is_applied) VALUES (999, true)`)
	require.Equal(t, "SCHEMA_OUT_OF_RANGE", apperr.ReasonOf(schema.CheckCentral(ctx, in.Central.Pool())))
	in.Super(t, in.Names.Central(), `DROP TABLE goose_db_version`)
	require.Equal(t, "SCHEMA_OUT_OF_RANGE", apperr.ReasonOf(schema.CheckCentral(ctx, in.Central.Pool())))
}

func TestTenantHash_NamesFilesTextsAndGrants(t *testing.T) {
	t.Parallel()
	require.Regexp(t, `^[0-9a-f]{12}$`, schema.TenantHash())
	file := func(name, text string) fstest.MapFS { return fstest.MapFS{name: {Data: []byte(text)}} }
	base := schema.HashOf(file("1_a.sql", "x"), "g")
	require.Equal(t, base, schema.HashOf(file("1_a.sql", "x"), "g"))
	for _, other := range []string{schema.HashOf(file("1_b.sql", "x"), "g"), schema.HashOf(file("1_a.sql", "y"), "g"), schema.HashOf(file("1_a.sql", "x"), "h"), schema.HashOf(file("1_a.sql", "x"))} {
		require.NotEqual(t, base, other)
	}
}

func TestMigrateCentral_AgainChangesNothing(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	in := testdb.New(t)
	require.NoError(t, in.Schema.MigrateCentral(ctx))
	v, err := schema.Version(ctx, in.Central.Pool())
	require.NoError(t, err)
	require.Equal(t, schema.CentralVersion(), v)
	// What another release's migration made is the API's to write, too.
	in.Super(t, in.Names.Central(), `SET ROLE "`+in.Names.Provisioner()+`"; CREATE TABLE later (id int)`, pgx.QueryExecModeSimpleProtocol)
	_, err = in.Central.Pool().Exec(ctx, `INSERT INTO later VALUES (1)`)
	require.NoError(t, err)
	require.NoError(t, in.Schema.MigrateCentral(ctx))
	_, err = in.Central.Pool().Exec(ctx, `UPDATE later SET id = 2`)
	require.NoError(t, err)
	_, err = in.Central.Pool().Exec(ctx, `UPDATE audit_log SET action = ''`)
	require.Error(t, err)
}

func TestCentral_RefusesUnknownStatesAndForeignNames(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	in := testdb.New(t)
	tn, other := in.InsertTenant(t, "acme", "reserved"), in.InsertTenant(t, "other", "reserved")
	for _, sql := range []string{
		`UPDATE tenants SET state = 'parked' WHERE slug = 'acme'`,
		`UPDATE tenants SET slug = 'Acme' WHERE slug = 'acme'`,
		`UPDATE tenants SET database_name = 'postgres' WHERE slug = 'acme'`,
		`UPDATE tenants SET role_name = 'postgres' WHERE slug = 'acme'`,
		`UPDATE operations SET state = 'done'`,
		`UPDATE operations SET state = 'failed', ended_at = NULL`,
		`INSERT INTO outbox (id, kind, name) VALUES (gen_random_uuid(), 'other', 'x')`,
		`INSERT INTO installation (id, data_key) VALUES ('abcdef', '')`,
		`UPDATE installation SET id = 'x'`,
	} {
		_, err := in.Central.Pool().Exec(ctx, sql)
		require.Error(t, err, sql)
	}
	_, err := in.Central.Pool().Exec(ctx, `UPDATE tenants SET database_name = $2, role_name = $2 WHERE id = $1`,
		tn.ID.UUID(), in.Names.Tenant(other.ID)+"")
	require.Error(t, err)
}

func TestInitInstallation_IsOneForEver(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	in := testdb.New(t)
	read := func() (key []byte) {
		require.NoError(t, in.Provisioner.QueryRow(ctx, `SELECT data_key FROM installation`).Scan(&key))
		return key
	}
	before := read()
	require.NoError(t, in.Schema.InitInstallation(ctx, in.Ring, in.IID))
	require.Equal(t, before, read())
	other, err := secrets.ParseKeyring(testdb.NewRing())
	require.NoError(t, err)
	require.ErrorIs(t, in.Schema.InitInstallation(ctx, other, in.IID), secrets.ErrOpen)
	require.Error(t, in.Schema.InitInstallation(ctx, in.Ring, "abcdef"))
	require.Equal(t, before, read())
}
