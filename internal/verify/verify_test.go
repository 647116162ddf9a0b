package verify_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"tenantry/internal/clock"
	"tenantry/internal/devstack"
	"tenantry/internal/testdb"
	"tenantry/internal/verify"
)

func TestScan_SeesPublicOnTheServersOwnDatabases(t *testing.T) {
	t.Parallel()
	// The server is this test's own: others rely on these rights.
	pg, err := devstack.StartPostgres(context.Background(), devstack.PostgresOptions{BinDir: os.Getenv("TENANTRY_TEST_PG_BIN"), FsyncOff: true})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, pg.Close()) })
	in := testdb.On(t, pg.URL)
	w := newWorld(t, in)
	requireClean(t, w.scan(t))
	for _, c := range []planted{
		{"PUBLIC_RIGHTS", "postgres", "", `GRANT CONNECT ON DATABASE postgres TO PUBLIC`, `REVOKE ALL ON DATABASE postgres FROM PUBLIC`},
		{"PUBLIC_RIGHTS", "template1", "", `GRANT CONNECT ON DATABASE template1 TO PUBLIC`, `REVOKE ALL ON DATABASE template1 FROM PUBLIC`},
		{"CONNECT_FOREIGN", "{db}", "", `GRANT CONNECT ON DATABASE postgres TO "{db}"`, `REVOKE ALL ON DATABASE postgres FROM "{db}"`},
		{"CONNECT_FOREIGN", "{db}", "", `CREATE DATABASE elsewhere;;GRANT CONNECT ON DATABASE elsewhere TO "{db}"`, `DROP DATABASE elsewhere`},
	} {
		w.run(t, c.in, c.plant)
		requireOnly(t, w, c)
		w.run(t, c.in, c.undo)
	}
	requireClean(t, w.scan(t))
}

func TestScan_SeesItsOwnInstallationOnly(t *testing.T) {
	t.Parallel()
	w, other := newWorld(t, testdb.New(t)), newWorld(t, testdb.New(t))
	for _, c := range onServer {
		if c.code != "ROLE_RESIDUE" && c.code != "DATABASE_RESIDUE" && c.code != "DATABASE_CLOSED" && c.code != "ROLE_ATTRIBUTES" {
			continue
		}
		other.run(t, c.in, c.plant)
		requireClean(t, w.scan(t))
		other.run(t, c.in, c.undo)
	}
	other.run(t, "", `CREATE DATABASE "{residue}"`)
	require.Equal(t, 1, len(other.scan(t).Findings))
	r := w.scan(t)
	requireClean(t, r)
	require.Equal(t, 1, r.Scanned["tenant databases"])
	require.Equal(t, 3, r.Scanned["databases"], "central, template and one tenant")
	require.Equal(t, 4, r.Scanned["roles"])
}

func TestScan_TenantBeingMadeIsNoDiscrepancy(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t, testdb.New(t))
	tpl, err := w.Schema.EnsureTemplate(ctx)
	require.NoError(t, err)
	for _, step := range []func() error{
		func() error { return w.Admin.CreateRole(ctx, w.making.Target, w.making.Password) },
		func() error { return w.Admin.CreateDatabase(ctx, w.making.Target, tpl) },
		func() error { return w.Admin.GrantAndOpen(ctx, w.making.Target) },
		func() error { w.SetState(t, w.making.ID, "failing"); return nil },
		func() error { return w.Admin.CloseDatabase(ctx, w.making.Target) },
		func() error { return w.Admin.DropDatabase(ctx, w.making.Target) },
		func() error { return w.Admin.DropRole(ctx, w.making.Target) },
	} {
		require.NoError(t, step())
		requireClean(t, w.scan(t))
	}
}

// A suspended tenant is looked at like an active one, and while its access is
// being changed the role may be late.
func TestScan_SuspendedTenantIsNoDiscrepancy(t *testing.T) {
	t.Parallel()
	w := newWorld(t, testdb.New(t))
	const open = "tenant/x/access/x"
	w.open[open] = true
	begin := func(state string) {
		w.run(t, "{central}", `UPDATE tenants SET state = '`+state+`' WHERE id = '{tenant}';
			INSERT INTO operations (id, kind, tenant_id, workflow_id) VALUES ('{x}', 'tenant.suspend', '{tenant}', '`+open+`')`)
	}
	end := func(state string) {
		w.run(t, "{central}", `UPDATE tenants SET state = '`+state+`' WHERE id = '{tenant}'; DELETE FROM operations WHERE id = '{x}'`)
	}
	begin("suspended")
	requireClean(t, w.scan(t)) // the worker has not come yet
	w.run(t, "", `ALTER ROLE "{db}" NOLOGIN`)
	requireClean(t, w.scan(t))
	end("suspended")
	r := w.scan(t)
	requireClean(t, r)
	require.Equal(t, 1, r.Scanned["tenant databases"])
	w.run(t, "{db}", `UPDATE invitations SET revoked_at = now()`)
	requireOnly(t, w, planted{code: "OWNER_MISSING", subject: "{tenant}"})
	w.run(t, "{db}", `UPDATE invitations SET revoked_at = NULL`)

	begin("resuming")
	requireClean(t, w.scan(t))
	w.run(t, "", `ALTER ROLE "{db}" LOGIN`)
	requireClean(t, w.scan(t))
	end("active")
	requireClean(t, w.scan(t))
}

