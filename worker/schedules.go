package worker

import (
	"context"
	"errors"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"tenantry/internal/ids"
	"tenantry/workflows"
)

// catchUp is how late a missed nightly pass still runs; Temporal's default is
// a year, which would start a pass for each missed night.
const catchUp = 12 * time.Hour

// keepSchedules tries until Temporal has the search attributes and schedules.
func (w *Worker) keepSchedules(ctx context.Context) {
	for wait := 250 * time.Millisecond; ; wait = min(2*wait, 10*time.Second) {
		err := w.ensure(ctx)
		if err == nil {
			return
		}
		w.d.Log.Warn("schedules not kept yet, will try again", "code", codeOf(err))
		if !pause(ctx, wait) {
			return
		}
	}
}

func (w *Worker) ensure(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := ensureSearchAttributes(ctx, w.d.Client, w.d.Namespace); err != nil {
		return err
	}
	return ensureNightly(ctx, w.d.Client, w.d.Options.Nightly)
}

// nightly is the schedule as this release wants it.
func nightly(hour int) client.ScheduleOptions {
	return client.ScheduleOptions{
		ID: ids.ScheduleNightly,
		Spec: client.ScheduleSpec{
			Calendars: []client.ScheduleCalendarSpec{{
				Hour: []client.ScheduleRange{{Start: hour}}, Minute: []client.ScheduleRange{{Start: 15}}, Comment: "nightly",
			}},
			Jitter: 10 * time.Minute,
		},
		Action: &client.ScheduleWorkflowAction{
			ID: "fleet/nightly", Workflow: ids.WorkflowFleetPass, Args: []any{workflows.FleetPassInput{}}, TaskQueue: ids.QueueFleet,
			StaticSummary:         "Nightly fleet pass",
			TypedSearchAttributes: temporal.NewSearchAttributes(searchKind.ValueSet(kindFleetPass)),
		},
		Overlap:       enumspb.SCHEDULE_OVERLAP_POLICY_SKIP,
		CatchupWindow: catchUp,
	}
}

// ensureNightly creates the schedule, or brings the existing one up to this
// release: spec, action, overlap and catch-up are ours; the pause, the note
// and what is left of limited actions are the operator's.
func ensureNightly(ctx context.Context, c client.Client, hour int) error {
	want := nightly(hour)
	_, err := c.ScheduleClient().Create(ctx, want)
	if !errors.Is(err, temporal.ErrScheduleAlreadyRunning) {
		return err
	}
	return c.ScheduleClient().GetHandle(ctx, want.ID).Update(ctx, client.ScheduleUpdateOptions{
		DoUpdate: func(in client.ScheduleUpdateInput) (*client.ScheduleUpdate, error) {
			s := in.Description.Schedule
			s.Spec, s.Action = &want.Spec, want.Action
			if s.Policy == nil {
				s.Policy = &client.SchedulePolicies{}
			}
			s.Policy.Overlap, s.Policy.CatchupWindow = want.Overlap, want.CatchupWindow
			return &client.ScheduleUpdate{Schedule: &s}, nil
		},
	})
}
