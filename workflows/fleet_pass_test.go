package workflows_test

import (
	"context"
	"encoding/binary"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"tenantry/activities"
	"tenantry/internal/ids"
	"tenantry/workflows"
)

// fleetWorld is an installation with n tenants, numbered from 1.
type fleetWorld struct {
	*testsuite.TestWorkflowEnvironment
	mu     sync.Mutex
	visits map[ids.Tenant]int
	order  []ids.Tenant
	answer func(t ids.Tenant) (activities.VisitResult, error)
}

func numbered(n int) ids.Tenant {
	var t ids.Tenant
	binary.BigEndian.PutUint64(t[8:], uint64(n))
	return t
}

func fleetSetup(t *testing.T, n int) *fleetWorld {
	t.Parallel()
	return newFleet(t, n)
}

func newFleet(t *testing.T, n int) *fleetWorld {
	t.Helper()
	w := &fleetWorld{TestWorkflowEnvironment: newEnv(), visits: map[ids.Tenant]int{}}
	workflows.Register(w, ids.QueueFleet)
	var a *activities.Fleet
	for _, f := range a.Activities() {
		w.RegisterActivityWithOptions(f.Func, activityOptions(f.Name))
	}
	w.OnActivity(activities.NameFleetPage, mock.Anything, mock.Anything).Return(
		func(_ context.Context, p activities.Page) (activities.PageResult, error) {
			first := int(binary.BigEndian.Uint64(p.After[8:])) + 1
			var r activities.PageResult
			for i := first; i <= n && len(r.Tenants) < p.Limit; i++ {
				r.Tenants = append(r.Tenants, numbered(i))
			}
			return r, nil
		})
	w.OnActivity(activities.NameFleetVisit, mock.Anything, mock.Anything).Return(
		func(_ context.Context, v activities.Visit) (activities.VisitResult, error) {
			w.mu.Lock()
			w.visits[v.TenantID]++
			w.order = append(w.order, v.TenantID)
			w.mu.Unlock()
			require.Subset(t, activities.FleetSteps, v.Steps)
			if w.answer != nil {
				return w.answer(v.TenantID)
			}
			return activities.VisitResult{}, nil
		}).Maybe()
	return w
}

func (w *fleetWorld) run(t *testing.T, in workflows.FleetPassInput) (workflows.FleetPassResult, error) {
	t.Helper()
	w.ExecuteWorkflow(ids.WorkflowFleetPass, in)
	require.True(t, w.IsWorkflowCompleted())
	var r workflows.FleetPassResult
	err := w.GetWorkflowError()
	if err == nil {
		require.NoError(t, w.GetWorkflowResult(&r))
	}
	return r, err
}

func TestFleetPass_VisitsEveryTenantOnce(t *testing.T) {
	w := fleetSetup(t, 250)
	r, err := w.run(t, workflows.FleetPassInput{})
	require.NoError(t, err)
	require.Equal(t, workflows.FleetPassResult{Visited: 250}, r)
	require.Len(t, w.visits, 250)
	for id, n := range w.visits {
		require.Equal(t, 1, n, id)
	}
}

func TestFleetPass_NamesAFailedTenantAndGoesOn(t *testing.T) {
	w := fleetSetup(t, 5)
	w.answer = func(id ids.Tenant) (activities.VisitResult, error) {
		switch id {
		case numbered(2):
			return activities.VisitResult{}, decided("TENANT_UNREACHABLE")
		case numbered(4):
			return activities.VisitResult{Skipped: true}, nil
		}
		return activities.VisitResult{}, nil
	}
	r, err := w.run(t, workflows.FleetPassInput{Steps: []string{activities.StepOutboxSweep}})
	require.NoError(t, err)
	require.Equal(t, workflows.FleetPassResult{Visited: 3, Skipped: 1, Failures: 1, FailedTenants: []string{numbered(2).String()}}, r)
}

