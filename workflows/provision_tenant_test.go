package workflows_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"

	"tenantry/activities"
	"tenantry/internal/ids"
	"tenantry/workflows"
)

const tenantText = "0190f5a0-0000-7000-8000-000000000001"

// forwardSteps is T3, steps 1 to 8.
var forwardSteps = []string{
	activities.NameTakeReservation, activities.NameCreateRole, activities.NameCreateDatabase, activities.NameGrantAndOpen,
	activities.NameSeedRoles, activities.NameInviteOwner, activities.NameCreateSigningKey, activities.NameActivate,
}

// undoOf is what must take each step back.
var undoOf = map[string]string{
	activities.NameTakeReservation: activities.NameRelease, activities.NameCreateRole: activities.NameDropRole,
	activities.NameCreateDatabase: activities.NameDropDatabase, activities.NameGrantAndOpen: activities.NameCloseDatabase,
	activities.NameCreateSigningKey: activities.NameDeleteSigningKeys,
}

// takenBack is the exact calls of a run whose step n (from 0) did not succeed.
func takenBack(n int) []string {
	calls := append(slices.Clone(forwardSteps[:n+1]), activities.NameBeginCompensation)
	for _, s := range slices.Backward(forwardSteps[:n+1]) {
		if u := undoOf[s]; u != "" {
			calls = append(calls, u)
		}
	}
	return calls
}

// world is a test environment whose activities write down their calls.
type world struct {
	*testsuite.TestWorkflowEnvironment
	t      *testing.T
	id     string
	calls  []string
	reason string
	// during runs inside an activity and may answer an error.
	during map[string]func() error
	found  activities.Reservation
	active bool
}

func setup(t *testing.T) *world {
	t.Parallel()
	w := &world{
		TestWorkflowEnvironment: newEnv(), t: t, during: map[string]func() error{},
		id:    ids.ProvisionTenantWorkflow(tenant(t)),
		found: activities.Reservation{State: activities.StateProvisioning, Database: "tn_db", Role: "tn_role"},
	}
	workflows.Register(w, "")
	return w
}

func tenant(t *testing.T) ids.Tenant {
	id, err := ids.ParseTenant(tenantText)
	require.NoError(t, err)
	return id
}

// run plans exactly these calls, each with its exact input, and runs. Other
// calls are answered too: they show in the list and do not hang the test.
func (w *world) run(want []string) (workflows.ProvisionTenantResult, error) {
	var a *activities.Provisioning
	for _, n := range a.Activities() {
		w.RegisterActivityWithOptions(n.Func, activityOptions(n.Name))
	}
	for _, n := range a.Activities() {
		if call := w.plan(n.Name); !slices.Contains(want, n.Name) {
			call.Maybe()
		}
	}
	w.SetStartWorkflowOptions(client.StartWorkflowOptions{ID: w.id, TaskQueue: ids.QueueProvisioning})
	w.ExecuteWorkflow(ids.WorkflowProvisionTenant, workflows.ProvisionTenantInput{TenantID: tenantText})
	require.True(w.t, w.IsWorkflowCompleted())
	w.AssertExpectations(w.t)
	require.Equal(w.t, want, w.calls)
	var r workflows.ProvisionTenantResult
	err := w.GetWorkflowError()
	if err == nil {
		require.NoError(w.t, w.GetWorkflowResult(&r))
	}
	return r, err
}

func (w *world) plan(name string) *testsuite.MockCallWrapper {
	tid := tenant(w.t)
	in, target := activities.Tenant{TenantID: tid}, activities.Target{TenantID: tid, Database: "tn_db", Role: "tn_role"}
	switch name {
	case activities.NameTakeReservation:
		return w.OnActivity(name, mock.Anything, in).Return(func(context.Context, activities.Tenant) (activities.Reservation, error) {
			return w.found, w.called(name)
		})
	case activities.NameBeginCompensation:
		return w.OnActivity(name, mock.Anything, in).Return(func(context.Context, activities.Tenant) (activities.Compensation, error) {
			return activities.Compensation{Active: w.active}, w.called(name)
		})
	case activities.NameRelease:
		return w.OnActivity(name, mock.Anything, mock.Anything).Return(func(_ context.Context, r activities.Released) error {
			require.Equal(w.t, tid, r.TenantID)
			w.reason = r.Reason
			return w.called(name)
		})
	case activities.NameSeedRoles, activities.NameInviteOwner, activities.NameCreateSigningKey, activities.NameActivate,
		activities.NameDeleteSigningKeys:
		return w.OnActivity(name, mock.Anything, in).Return(func(context.Context, activities.Tenant) error { return w.called(name) })
	}
	return w.OnActivity(name, mock.Anything, target).Return(func(context.Context, activities.Target) error { return w.called(name) })
}

