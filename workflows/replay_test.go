package workflows_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	"google.golang.org/protobuf/encoding/protojson"

	"tenantry/activities"
	"tenantry/internal/devstack"
	"tenantry/internal/ids"
	"tenantry/workflows"
)

// go test ./workflows -run Replay -record writes the golden histories anew: in
// a release that may break with open runs, and for a new golden.
var record = flag.Bool("record", false, "record the golden histories")

// golden is a history and how it came about.
type golden struct {
	file     string
	workflow string
	id       string
	input    any
	// fail and cancel name the activity at which it happens.
	fail, cancel string
}

func goldens() []golden {
	provision := func(file, fail, cancel string) golden {
		return golden{
			file: "provision_tenant_" + file, workflow: ids.WorkflowProvisionTenant, id: "tenant/" + tenantText + "/provision",
			input: workflows.ProvisionTenantInput{TenantID: tenantText}, fail: fail, cancel: cancel,
		}
	}
	called := func(file, workflow, verb, fail string) golden {
		return golden{
			file: file, workflow: workflow, id: "tenant/" + tenantText + "/" + verb + "/" + operationText,
			input: workflows.CallInput{TenantID: tenantText, OperationID: operationText}, fail: fail,
		}
	}
	return []golden{
		provision("success", "", ""),
		provision("failed_create_signing_key", activities.NameCreateSigningKey, ""),
		provision("cancelled_create_database", "", activities.NameCreateDatabase),
		{file: "fleet_pass_success", workflow: ids.WorkflowFleetPass, id: "fleet/golden", input: workflows.FleetPassInput{}},
		called("apply_tenant_access_success", ids.WorkflowApplyTenantAccess, "access", ""),
		called("invite_owner_failed", ids.WorkflowInviteOwner, "invite-owner", activities.NameReinviteOwner),
		called("apply_tenant_limits_success", ids.WorkflowApplyTenantLimits, "limits", ""),
	}
}

func (g golden) path() string { return filepath.Join("testdata", "replay", g.file+".json") }

func TestReplay_GoldenHistoriesReplay(t *testing.T) {
	t.Parallel()
	for _, g := range goldens() {
		t.Run(g.file, func(t *testing.T) {
			t.Parallel()
			if *record {
				g.record(t)
			}
			require.NoError(t, g.replay(t, func(r worker.WorkflowReplayer) { workflows.Register(r, "") }))
		})
	}
}

// A golden that replays on any code would prove nothing.
func TestReplay_NoticesAChangedRecipe(t *testing.T) {
	t.Parallel()
	changed := func(ctx workflow.Context, in workflows.ProvisionTenantInput) (workflows.ProvisionTenantResult, error) {
		ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: time.Minute})
		err := workflow.ExecuteActivity(ctx, activities.NameCreateRole, in).Get(ctx, nil)
		return workflows.ProvisionTenantResult(in), err
	}
	err := goldens()[0].replay(t, func(r worker.WorkflowReplayer) {
		r.RegisterWorkflowWithOptions(changed, workflow.RegisterOptions{Name: ids.WorkflowProvisionTenant})
	})
	require.Error(t, err)
}

func (g golden) history(t *testing.T) *history.History {
	t.Helper()
	b, err := os.ReadFile(g.path())
	require.NoError(t, err)
	var h history.History
	require.NoError(t, protojson.Unmarshal(b, &h))
	return &h
}

func (g golden) replay(t *testing.T, register func(worker.WorkflowReplayer)) error {
	t.Helper()
	r, err := worker.NewWorkflowReplayerWithOptions(worker.WorkflowReplayerOptions{DisableDeadlockDetection: true})
	require.NoError(t, err)
	register(r)
	return r.ReplayWorkflowHistoryWithOptions(quiet{}, g.history(t), worker.ReplayWorkflowHistoryOptions{
		OriginalExecution: workflow.Execution{ID: g.id},
	})
}

