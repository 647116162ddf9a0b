package workflows

import (
	"fmt"

	"go.temporal.io/sdk/workflow"

	"tenantry/internal/ids"
)

// Step is one step of a workflow as the query "progress" answers it.
type Step struct {
	Name string `json:"name"`
	// State is pending, running, done, failed, compensating or compensated.
	State string `json:"state"`
	// Detail is a short text for people, where there is more to say.
	Detail string `json:"detail,omitempty"`
}

// States of a step.
const (
	Pending      = "pending"
	Running      = "running"
	Done         = "done"
	Failed       = "failed"
	Compensating = "compensating"
	Compensated  = "compensated"
)

// progress keeps the steps for the query and the live text of the UI.
type progress struct{ steps []Step }

func newProgress(ctx workflow.Context, names ...string) (*progress, error) {
	p := &progress{}
	for _, n := range names {
		p.steps = append(p.steps, Step{Name: n, State: Pending})
	}
	err := workflow.SetQueryHandlerWithOptions(ctx, ids.QueryProgress, func() ([]Step, error) { return p.steps, nil },
		workflow.QueryHandlerOptions{Description: "The steps with their states."})
	return p, err
}

// set moves a step. A failed step keeps saying so while the others are taken
// back: it is what an operator looks for.
func (p *progress) set(ctx workflow.Context, name, state string) {
	for i := range p.steps {
		if p.steps[i].Name != name {
			continue
		}
		if p.steps[i].State != Failed {
			p.steps[i].State = state
		}
		workflow.SetCurrentDetails(ctx, fmt.Sprintf("Step %d of %d, %s: %s.", i+1, len(p.steps), name, state))
	}
}

// end moves every step that is in one of the states from.
func (p *progress) end(ctx workflow.Context, text, to string, from ...string) {
	for i := range p.steps {
		for _, f := range from {
			if p.steps[i].State == f {
				p.steps[i].State = to
				break
			}
		}
	}
	workflow.SetCurrentDetails(ctx, text)
}
