package verify_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"tenantry/internal/clock"
	"tenantry/internal/ids"
	"tenantry/internal/testdb"
	"tenantry/internal/verify"
)

var errNobody = errors.New("nobody answers")

// world is an installation in which everything is as it should be: an active
// tenant whose owner is invited, one being made, one waiting for its start, a
// hook source with a receipt of each kind.
type world struct {
	*testdb.Installation
	active, making, waiting testdb.Tenant
	// open are the running workflows; nil answers an error.
	open  map[string]bool
	words *strings.Replacer
}

func newWorld(t *testing.T, in *testdb.Installation) *world {
	t.Helper()
	w := &world{Installation: in}
	w.active, w.making, w.waiting = in.Active(t, "active"), in.InsertTenant(t, "making", "provisioning"), in.InsertTenant(t, "waiting", "reserved")
	w.open = map[string]bool{ids.ProvisionTenantWorkflow(w.making.ID): true}
	w.words = strings.NewReplacer(
		"{prefix}", in.Names.Prefix(), "{central}", in.Names.Central(), "{api}", in.Names.API(), "{prov}", in.Names.Provisioner(), "{group}", in.Names.Group(),
		"{tenant}", w.active.ID.String(), "{db}", w.active.Target.Database, "{op}", w.active.Operation.String(),
		"{making}", w.making.ID.String(), "{makingdb}", w.making.Target.Database, "{makingop}", w.making.Operation.String(),
		"{waiting}", w.waiting.ID.String(), "{waitingop}", w.waiting.Operation.String(),
		"{x}", "00000000-0000-7000-8000-00000000000a", "{residue}", in.Names.Prefix()+"t_000000000000700080000000000000ab",
		"{tpl}", in.Names.Template(template(t, in)),
	)
	w.run(t, "{central}", `
		INSERT INTO signing_keys (id, tenant_id, public_key, private_key) VALUES (gen_random_uuid(), '{tenant}', decode(repeat('00', 32), 'hex'), '');
		INSERT INTO outbox (id, kind, name, tenant_id, operation_id, done_at) VALUES (gen_random_uuid(), 'start', 'ProvisionTenant', '{making}', '{makingop}', now());
		INSERT INTO outbox (id, kind, name, tenant_id, operation_id) VALUES (gen_random_uuid(), 'start', 'ProvisionTenant', '{waiting}', '{waitingop}');
		INSERT INTO outbox_dirty (tenant_id, until) VALUES ('{tenant}', now());
		INSERT INTO hook_sources (id, name) VALUES ('{op}', 'billing');
		INSERT INTO hook_secrets (id, source_id, secret) VALUES (gen_random_uuid(), '{op}', '');
		INSERT INTO hook_receipts (id, source_id, message_id, body_hash, operation_id) VALUES (gen_random_uuid(), '{op}', '1', '', '{op}');
		INSERT INTO hook_receipts (id, source_id, message_id, body_hash, refusal) VALUES (gen_random_uuid(), '{op}', '2', '', 'SLUG_TAKEN')`)
	w.run(t, "{db}", `
		INSERT INTO roles (id, name, builtin, permissions) VALUES ('{op}', 'owner', true, '[]');
		INSERT INTO invitations (id, subject_key_id, email, address_hash, role_ids, expires_at)
		VALUES (gen_random_uuid(), gen_random_uuid(), '', '', '["{op}"]', now() + interval '7 days')`)
	return w
}

// template answers the hash of the installation's one template.
func template(t *testing.T, in *testdb.Installation) string {
	t.Helper()
	name, err := in.Schema.EnsureTemplate(context.Background())
	require.NoError(t, err)
	return name[len(name)-12:]
}

// run runs statements as superuser; an empty database is the server's own.
func (w *world) run(t *testing.T, database, sql string) {
	t.Helper()
	for _, one := range strings.Split(sql, ";;") { // CREATE and ALTER DATABASE stand alone
		w.Super(t, w.words.Replace(database), w.words.Replace(one), pgx.QueryExecModeSimpleProtocol)
	}
}

func (w *world) deps() verify.Deps {
	return verify.Deps{
		ProvisionerURL: w.ProvisionerURL, Clock: clock.System,
		OpenWorkflow: func(_ context.Context, id string) (bool, error) {
			if w.open == nil {
				return false, errNobody
			}
			return w.open[id], nil
		},
	}
}

func (w *world) scan(t *testing.T) verify.Report {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	r, err := verify.Scan(ctx, w.deps())
	require.NoError(t, err)
	return r
}
