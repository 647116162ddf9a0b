package testdb

import (
	"context"
	"encoding/base64"
	"testing"

	"github.com/stretchr/testify/require"

	"tenantry/internal/connections"
	"tenantry/internal/db"
	"tenantry/internal/ids"
	"tenantry/internal/pgadmin"
	"tenantry/internal/schema"
	"tenantry/internal/secrets"
)

// SealRolePassword is the purpose under which a role's password is sealed;
// internal/tenants has the same.
const SealRolePassword = "role-password"

// NewRing answers the configuration of a keyring with one random key.
func NewRing() string {
	return "test:" + base64.StdEncoding.EncodeToString(secrets.RandomBytes(secrets.KeySize))
}

// Tenant is a central row and what opens its secrets.
type Tenant struct {
	ID        ids.Tenant
	Operation ids.Operation
	Slug      string
	Key       secrets.DataKey
	Password  string
	Target    pgadmin.Target
}

// InsertTenant writes a tenant's central row in a state (reserved,
// provisioning, failing, active) and its operation, ended when active.
// Nothing is made on the server.
func (in *Installation) InsertTenant(t testing.TB, slug, state string) Tenant {
	t.Helper()
	ctx := context.Background()
	out := Tenant{ID: ids.NewTenant(), Operation: ids.NewOperation(), Slug: slug, Password: pgadmin.NewPassword()}
	out.Target = pgadmin.Target{Tenant: out.ID, Database: in.Names.Tenant(out.ID), Role: in.Names.Tenant(out.ID)}
	key, sealedKey, err := secrets.NewDataKey(in.Ring, out.ID)
	require.NoError(t, err)
	out.Key = key
	password, err := key.Seal([]byte(out.Password), SealRolePassword)
	require.NoError(t, err)
	_, err = in.Provisioner.Exec(ctx, `
		INSERT INTO tenants (id, slug, name, state, data_key, database_name, role_name, role_password, initial_settings,
			operation_id, workflow_id, schema_version, activated_at)
		VALUES ($1, $2::text, $2::text, $3::text, $4, $5::text, $5::text, $6, '{}', $7, $8, $9, CASE WHEN $3::text = 'active' THEN now() END)`,
		out.ID.UUID(), slug, state, sealedKey, out.Target.Database, password, out.Operation.UUID(),
		ids.ProvisionTenantWorkflow(out.ID), schema.TenantVersion())
	require.NoError(t, err)
	_, err = in.Provisioner.Exec(ctx, `
		INSERT INTO operations (id, kind, tenant_id, workflow_id, state, ended_at)
		VALUES ($1, 'tenant.provision', $2, $3, CASE WHEN $4::text = 'active' THEN 'succeeded' ELSE 'running' END,
			CASE WHEN $4::text = 'active' THEN now() END)`,
		out.Operation.UUID(), out.ID.UUID(), ids.ProvisionTenantWorkflow(out.ID), state)
	require.NoError(t, err)
	return out
}

// SetState changes a tenant's state.
func (in *Installation) SetState(t testing.TB, id ids.Tenant, state string) {
	t.Helper()
	_, err := in.Provisioner.Exec(context.Background(), `UPDATE tenants SET state = $2 WHERE id = $1`, id.UUID(), state)
	require.NoError(t, err)
}

// Provision makes the server's part of a tenant in state provisioning.
func (in *Installation) Provision(t testing.TB, tn Tenant) {
	t.Helper()
	ctx := context.Background()
	tpl, err := in.Schema.EnsureTemplate(ctx)
	require.NoError(t, err)
	require.NoError(t, in.Admin.CreateRole(ctx, tn.Target, tn.Password))
	require.NoError(t, in.Admin.CreateDatabase(ctx, tn.Target, tpl))
	require.NoError(t, in.Admin.GrantAndOpen(ctx, tn.Target))
}

// Active makes an active tenant with its database and role; nothing in it is
// seeded, and it has no signing key.
func (in *Installation) Active(t testing.TB, slug string) Tenant {
	t.Helper()
	tn := in.InsertTenant(t, slug, "provisioning")
	in.Provision(t, tn)
	ctx := context.Background()
	_, err := in.Provisioner.Exec(ctx, `UPDATE tenants SET state = 'active', activated_at = now() WHERE id = $1`, tn.ID.UUID())
	require.NoError(t, err)
	_, err = in.Provisioner.Exec(ctx, `UPDATE operations SET state = 'succeeded', ended_at = now() WHERE id = $1`, tn.Operation.UUID())
	require.NoError(t, err)
	return tn
}

// Lease returns a lease on a tenant's database under its own role, with up to 8
// connections, which close with the test.
func (in *Installation) Lease(t testing.TB, tn Tenant) *db.Lease {
	t.Helper()
	return db.NewLease(tn.ID, tn.Key, in.Database(in.Connections(t, 8, 8), tn), nil)
}

// Database is a tenant's bare database, under its own role.
func (in *Installation) Database(c *connections.Cache, tn Tenant) *connections.Database {
	url := in.URL(tn.Target.Role, tn.Password, tn.Target.Database)
	return c.Database(connections.Key{Tenant: tn.ID.UUID()}, func(context.Context) (string, error) { return url, nil })
}

// Connections is a cache of connections, which closes with the test.
func (in *Installation) Connections(t testing.TB, budget, share int) *connections.Cache {
	t.Helper()
	return in.ConnectionsWith(t, connections.Options{Budget: budget, Share: share})
}

// ConnectionsWith is Connections with other options.
func (in *Installation) ConnectionsWith(t testing.TB, o connections.Options) *connections.Cache {
	t.Helper()
	c := connections.New(o)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), setupTime)
		defer cancel()
		if err := c.Close(ctx); err != nil {
			t.Errorf("connections to tenants of installation %s: %v", in.IID, err)
		}
	})
	return c
}

// ActiveTenant makes an active tenant (see Active) and a lease on it.
func (in *Installation) ActiveTenant(t testing.TB, slug string) (ids.Tenant, *db.Lease) {
	t.Helper()
	tn := in.Active(t, slug)
	return tn.ID, in.Lease(t, tn)
}
