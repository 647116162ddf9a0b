package worker

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"tenantry/activities"
	"tenantry/internal/clock"
	"tenantry/internal/db"
	"tenantry/internal/devstack"
	"tenantry/internal/ids"
	"tenantry/internal/secrets"
	"tenantry/workflows"
)

// process is a worker whose only tenant is drained by a function.
type process struct {
	worker *Worker
	drains atomic.Int32
	stop   context.CancelFunc
	ended  chan error
}

func newProcess(t *testing.T, c client.Client, identity string, drain func(context.Context) error) *process {
	t.Helper()
	p := &process{ended: make(chan error, 1)}
	tenant := someTenant(t)
	fleet := &activities.Fleet{
		Active: func(context.Context, ids.Tenant, int) ([]ids.Tenant, error) { return []ids.Tenant{tenant}, nil },
		Lease: func(context.Context, ids.Tenant) (*db.Lease, error) {
			return db.NewLease(tenant, secrets.DataKey{}, nil, nil), nil
		},
		Drain: func(ctx context.Context, _ *db.Lease, _ int) (int, error) {
			p.drains.Add(1)
			return 0, drain(ctx)
		},
		Expire:        func(context.Context, *db.Lease, int) (int, error) { return 0, nil },
		KeepKeys:      func(context.Context, ids.Tenant) error { return nil },
		ExpireCentral: func(context.Context, int) (int, error) { return 0, nil },
	}
	var err error
	p.worker, err = New(Deps{
		Log: testLog(t), Now: clock.System, Client: c, Namespace: devstack.TemporalNamespace, Identity: identity,
		Central: &db.Central{}, Provisioning: &activities.Provisioning{}, Lifecycle: &activities.Lifecycle{}, Fleet: fleet,
		Options: Options{StickyTimeout: 500 * time.Millisecond},
	})
	require.NoError(t, err)
	p.worker.relay = newDesk().relay(t, c)
	return p
}

func (p *process) run(t *testing.T) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	p.stop = stop
	go func() { p.ended <- p.worker.Run(ctx) }()
	t.Cleanup(stop)
}

func startPass(t *testing.T, c client.Client) client.WorkflowRun {
	t.Helper()
	run, err := c.ExecuteWorkflow(within(t, time.Minute), client.StartWorkflowOptions{ID: "fleet/test", TaskQueue: ids.QueueFleet},
		ids.WorkflowFleetPass, workflows.FleetPassInput{})
	require.NoError(t, err)
	return run
}

func nothing(context.Context) error { return nil }

func TestWorker_LetsARunningActivityEndAndTakesNoMore(t *testing.T) {
	t.Parallel()
	server := devServer(t, devstack.TemporalOptions{})
	codec := newCodec(t, "k1")
	first, second := dial(t, server.Address, codec), dial(t, server.Address, codec)
	begun, release := make(chan struct{}), make(chan struct{})
	p := newProcess(t, first, "first", func(context.Context) error { close(begun); <-release; return nil })
	p.run(t)
	run := startPass(t, second)
	<-begun
	p.stop()
	select {
	case err := <-p.ended:
		t.Fatal("the worker left an activity behind", err)
	case <-time.After(time.Second):
	}
	close(release)
	require.NoError(t, <-p.ended)

	q := newProcess(t, second, "second", nothing)
	q.run(t)
	var r workflows.FleetPassResult
	require.NoError(t, run.Get(within(t, time.Minute), &r))
	require.Equal(t, 1, r.Visited)
	require.Zero(t, q.drains.Load(), "what the first worker ended was reported")
	q.stop()
	require.NoError(t, <-q.ended)
}

func TestWorker_BeatsForAnActivityLongerThanTheHeartbeatTimeout(t *testing.T) {
	t.Parallel()
	server := devServer(t, devstack.TemporalOptions{})
	c := dial(t, server.Address, newCodec(t, "k1"))
	p := newProcess(t, c, "", func(ctx context.Context) error {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(7 * time.Second):
			return nil
		}
	})
	p.run(t)
	var r workflows.FleetPassResult
	require.NoError(t, startPass(t, c).Get(within(t, time.Minute), &r))
	require.Equal(t, 1, r.Visited)
	require.EqualValues(t, 1, p.drains.Load())
}

func TestWorker_CarriesACancellationIntoARunningActivity(t *testing.T) {
	t.Parallel()
	server := devServer(t, devstack.TemporalOptions{})
	c := dial(t, server.Address, newCodec(t, "k1"))
	begun := make(chan struct{})
	p := newProcess(t, c, "", func(ctx context.Context) error { close(begun); <-ctx.Done(); return ctx.Err() })
	p.run(t)
	run := startPass(t, c)
	<-begun
	ctx := within(t, time.Minute)
	require.NoError(t, c.CancelWorkflow(ctx, run.GetID(), ""))
	require.Error(t, run.Get(ctx, nil))
	desc, err := c.DescribeWorkflow(ctx, run.GetID(), "")
	require.NoError(t, err)
	require.Equal(t, enumspb.WORKFLOW_EXECUTION_STATUS_CANCELED, desc.Status)
	require.EqualValues(t, 1, p.drains.Load())
}