// record runs the workflow on a server of its own with plain payloads (a
// golden holds ids only, and a reader should see that).
func (g golden) record(t *testing.T) {
	t.Helper()
	server := temporalServer(t)
	c, err := client.Dial(client.Options{HostPort: server.Address, Logger: quiet{}, Identity: "recorder"})
	require.NoError(t, err)
	defer c.Close()
	stop := g.serve(t, c)
	defer stop()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	run, err := c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: g.id, TaskQueue: "golden"}, g.workflow, g.input)
	require.NoError(t, err)
	err = run.Get(ctx, nil)
	require.Equal(t, g.fail == "" && g.cancel == "", err == nil, err)
	var h history.History
	events := c.GetWorkflowHistory(ctx, g.id, run.GetRunID(), false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		e, err := events.Next()
		require.NoError(t, err)
		h.Events = append(h.Events, e)
	}
	b, err := protojson.Marshal(&h)
	require.NoError(t, err)
	var text bytes.Buffer
	require.NoError(t, json.Indent(&text, b, "", "  ")) // protojson's white space is random
	host, err := os.Hostname()
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(g.path(), []byte(strings.ReplaceAll(text.String(), host, "recorder")+"\n"), 0o644))
}

// serve runs the workflows with activities that only answer.
func (g golden) serve(t *testing.T, c client.Client) (stop func()) {
	t.Helper()
	w := worker.New(c, "golden", worker.Options{DisableRegistrationAliasing: true})
	workflows.Register(w, "")
	answer := func(name string) error {
		if name == g.cancel {
			require.NoError(t, c.CancelWorkflow(context.Background(), g.id, ""))
			<-time.After(300 * time.Millisecond) // the step goes on for a while after the wish
		}
		if name == g.fail {
			return decided("TENANT_STATE")
		}
		return nil
	}
	var p *activities.Provisioning
	var l *activities.Lifecycle
	for _, n := range append(p.Activities(), l.Activities()...) {
		w.RegisterActivityWithOptions(stub(n.Name, answer), activityOptions(n.Name))
	}
	w.RegisterActivityWithOptions(func(context.Context, activities.Page) (activities.PageResult, error) {
		return activities.PageResult{Tenants: []ids.Tenant{numbered(1), numbered(2)}}, nil
	}, activityOptions(activities.NameFleetPage))
	w.RegisterActivityWithOptions(func(context.Context, activities.Visit) (activities.VisitResult, error) {
		return activities.VisitResult{}, nil
	}, activityOptions(activities.NameFleetVisit))
	require.NoError(t, w.Start())
	return w.Stop
}

func stub(name string, answer func(string) error) any {
	switch name {
	case activities.NameTakeReservation:
		return func(context.Context, activities.Tenant) (activities.Reservation, error) {
			return activities.Reservation{State: activities.StateProvisioning, Database: "tn_golden_t_1", Role: "tn_golden_t_1"}, answer(name)
		}
	case activities.NameBeginCompensation:
		return func(context.Context, activities.Tenant) (activities.Compensation, error) {
			return activities.Compensation{}, answer(name)
		}
	}
	return func(context.Context, map[string]any) error { return answer(name) }
}

func temporalServer(t *testing.T) *devstack.Temporal {
	t.Helper()
	bin := os.Getenv("TENANTRY_TEST_TEMPORAL_BIN")
	require.NotEmpty(t, bin, "TENANTRY_TEST_TEMPORAL_BIN names the temporal binary")
	s, err := devstack.StartTemporal(t.Context(), devstack.TemporalOptions{Path: bin, LogPath: filepath.Join(t.TempDir(), "temporal.log")})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Stop()) })
	return s
}

// eventOf answers the id of the first event of a type about an activity.
func eventOf(t *testing.T, h *history.History, kind enums.EventType, activity string) int64 {
	t.Helper()
	scheduled := map[int64]string{}
	for _, e := range h.Events {
		if a := e.GetActivityTaskScheduledEventAttributes(); a != nil {
			scheduled[e.EventId] = a.ActivityType.Name
		}
		about := scheduled[e.EventId] + scheduled[e.GetActivityTaskCompletedEventAttributes().GetScheduledEventId()]
		if e.EventType == kind && about == activity {
			return e.EventId
		}
	}
	t.Fatalf("no %s of %s", kind, activity)
	return 0
}

// The golden of the cancelled run was recorded on a real server: there the
// step went on for a while after the wish to cancel.
func TestReplay_ACancelledStepEndsBeforeTheFirstCompensation(t *testing.T) {
	t.Parallel()
	h := goldens()[2].history(t)
	ended := eventOf(t, h, enums.EVENT_TYPE_ACTIVITY_TASK_COMPLETED, activities.NameCreateDatabase)
	begun := eventOf(t, h, enums.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED, activities.NameBeginCompensation)
	require.Less(t, ended, begun)
}
