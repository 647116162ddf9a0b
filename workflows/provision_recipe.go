package workflows

import (
	"go.temporal.io/sdk/workflow"

	"tenantry/activities"
	"tenantry/internal/ids"
)

// step is one step of a recipe: the activity, and the one that takes it back.
type step struct {
	name     string
	preset   preset
	activity any
	input    any
	// undo is nil where nothing is to be taken back.
	undo any
}

// do refers to the activities; nothing is called through it here.
var do *activities.Provisioning

// recipe is a running provisioning.
type recipe struct {
	tenant   activities.Tenant
	progress *progress
	saga     *saga
}

func newRecipe(ctx workflow.Context, tenant ids.Tenant) (*recipe, error) {
	names := []string{stepTake}
	for _, s := range steps(activities.Tenant{}, activities.Target{}) {
		names = append(names, s.name)
	}
	p, err := newProgress(ctx, names...)
	return &recipe{
		tenant: activities.Tenant{TenantID: tenant}, progress: p,
		saga: &saga{progress: p, fairness: tenant.String()},
	}, err
}

// run runs one step.
func (r *recipe) run(ctx workflow.Context, s step, result any) error {
	r.progress.set(ctx, s.name, Running)
	actx := s.preset.with(ctx, s.name, r.tenant.TenantID.String())
	if err := workflow.ExecuteActivity(actx, s.activity, s.input).Get(ctx, result); err != nil {
		r.progress.set(ctx, s.name, Failed)
		return err
	}
	r.progress.set(ctx, s.name, Done)
	return nil
}

// takeBack is the way out after a failed or cancelled step. The row decides
// first: once it is failing, no step that is still under way can succeed; if
// it is active, the last step had succeeded unheard and the run ends as
// provisioned.
func (r *recipe) takeBack(ctx workflow.Context, reason string) error {
	if ctx.Err() != nil {
		// The step of a dead worker times out; who cancelled meanwhile is told so.
		reason = ReasonCancelled
	}
	ctx, cancel := workflow.NewDisconnectedContext(ctx)
	defer cancel()
	var decided activities.Compensation
	if err := r.saga.untilDone(ctx, "begin", do.BeginCompensation, r.tenant, &decided); err != nil {
		return err
	}
	if decided.Active {
		return r.finish(ctx)
	}
	if err := r.saga.run(ctx, reason); err != nil {
		return err
	}
	r.progress.end(ctx, "Failed ("+reason+"); everything was taken back.", Compensated, Done)
	return failure(TypeProvisioningFailed, reason)
}

// onTakeBack registers what takes a step back, if anything does.
func (r *recipe) onTakeBack(s step) {
	if s.undo != nil {
		r.saga.register(s.name, s.undo, func(string) any { return s.input })
	}
}

// released is the input of the last compensation.
func (r *recipe) released(reason string) any {
	return activities.Released{TenantID: r.tenant.TenantID, Reason: reason}
}

// refused ends a run that was told no before it changed anything.
func (r *recipe) refused(ctx workflow.Context, reason string) error {
	if !code.MatchString(reason) {
		reason = ReasonInternal
	}
	r.progress.end(ctx, "Refused ("+reason+"); nothing was changed.", Failed, Done)
	return failure(TypeRefused, reason)
}

// finish ends a run whose tenant is active.
func (r *recipe) finish(ctx workflow.Context) error {
	r.progress.end(ctx, "Provisioned.", Done, Pending, Running, Failed)
	return nil
}
