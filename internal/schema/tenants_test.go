package schema_test

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"tenantry/internal/ids"
	"tenantry/internal/schema"
	"tenantry/internal/testdb"
)

// undo takes a tenant's database back to version 1.
const undo = `DELETE FROM goose_db_version WHERE version_id = 2;
	ALTER TABLE users DROP CONSTRAINT users_counts; ALTER TABLE sessions DROP CONSTRAINT sessions_aal;
	ALTER TABLE invitations DROP CONSTRAINT invitations_end; ALTER TABLE login_events DROP CONSTRAINT login_events_outcome;
	ALTER TABLE one_time_values DROP CONSTRAINT one_time_values_token_hash;
	ALTER TABLE operations DROP CONSTRAINT operations_state, DROP CONSTRAINT operations_ended;
	ALTER TABLE outbox DROP CONSTRAINT outbox_kind, DROP CONSTRAINT outbox_attempts;
	ALTER TABLE audit_log DROP CONSTRAINT audit_log_actor_kind;`

func recorded(t *testing.T, in *testdb.Installation, id ids.Tenant) (version int64, code string) {
	t.Helper()
	require.NoError(t, in.Provisioner.QueryRow(testContext(t),
		`SELECT schema_version, schema_error FROM tenants WHERE id = $1`, id.UUID()).Scan(&version, &code))
	return version, code
}

func TestMigrateTenants_NamesThePoisonedAndGoesOn(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	in := testdb.New(t)
	// In this order, one at a time: the sound one comes after all the others.
	poison, busy, gone, old := in.Active(t, "poison"), in.Active(t, "busy"), in.InsertTenant(t, "gone", "active"), in.Active(t, "old")
	in.Schema.SetParallel(1)
	reserved := in.InsertTenant(t, "reserved", "reserved")
	for _, tn := range []testdb.Tenant{old, poison, busy} {
		in.Super(t, tn.Target.Database, undo, pgx.QueryExecModeSimpleProtocol)
	}
	in.Super(t, poison.Target.Database, `ALTER TABLE users ADD CONSTRAINT users_counts CHECK (true)`)
	in.Schema.SetLockTimeout("200ms")
	holder, err := pgx.Connect(ctx, in.SuperURLOn(busy.Target.Database))
	require.NoError(t, err)
	_, err = holder.Exec(ctx, `BEGIN; LOCK TABLE users`, pgx.QueryExecModeSimpleProtocol)
	require.NoError(t, err)

	heard := map[ids.Tenant]error{}
	err = in.Schema.MigrateTenants(ctx, func(tenant ids.Tenant, err error) { heard[tenant] = err })
	var failed *schema.TenantsError
	require.ErrorAs(t, err, &failed)
	require.Equal(t, 4, failed.Of)
	require.ElementsMatch(t, []ids.Tenant{poison.ID, busy.ID, gone.ID}, failed.Failed)
	require.ErrorContains(t, err, poison.ID.String())
	require.Len(t, heard, 4)
	require.NoError(t, heard[old.ID])
	require.NotContains(t, heard, reserved.ID)
	for id, want := range map[ids.Tenant]string{old.ID: "", poison.ID: "SQLSTATE_42710", busy.ID: "SQLSTATE_55P03", gone.ID: "SQLSTATE_3D000"} {
		_, code := recorded(t, in, id)
		require.Equal(t, want, code)
	}

	require.NoError(t, holder.Close(ctx))
	in.Super(t, poison.Target.Database, `ALTER TABLE users DROP CONSTRAINT users_counts`)
	in.Super(t, in.Names.Central(), `DELETE FROM tenants WHERE slug = 'gone'`)
	in.Super(t, in.Names.Central(), `UPDATE tenants SET schema_version = 1`)
	require.NoError(t, in.Schema.MigrateTenants(ctx, nil))
	for _, tn := range []testdb.Tenant{old, poison, busy} {
		version, code := recorded(t, in, tn.ID)
		require.Empty(t, code)
		require.Equal(t, schema.TenantVersion(), version)
		actual, err := schema.Version(ctx, in.Lease(t, tn).Pool())
		require.NoError(t, err)
		require.Equal(t, version, actual)
	}
}