func (w *world) called(name string) error {
	w.calls = append(w.calls, name)
	if f := w.during[name]; f != nil {
		return f()
	}
	return nil
}

func (w *world) states() map[string]string {
	v, err := w.QueryWorkflow(ids.QueryProgress)
	require.NoError(w.t, err)
	var steps []workflows.Step
	require.NoError(w.t, v.Get(&steps))
	require.Len(w.t, steps, 8)
	out := map[string]string{}
	for _, s := range steps {
		out[s.Name] = s.State
	}
	return out
}

func decided(reason string) error {
	return temporal.NewNonRetryableApplicationError("secret text of a database", reason, nil)
}

func requireFailure(t *testing.T, err error, kind, reason string) {
	t.Helper()
	var app *temporal.ApplicationError
	require.ErrorAs(t, err, &app)
	require.Equal(t, kind, app.Type())
	require.True(t, app.NonRetryable())
	require.Equal(t, reason, app.Message())
	var r workflows.Reason
	require.NoError(t, app.Details(&r))
	require.Equal(t, reason, r.Reason)
	require.NotContains(t, fmt.Sprintf("%+v", errors.Unwrap(app)), "secret")
}

func TestProvisionTenant_RunsTheEightStepsInOrder(t *testing.T) {
	w := setup(t)
	r, err := w.run(forwardSteps)
	require.NoError(t, err)
	require.Equal(t, tenantText, r.TenantID)
	for name, state := range w.states() {
		require.Equal(t, workflows.Done, state, name)
	}
}

func TestProvisionTenant_TakesBackExactlyWhatBeganInReverseOrder(t *testing.T) {
	t.Parallel()
	for n, step := range forwardSteps {
		t.Run(step, func(t *testing.T) {
			w := setup(t)
			w.during[step] = func() error { return decided("SLUG_TAKEN") }
			_, err := w.run(takenBack(n))
			requireFailure(t, err, workflows.TypeProvisioningFailed, "SLUG_TAKEN")
			require.Equal(t, "SLUG_TAKEN", w.reason)
			failed := 0
			for _, state := range w.states() {
				if state == workflows.Failed {
					failed++
				}
				require.NotEqual(t, workflows.Done, state)
			}
			require.Equal(t, 1, failed)
		})
	}
}

func TestProvisionTenant_TakesBackWhenCancelledDuringAStep(t *testing.T) {
	t.Parallel()
	for n, step := range forwardSteps {
		t.Run(step, func(t *testing.T) {
			w := setup(t)
			w.during[step] = func() error { w.CancelWorkflow(); return nil }
			_, err := w.run(takenBack(n))
			requireFailure(t, err, workflows.TypeProvisioningFailed, workflows.ReasonCancelled)
			require.Equal(t, workflows.ReasonCancelled, w.reason)
		})
	}
}

func TestProvisionTenant_TakesBackWhenCancelledBeforeTheFirstStep(t *testing.T) {
	w := setup(t)
	w.RegisterDelayedCallback(w.CancelWorkflow, 0)
	_, err := w.run([]string{activities.NameBeginCompensation, activities.NameRelease})
	requireFailure(t, err, workflows.TypeProvisioningFailed, workflows.ReasonCancelled)
}

func TestProvisionTenant_IsNotStoppedByASecondCancellation(t *testing.T) {
	t.Parallel()
	for _, u := range takenBack(7)[8:] {
		t.Run(u, func(t *testing.T) {
			w := setup(t)
			w.during[activities.NameActivate] = func() error { w.CancelWorkflow(); return nil }
			w.during[u] = func() error { w.CancelWorkflow(); return nil }
			_, err := w.run(takenBack(7))
			requireFailure(t, err, workflows.TypeProvisioningFailed, workflows.ReasonCancelled)
		})
	}
}

func TestProvisionTenant_RepeatsACompensationUntilItIsDone(t *testing.T) {
	t.Parallel()
	for at, u := range takenBack(7)[8:] {
		t.Run(u, func(t *testing.T) {
			w := setup(t)
			w.during[activities.NameActivate] = func() error { return decided("TENANT_STATE") }
			left := 3
			w.during[u] = func() error {
				if left--; left > 0 {
					return decided("INTERNAL") // even a failure that says it is final
				}
				return nil
			}
			want := slices.Insert(slices.Clone(takenBack(7)), 8+at, u, u)
			_, err := w.run(want)
			requireFailure(t, err, workflows.TypeProvisioningFailed, "TENANT_STATE")
		})
	}
}

