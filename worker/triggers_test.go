package worker

import (
	"context"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	sdk "go.temporal.io/sdk/worker"

	"tenantry/activities"
	"tenantry/internal/devstack"
	"tenantry/internal/ids"
	"tenantry/workflows"
)

// page is the runbook with its runnable blocks.
type page struct {
	t      *testing.T
	blocks map[string]string
	env    []string
	ran    map[string]bool
}

var block = regexp.MustCompile("(?s)<!-- run: ([a-z-]+) -->\n```sh\n(.*?)```")

func readPage(t *testing.T, address, codec string) *page {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "docs", "runbooks", "triggers.md"))
	require.NoError(t, err)
	bin := t.TempDir()
	require.NoError(t, os.Symlink(os.Getenv("TENANTRY_TEST_TEMPORAL_BIN"), filepath.Join(bin, "temporal")))
	p := &page{t: t, blocks: map[string]string{}, ran: map[string]bool{}, env: append(os.Environ(),
		"PATH="+bin+":"+os.Getenv("PATH"), "HOME="+t.TempDir(), "TENANT="+tenantText, "OPERATION="+operationText,
		"TEMPORAL_ADDRESS="+address, "TEMPORAL_NAMESPACE="+devstack.TemporalNamespace,
		"CODEC_ENDPOINT="+codec, "CODEC_TOKEN="+codecToken)}
	for _, m := range block.FindAllStringSubmatch(string(text), -1) {
		p.blocks[m[1]] = m[2]
	}
	return p
}

// run pastes a block into a shell.
func (p *page) run(name string) string {
	p.t.Helper()
	require.Contains(p.t, p.blocks, name)
	p.ran[name] = true
	cmd := exec.CommandContext(within(p.t, time.Minute), "sh", "-ec", p.blocks[name])
	cmd.Env = p.env
	out, err := cmd.CombinedOutput()
	require.NoError(p.t, err, "%s\n%s", name, out)
	return string(out)
}

func TestTriggersPage_EveryLineWorksWhenPasted(t *testing.T) {
	t.Parallel()
	server := devServer(t, devstack.TemporalOptions{})
	codec := newCodec(t, "k1")
	handler, err := NewCodecServer(CodecServerConfig{Codec: codec, Token: codecToken, Log: testLog(t)})
	require.NoError(t, err)
	decoder := httptest.NewServer(handler)
	t.Cleanup(decoder.Close)
	c := dial(t, server.Address, codec)
	p := readPage(t, server.Address, decoder.URL)
	ctx := within(t, 2*time.Minute)
	id := ids.ProvisionTenantWorkflow(someTenant(t))

	// Nothing polls yet: the run waits, and can be terminated.
	p.run("provision-start")
	p.run("provision-terminate")

	hold := make(chan struct{})
	serveStubs(t, c, hold)
	process := newProcess(t, c, "", nothing)
	go func() { _ = process.worker.serve(ctx, ids.QueueFleet) }()
	require.NoError(t, process.worker.ensure(ctx))

	p.run("provision-start")
	require.Eventually(t, func() bool {
		steps, err := Progress(c)(ctx, id)
		return err == nil && steps[2].State == workflows.Running
	}, 30*time.Second, 50*time.Millisecond)
	require.Contains(t, p.run("provision-describe"), "Provision tenant "+tenantText)
	require.Contains(t, p.run("provision-progress"), `"name":"create_database","state":"running"`)
	require.Contains(t, p.run("provision-metadata"), "Step 3 of 8, create_database: running.")
	require.Contains(t, p.run("list"), id)
	p.run("provision-cancel")
	close(hold)
	require.ErrorContains(t, c.GetWorkflow(ctx, id, "").Get(ctx, nil), workflows.ReasonCancelled)
	require.Contains(t, p.run("provision-progress"), `"name":"create_role","state":"compensated"`)

	for _, w := range []struct {
		block string
		id    func(ids.Tenant, ids.Operation) string
	}{{"access-start", ids.TenantAccessWorkflow}, {"owner-start", ids.InviteOwnerWorkflow}, {"limits-start", ids.TenantLimitsWorkflow}} {
		p.run(w.block)
		require.NoError(t, c.GetWorkflow(ctx, w.id(someTenant(t), someOperation(t)), "").Get(ctx, nil))
	}
	require.Contains(t, p.run("access-progress"), `"name":"apply_access","state":"done"`)

	p.run("fleet-start")
	require.NoError(t, c.GetWorkflow(ctx, "fleet/by-hand", "").Get(ctx, nil))
	require.Contains(t, p.run("fleet-result"), `"visited":1`)
	p.run("schedule")

	for name := range p.blocks {
		require.True(t, p.ran[name], name)
	}
	for _, w := range workflows.All() {
		text, err := os.ReadFile(filepath.Join("..", "docs", "runbooks", "triggers.md"))
		require.NoError(t, err)
		require.Contains(t, string(text), "--type "+w.Name+" --task-queue "+w.Queue, "a workflow without its line")
	}
}

// serveStubs polls the provisioning queue with activities that only answer;
// CreateDatabase waits for hold.
func serveStubs(t *testing.T, c client.Client, hold <-chan struct{}) {
	t.Helper()
	w := sdk.New(c, ids.QueueProvisioning, sdk.Options{DisableRegistrationAliasing: true})
	workflows.Register(w, ids.QueueProvisioning)
	var p *activities.Provisioning
	var l *activities.Lifecycle
	for _, n := range append(p.Activities(), l.Activities()...) {
		var f any = func(context.Context, map[string]any) error { return nil }
		switch n.Name {
		case activities.NameTakeReservation:
			f = func(context.Context, activities.Tenant) (activities.Reservation, error) {
				return activities.Reservation{State: activities.StateProvisioning, Database: "tn_db", Role: "tn_db"}, nil
			}
		case activities.NameBeginCompensation:
			f = func(context.Context, activities.Tenant) (activities.Compensation, error) {
				return activities.Compensation{}, nil
			}
		case activities.NameCreateDatabase:
			f = func(ctx context.Context, _ activities.Target) error {
				for {
					activity.RecordHeartbeat(ctx)
					select {
					case <-hold:
						return nil
					case <-time.After(time.Second):
					}
				}
			}
		}
		w.RegisterActivityWithOptions(f, activity.RegisterOptions{Name: n.Name})
	}
	require.NoError(t, w.Start())
	t.Cleanup(w.Stop)
}