func TestWorker_StartsBeforeTemporalAndIsReadyOnlyWhenItPolls(t *testing.T) {
	t.Parallel()
	server := devServer(t, devstack.TemporalOptions{})
	require.NoError(t, server.Stop())
	c := dial(t, server.Address, newCodec(t, "k1"))
	p := newProcess(t, c, "reader", nothing)
	ready := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		return p.worker.Ready(ctx)
	}
	p.run(t)
	require.Error(t, ready())
	require.NoError(t, server.Start(t.Context()))
	require.Eventually(t, func() bool { return ready() == nil }, time.Minute, 200*time.Millisecond)
	other := newProcess(t, c, "another", nothing)
	require.ErrorContains(t, other.worker.Ready(t.Context()), "no")
	require.NoError(t, startPass(t, c).Get(within(t, time.Minute), nil))
	require.NoError(t, server.Stop())
	require.Error(t, ready())
}

func TestWorker_EndsWhileTemporalIsAway(t *testing.T) {
	t.Parallel()
	server := devServer(t, devstack.TemporalOptions{})
	require.NoError(t, server.Stop())
	p := newProcess(t, dial(t, server.Address, newCodec(t, "k1")), "", nothing)
	p.run(t)
	p.stop()
	select {
	case err := <-p.ended:
		require.NoError(t, err)
	case <-time.After(30 * time.Second):
		t.Fatal("the worker hangs on a Temporal that is away")
	}
}

func TestWorker_RefusesMissingDependencies(t *testing.T) {
	t.Parallel()
	_, err := New(Deps{})
	require.Error(t, err)
}

func TestSchedule_KeepsThePauseAndNoteAndMergesTheRest(t *testing.T) {
	t.Parallel()
	server := devServer(t, devstack.TemporalOptions{})
	c := dial(t, server.Address, newCodec(t, "k1"))
	ctx := within(t, time.Minute)
	require.NoError(t, ensureNightly(ctx, c, 2))
	h := c.ScheduleClient().GetHandle(ctx, ids.ScheduleNightly)
	require.NoError(t, h.Pause(ctx, client.SchedulePauseOptions{Note: "maintenance until Friday"}))
	require.NoError(t, h.Update(ctx, client.ScheduleUpdateOptions{DoUpdate: func(in client.ScheduleUpdateInput) (*client.ScheduleUpdate, error) {
		s := in.Description.Schedule
		s.Policy.CatchupWindow, s.Policy.Overlap = 100*time.Hour, enumspb.SCHEDULE_OVERLAP_POLICY_ALLOW_ALL
		return &client.ScheduleUpdate{Schedule: &s}, nil
	}}))
	require.NoError(t, ensureNightly(ctx, c, 3))
	d, err := h.Describe(ctx)
	require.NoError(t, err)
	require.True(t, d.Schedule.State.Paused)
	require.Equal(t, "maintenance until Friday", d.Schedule.State.Note)
	require.Equal(t, catchUp, d.Schedule.Policy.CatchupWindow)
	require.Equal(t, enumspb.SCHEDULE_OVERLAP_POLICY_SKIP, d.Schedule.Policy.Overlap)
	require.Equal(t, 3, d.Schedule.Spec.Calendars[0].Hour[0].Start)
	require.Len(t, d.Schedule.Spec.Calendars, 1)
}

func TestSchedule_RunsAFleetPass(t *testing.T) {
	t.Parallel()
	server := devServer(t, devstack.TemporalOptions{})
	c := dial(t, server.Address, newCodec(t, "k1"))
	ctx := within(t, time.Minute)
	p := newProcess(t, c, "", nothing)
	p.run(t)
	h := c.ScheduleClient().GetHandle(ctx, ids.ScheduleNightly)
	require.Eventually(t, func() bool { return h.Trigger(ctx, client.ScheduleTriggerOptions{}) == nil }, 30*time.Second, 100*time.Millisecond)
	require.Eventually(t, func() bool { return p.drains.Load() == 1 }, 30*time.Second, 50*time.Millisecond)
	d, err := h.Describe(ctx)
	require.NoError(t, err)
	require.Len(t, d.Info.RecentActions, 1)
	id := d.Info.RecentActions[0].StartWorkflowResult.WorkflowID
	run := c.GetWorkflow(ctx, id, "")
	require.NoError(t, run.Get(ctx, nil))
	desc, err := c.DescribeWorkflow(ctx, id, "")
	require.NoError(t, err)
	summary, err := desc.GetStaticSummary()
	require.NoError(t, err)
	require.Equal(t, "Nightly fleet pass", summary)
	kind, ok := desc.TypedSearchAttributes.GetKeyword(searchKind)
	require.True(t, ok)
	require.Equal(t, kindFleetPass, kind)
	steps, err := Progress(c)(ctx, id)
	require.NoError(t, err)
	require.Len(t, steps, len(activities.FleetSteps))
	for i, step := range steps {
		require.Equal(t, activities.FleetSteps[i], step.Name)
		require.Equal(t, workflows.Done, step.State)
	}
}
