package workflows

import (
	"fmt"
	"slices"

	"go.temporal.io/sdk/workflow"

	"tenantry/activities"
	"tenantry/internal/ids"
)

// FleetPassInput says what to do at every active tenant.
type FleetPassInput struct {
	// Steps are names of activities.FleetSteps; empty stands for all.
	Steps []string `json:"steps,omitempty"`
	// Cursor is the last tenant that was visited; empty begins.
	Cursor string `json:"cursor,omitempty"`
	// Sofar is what earlier runs of the same pass found.
	Sofar FleetPassResult `json:"sofar,omitzero"`
}

// FleetPassResult is how a pass went.
type FleetPassResult struct {
	Visited int `json:"visited"`
	// Skipped were not active any more.
	Skipped int `json:"skipped"`
	// Failures counts failed tenants; FailedTenants names the first 1,000.
	Failures      int      `json:"failures"`
	FailedTenants []string `json:"failed_tenants,omitempty"`
}

const (
	fleetPage = 100
	// fleetPages bounds a run's history; the pass continues as new.
	fleetPages = 10
	// fleetParallel bounds the load of a pass.
	fleetParallel = 8
	fleetNamed    = 1000
)

// fleet refers to the activities; nothing is called through it here.
var fleet *activities.Fleet

// FleetPass visits every active tenant once: a failed one is named and
// skipped. A pass that was stopped begins again at its cursor.
func FleetPass(ctx workflow.Context, in FleetPassInput) (FleetPassResult, error) {
	pass, err := newPass(ctx, in)
	if err != nil {
		return FleetPassResult{}, err
	}
	for range fleetPages {
		// Step 1. The next tenants after the cursor.
		page, err := pass.next(ctx)
		if err != nil {
			return pass.result, err
		}
		// Step 2. Visit them, a few at a time.
		if err := pass.visit(ctx, page); err != nil {
			return pass.result, err
		}
		if len(page) < fleetPage {
			pass.end(ctx)
			return pass.result, nil
		}
	}
	// Step 3. Go on from the cursor with a short history.
	return FleetPassResult{}, workflow.NewContinueAsNewError(ctx, ids.WorkflowFleetPass,
		FleetPassInput{Steps: pass.steps, Cursor: pass.cursor.String(), Sofar: pass.result})
}

// pass is a running fleet pass.
type pass struct {
	steps    []string
	cursor   ids.Tenant
	result   FleetPassResult
	progress *progress
}

func newPass(ctx workflow.Context, in FleetPassInput) (*pass, error) {
	p := &pass{steps: in.Steps, result: in.Sofar}
	if len(p.steps) == 0 {
		p.steps = activities.FleetSteps
	}
	for _, s := range p.steps {
		if !slices.Contains(activities.FleetSteps, s) {
			return nil, failure(TypeRefused, ReasonInvalid)
		}
	}
	if err := p.cursor.UnmarshalText([]byte(in.Cursor)); err != nil {
		return nil, failure(TypeRefused, ReasonInvalid)
	}
	var err error
	if p.progress, err = newProgress(ctx, p.steps...); err == nil {
		p.show(ctx, Running)
	}
	return p, err
}

func (p *pass) next(ctx workflow.Context) ([]ids.Tenant, error) {
	var page activities.PageResult
	actx := preset(centralTransaction).with(ctx, "next tenants", "")
	err := workflow.ExecuteActivity(actx, fleet.FleetPage, activities.Page{After: p.cursor, Limit: fleetPage}).Get(ctx, &page)
	if err != nil && ctx.Err() == nil {
		return nil, failure(TypeFleetPassFailed, reasonOf(err))
	}
	return page.Tenants, err
}

func (p *pass) visit(ctx workflow.Context, tenants []ids.Tenant) error {
	free := workflow.NewSemaphore(ctx, fleetParallel)
	all := workflow.NewWaitGroup(ctx)
	for _, t := range tenants {
		if err := free.Acquire(ctx, 1); err != nil {
			return err
		}
		all.Add(1)
		workflow.Go(ctx, func(ctx workflow.Context) {
			defer all.Done()
			defer free.Release(1)
			p.one(ctx, t)
		})
	}
	all.Wait(ctx)
	if len(tenants) > 0 && ctx.Err() == nil {
		p.cursor = tenants[len(tenants)-1]
	}
	p.show(ctx, Running)
	return ctx.Err()
}

func (p *pass) one(ctx workflow.Context, t ids.Tenant) {
	var r activities.VisitResult
	actx := preset(fleetVisit).with(ctx, "visit", t.String())
	err := workflow.ExecuteActivity(actx, fleet.FleetVisit, activities.Visit{TenantID: t, Steps: p.steps}).Get(ctx, &r)
	switch {
	case err != nil && ctx.Err() != nil: // cancelled: neither visited nor failed
	case err != nil:
		p.result.Failures++
		if len(p.result.FailedTenants) < fleetNamed {
			p.result.FailedTenants = append(p.result.FailedTenants, t.String())
		}
	case r.Skipped:
		p.result.Skipped++
	default:
		p.result.Visited++
	}
}

func (p *pass) show(ctx workflow.Context, state string) {
	text := fmt.Sprintf("%d visited, %d skipped, %d failed", p.result.Visited, p.result.Skipped, p.result.Failures)
	for i := range p.progress.steps {
		p.progress.steps[i].State, p.progress.steps[i].Detail = state, text
	}
	workflow.SetCurrentDetails(ctx, text+"; cursor "+p.cursor.String()+".")
}

func (p *pass) end(ctx workflow.Context) { p.show(ctx, Done) }