func TestScan_AnAddressThatWaitsForItsInvitationIsNoDiscrepancy(t *testing.T) {
	t.Parallel()
	w := newWorld(t, testdb.New(t))
	w.open["w"] = true
	w.run(t, "{central}", `UPDATE tenants SET owner_email = 'x' WHERE id = '{tenant}';
		INSERT INTO operations (id, kind, tenant_id, workflow_id) VALUES ('{x}', 'tenant.invite_owner', '{tenant}', 'w')`)
	requireClean(t, w.scan(t))
	w.run(t, "{central}", `DELETE FROM operations WHERE id = '{x}'`)
	requireOnly(t, w, planted{code: "OWNER_ADDRESS_KEPT", subject: "{tenant}"})
}

func TestScan_OwnerStandsForTheInvitation(t *testing.T) {
	t.Parallel()
	w := newWorld(t, testdb.New(t))
	w.run(t, "{db}", `UPDATE invitations SET accepted_at = now();
		INSERT INTO users (id, subject_key_id, name, email, email_normalized, password_hash) VALUES ('{x}', '{x}', '', '', '', '');
		INSERT INTO user_roles (user_id, role_id) VALUES ('{x}', '{op}')`)
	requireClean(t, w.scan(t))
	w.run(t, "{db}", `UPDATE users SET deleted_at = now()`)
	requireOnly(t, w, planted{code: "OWNER_MISSING", subject: "{tenant}"})
}

func TestScan_ReservationWithoutIntentIsAWarning(t *testing.T) {
	t.Parallel()
	w := newWorld(t, testdb.New(t))
	w.run(t, "{central}", `DELETE FROM outbox WHERE operation_id = '{waitingop}'`)
	r := w.scan(t)
	require.True(t, r.Clean())
	require.Len(t, r.Findings, 1)
	require.Equal(t, "RESERVATION_WAITING", r.Findings[0].Code)
}

func TestScan_TemporalThatDoesNotAnswerIsNotClean(t *testing.T) {
	t.Parallel()
	w := newWorld(t, testdb.New(t))
	w.open = nil
	r := w.scan(t)
	require.False(t, r.Clean())
	require.Equal(t, "WORKFLOW_UNKNOWN", r.Findings[0].Code)

	deps := w.deps()
	deps.OpenWorkflow = nil
	r, err := verify.Scan(context.Background(), deps)
	require.NoError(t, err)
	requireClean(t, r)
	require.Contains(t, r.Notes[0], "workflows were not compared")
}

func TestScan_WorkflowThatEndsMeanwhileIsNoDiscrepancy(t *testing.T) {
	t.Parallel()
	w := newWorld(t, testdb.New(t))
	deps := w.deps()
	deps.OpenWorkflow = func(context.Context, string) (bool, error) {
		w.run(t, "{central}", `DELETE FROM tenants WHERE id = '{making}'`) // its last compensation
		return false, nil
	}
	r, err := verify.Scan(context.Background(), deps)
	require.NoError(t, err)
	requireClean(t, r)
}

func TestReport_TextAndJSONHoldEveryFinding(t *testing.T) {
	t.Parallel()
	w := newWorld(t, testdb.New(t))
	var text, doc bytes.Buffer
	r := w.scan(t)
	require.NoError(t, r.WriteText(&text))
	require.Contains(t, text.String(), "scanned\ttenants\t3\n")
	require.Contains(t, text.String(), "\nclean, 0 warnings\n")
	require.NoError(t, r.WriteJSON(&doc))
	require.Contains(t, doc.String(), `"findings": []`)

	w.run(t, "", `CREATE ROLE "{residue}"`)
	r = w.scan(t)
	text.Reset()
	require.NoError(t, r.WriteText(&text))
	require.Contains(t, text.String(), w.words.Replace("error\tROLE_RESIDUE\t{residue}\tThe role belongs to no tenant.\n"))
	require.Contains(t, text.String(), "\n1 discrepancies, 0 warnings\n")
	doc.Reset()
	require.NoError(t, r.WriteJSON(&doc))
	var back struct {
		verify.Report
		Clean bool
	}
	require.NoError(t, json.Unmarshal(doc.Bytes(), &back))
	require.Equal(t, r.Findings, back.Findings)
	require.False(t, back.Clean)
}

func TestScan_RefusesAnythingButACentralDatabase(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"", "postgres://u:hunter2@localhost/postgres", "postgres://u:hunter2@h:x/tn_abcdef_central"} {
		_, err := verify.Scan(context.Background(), verify.Deps{ProvisionerURL: url, Clock: clock.System})
		require.Error(t, err)
		require.NotContains(t, err.Error(), "hunter2")
	}
}