func TestFleetPass_BeginsAtItsCursor(t *testing.T) {
	w := fleetSetup(t, 5)
	r, err := w.run(t, workflows.FleetPassInput{Cursor: numbered(3).String()})
	require.NoError(t, err)
	require.Equal(t, 2, r.Visited)
	require.ElementsMatch(t, []ids.Tenant{numbered(4), numbered(5)}, w.order)
}

func TestFleetPass_ContinuesAsNewFromItsCursor(t *testing.T) {
	w := fleetSetup(t, 1001)
	_, err := w.run(t, workflows.FleetPassInput{})
	var again *workflow.ContinueAsNewError
	require.ErrorAs(t, err, &again)
	require.Equal(t, ids.WorkflowFleetPass, again.WorkflowType.Name)
	var in workflows.FleetPassInput
	require.NoError(t, converter.GetDefaultDataConverter().FromPayloads(again.Input, &in))
	require.Equal(t, numbered(1000).String(), in.Cursor)
	require.Equal(t, 1000, in.Sofar.Visited)

	next := newFleet(t, 1001)
	r, err := next.run(t, in)
	require.NoError(t, err)
	require.Equal(t, 1001, r.Visited)
	require.Equal(t, []ids.Tenant{numbered(1001)}, next.order)
}

func TestFleetPass_RefusesAnUnknownStepOrCursor(t *testing.T) {
	t.Parallel()
	for name, in := range map[string]workflows.FleetPassInput{
		"step":   {Steps: []string{"drop_everything"}},
		"cursor": {Cursor: "here"},
	} {
		t.Run(name, func(t *testing.T) {
			w := fleetSetup(t, 3)
			_, err := w.run(t, in)
			requireFailure(t, err, workflows.TypeRefused, workflows.ReasonInvalid)
			require.Empty(t, w.order)
		})
	}
}

func TestFleetPass_StopsWhenCancelled(t *testing.T) {
	w := fleetSetup(t, 90)
	// The environment runs activities beside the workflow: those under way end
	// when the cancel has reached it, not before.
	reached := make(chan struct{})
	end := sync.OnceFunc(func() { close(reached) })
	w.SetOnActivityCanceledListener(func(*activity.Info) { end() })
	var cancelled atomic.Bool
	w.answer = func(id ids.Tenant) (activities.VisitResult, error) {
		if id == numbered(20) {
			cancelled.Store(true)
			w.CancelWorkflow()
		}
		if cancelled.Load() {
			<-reached
		}
		return activities.VisitResult{}, nil
	}
	_, err := w.run(t, workflows.FleetPassInput{})
	require.Error(t, err)
	require.Less(t, len(w.order), 40)
}

func TestFleetPass_ShowsHowFarItIs(t *testing.T) {
	w := fleetSetup(t, 3)
	_, err := w.run(t, workflows.FleetPassInput{})
	require.NoError(t, err)
	v, err := w.QueryWorkflow(ids.QueryProgress)
	require.NoError(t, err)
	var steps []workflows.Step
	require.NoError(t, v.Get(&steps))
	require.Len(t, steps, len(activities.FleetSteps))
	for i, name := range activities.FleetSteps {
		require.Equal(t, workflows.Step{Name: name, State: workflows.Done, Detail: "3 visited, 0 skipped, 0 failed"}, steps[i])
	}
}

func TestFleetPass_VisitsAFewAtATime(t *testing.T) {
	w := fleetSetup(t, 60)
	var mu sync.Mutex
	open, most := 0, 0
	full := make(chan struct{})
	var once sync.Once
	w.answer = func(ids.Tenant) (activities.VisitResult, error) {
		mu.Lock()
		open++
		if most = max(most, open); open == 8 {
			// All wait a while longer: a ninth would join them.
			once.Do(func() { time.AfterFunc(300*time.Millisecond, func() { close(full) }) })
		}
		mu.Unlock()
		<-full
		mu.Lock()
		defer mu.Unlock()
		open--
		return activities.VisitResult{}, nil
	}
	_, err := w.run(t, workflows.FleetPassInput{})
	require.NoError(t, err)
	require.Equal(t, 8, most)
}