func TestProvisionTenant_EndsAsProvisionedWhenActivationSucceededUnheard(t *testing.T) {
	t.Parallel()
	unheard := map[string]func(w *world) error{
		"failed after the commit": func(*world) error { return decided("INTERNAL") },
		"cancelled":               func(w *world) error { w.CancelWorkflow(); return nil },
	}
	for name, how := range unheard {
		t.Run(name, func(t *testing.T) {
			w := setup(t)
			w.active = true
			w.during[activities.NameActivate] = func() error { return how(w) }
			r, err := w.run(append(slices.Clone(forwardSteps), activities.NameBeginCompensation))
			require.NoError(t, err)
			require.Equal(t, tenantText, r.TenantID)
			for name, state := range w.states() {
				require.Equal(t, workflows.Done, state, name)
			}
		})
	}
}

func TestProvisionTenant_EndsAtOnceWhenTheTenantIsActive(t *testing.T) {
	w := setup(t)
	w.found.State = activities.StateActive
	r, err := w.run(forwardSteps[:1])
	require.NoError(t, err)
	require.Equal(t, tenantText, r.TenantID)
}

func TestProvisionTenant_GoesOnTakingBackWhatAnEarlierRunBegan(t *testing.T) {
	w := setup(t)
	w.found.State = activities.StateFailing
	_, err := w.run(append(forwardSteps[:1:1], takenBack(7)[8:]...))
	requireFailure(t, err, workflows.TypeProvisioningFailed, workflows.ReasonInterrupted)
}

func TestProvisionTenant_TouchesNothingOfAReservationItDoesNotHold(t *testing.T) {
	t.Parallel()
	for _, found := range []activities.Reservation{
		{State: activities.StateRefused, Reason: "TENANT_STATE"},
		{State: activities.StateRefused, Reason: "TENANT_NOT_FOUND"},
		{State: "suspended", Reason: "TENANT_STATE"},
	} {
		t.Run(found.State+"/"+found.Reason, func(t *testing.T) {
			w := setup(t)
			w.found = found
			_, err := w.run(forwardSteps[:1])
			requireFailure(t, err, workflows.TypeRefused, found.Reason)
		})
	}
}

func TestProvisionTenant_TouchesNothingUnderAnotherWorkflowID(t *testing.T) {
	w := setup(t)
	w.id = "by-hand"
	_, err := w.run(nil)
	requireFailure(t, err, workflows.TypeRefused, workflows.ReasonWorkflowID)
}

func TestProvisionTenant_TouchesNothingWithAMalformedTenant(t *testing.T) {
	w := setup(t)
	w.SetStartWorkflowOptions(client.StartWorkflowOptions{ID: "tenant/nobody/provision"})
	w.ExecuteWorkflow(ids.WorkflowProvisionTenant, workflows.ProvisionTenantInput{TenantID: "nobody"})
	requireFailure(t, w.GetWorkflowError(), workflows.TypeRefused, workflows.ReasonInvalid)
}

func TestProvisionTenant_AnswersAReasonCodeAndNoText(t *testing.T) {
	w := setup(t)
	w.during[activities.NameCreateRole] = func() error {
		return temporal.NewNonRetryableApplicationError("secret", "secret text as a type", nil)
	}
	_, err := w.run(takenBack(1))
	requireFailure(t, err, workflows.TypeProvisioningFailed, workflows.ReasonInternal)
}

func TestProvisionTenant_ShowsEveryStepAsItRuns(t *testing.T) {
	w := setup(t)
	var states []map[string]string
	watch := func() error { states = append(states, w.states()); return nil }
	for _, s := range takenBack(6) {
		w.during[s] = watch
	}
	w.during[activities.NameCreateSigningKey] = func() error { _ = watch(); return decided("INTERNAL") }
	_, err := w.run(takenBack(6))
	require.Error(t, err)
	require.Equal(t, workflows.Running, states[2]["create_database"])
	require.Equal(t, workflows.Done, states[2]["create_role"])
	require.Equal(t, workflows.Pending, states[2]["activate"])
	last := states[len(states)-1]
	require.Equal(t, workflows.Compensating, last["take_reservation"])
	require.Equal(t, workflows.Compensated, last["create_role"])
	require.Equal(t, workflows.Failed, last["create_signing_key"])
}

func TestProvisionTenant_InputAndResultCarryTheIDAlone(t *testing.T) {
	t.Parallel()
	for _, v := range []any{workflows.ProvisionTenantInput{TenantID: tenantText}, workflows.ProvisionTenantResult{TenantID: tenantText}} {
		p, err := converter.GetDefaultDataConverter().ToPayload(v)
		require.NoError(t, err)
		require.JSONEq(t, `{"tenant_id":"`+tenantText+`"}`, string(p.GetData()))
	}
}
