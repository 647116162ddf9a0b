package workflows_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"

	"tenantry/activities"
	"tenantry/internal/ids"
	"tenantry/workflows"
)

const operationText = "0190f5a0-0000-7000-8000-000000000002"

// calls are the workflows behind operators' calls, each with its one step.
var calls = []struct {
	workflow, activity, step string
	id                       func(ids.Tenant, ids.Operation) string
	// tries is the most attempts of the step; 0: it is never given up.
	tries int32
}{
	{ids.WorkflowApplyTenantAccess, activities.NameApplyAccess, "apply_access", ids.TenantAccessWorkflow, 0},
	{ids.WorkflowInviteOwner, activities.NameReinviteOwner, "invite_owner", ids.InviteOwnerWorkflow, 100},
	{ids.WorkflowApplyTenantLimits, activities.NameApplyLimits, "apply_limits", ids.TenantLimitsWorkflow, 0},
}

// desk is a test environment for a call; its activities write down their names.
type desk struct {
	*testsuite.TestWorkflowEnvironment
	t      *testing.T
	calls  []string
	reason string
	begin  func() error
	step   func() error
}

func newDesk(t *testing.T) *desk {
	d := &desk{TestWorkflowEnvironment: newEnv(), t: t, begin: fine, step: fine}
	workflows.Register(d, "")
	return d
}

func fine() error { return nil }

func (d *desk) run(workflow, activity, id string) error {
	var a *activities.Lifecycle
	for _, n := range a.Activities() {
		d.RegisterActivityWithOptions(n.Func, activityOptions(n.Name))
	}
	operation, err := ids.ParseOperation(operationText)
	require.NoError(d.t, err)
	in := activities.Call{TenantID: tenant(d.t), OperationID: operation}
	d.OnActivity(activities.NameBeginCall, mock.Anything, in).Return(func(context.Context, activities.Call) error {
		d.calls = append(d.calls, activities.NameBeginCall)
		return d.begin()
	}).Maybe()
	d.OnActivity(activity, mock.Anything, in).Return(func(context.Context, activities.Call) error {
		d.calls = append(d.calls, activity)
		return d.step()
	}).Maybe()
	d.OnActivity(activities.NameFailCall, mock.Anything, mock.Anything).Return(func(_ context.Context, f activities.Failed) error {
		require.Equal(d.t, in, activities.Call{TenantID: f.TenantID, OperationID: f.OperationID})
		d.calls, d.reason = append(d.calls, activities.NameFailCall), f.Reason
		return nil
	}).Maybe()
	d.SetStartWorkflowOptions(client.StartWorkflowOptions{ID: id, TaskQueue: ids.QueueProvisioning})
	d.ExecuteWorkflow(workflow, workflows.CallInput{TenantID: tenantText, OperationID: operationText})
	require.True(d.t, d.IsWorkflowCompleted())
	return d.GetWorkflowError()
}

func (d *desk) steps() (out []workflows.Step) {
	v, err := d.QueryWorkflow(ids.QueryProgress)
	require.NoError(d.t, err)
	require.NoError(d.t, v.Get(&out))
	return out
}

func callID(t *testing.T, id func(ids.Tenant, ids.Operation) string) string {
	t.Helper()
	operation, err := ids.ParseOperation(operationText)
	require.NoError(t, err)
	return id(tenant(t), operation)
}

func TestCall_RunsItsOneStepAndShowsIt(t *testing.T) {
	t.Parallel()
	for _, c := range calls {
		d := newDesk(t)
		require.NoError(t, d.run(c.workflow, c.activity, callID(t, c.id)), c.workflow)
		require.Equal(t, []string{activities.NameBeginCall, c.activity}, d.calls)
		require.Equal(t, []workflows.Step{{Name: "begin", State: workflows.Done}, {Name: c.step, State: workflows.Done}}, d.steps())
	}
}

func TestCall_ARefusedStepEndsTheOperationWithItsReason(t *testing.T) {
	t.Parallel()
	for _, c := range calls {
		d := newDesk(t)
		d.step = func() error { return decided("OWNER_PRESENT") }
		err := d.run(c.workflow, c.activity, callID(t, c.id))
		require.ErrorContains(t, err, "OWNER_PRESENT")
		require.Equal(t, workflows.TypeCallFailed, typeOf(t, err))
		require.Equal(t, []string{activities.NameBeginCall, c.activity, activities.NameFailCall}, d.calls)
		require.Equal(t, "OWNER_PRESENT", d.reason)
		require.Equal(t, workflows.Failed, d.steps()[1].State)
	}
}

func TestCall_WithoutItsOperationTouchesNothing(t *testing.T) {
	t.Parallel()
	for _, c := range calls {
		d := newDesk(t)
		d.begin = func() error { return decided("OPERATION_NOT_FOUND") }
		err := d.run(c.workflow, c.activity, callID(t, c.id))
		require.Equal(t, workflows.TypeRefused, typeOf(t, err))
		require.Equal(t, []string{activities.NameBeginCall}, d.calls)

		d = newDesk(t)
		require.Equal(t, workflows.TypeRefused, typeOf(t, d.run(c.workflow, c.activity, "by/hand")), "another workflow id")
		require.Empty(t, d.calls)
	}
}

func TestCall_TriesAServerAgainThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	for _, c := range calls {
		d := newDesk(t)
		tries := 0
		d.step = func() error {
			if tries++; tries < 8 {
				return temporal.NewApplicationError("unavailable/TENANT_UNREACHABLE", "TENANT_UNREACHABLE")
			}
			return nil
		}
		require.NoError(t, d.run(c.workflow, c.activity, callID(t, c.id)), c.workflow)
		require.Equal(t, 8, tries)
	}
}

// The test environment gives up after ten attempts whatever the policy says,
// so the policies are read from what a real server was told.
func TestCall_OnlyAnInvitationGivesUp(t *testing.T) {
	t.Parallel()
	for _, c := range calls {
		for _, g := range goldens() {
			if g.workflow != c.workflow {
				continue
			}
			h := g.history(t)
			e := h.Events[eventOf(t, h, enums.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED, c.activity)-1]
			require.Equal(t, c.tries, e.GetActivityTaskScheduledEventAttributes().RetryPolicy.MaximumAttempts, c.workflow)
		}
	}
}

// The wish stands in the database: a cancelled run would leave it undone.
func TestCall_IsNotCancelled(t *testing.T) {
	t.Parallel()
	for _, c := range calls {
		d := newDesk(t)
		d.begin = func() error { d.CancelWorkflow(); return nil }
		require.NoError(t, d.run(c.workflow, c.activity, callID(t, c.id)), c.workflow)
		require.Equal(t, []string{activities.NameBeginCall, c.activity}, d.calls)
	}
}

func typeOf(t *testing.T, err error) string {
	t.Helper()
	var app *temporal.ApplicationError
	require.ErrorAs(t, err, &app)
	return app.Type()
}
