package workflows

import (
	"fmt"
	"slices"
	"time"

	"go.temporal.io/sdk/workflow"
)

// saga is what takes a workflow back. A compensation is registered before its
// step runs, because a step that failed or was cancelled may have had its
// effect; so each must also do nothing where there is nothing to take back.
type saga struct {
	progress *progress
	fairness string
	undo     []undo
}

type undo struct {
	step     string
	activity any
	input    func(reason string) any
}

// register promises to run an activity when the workflow is taken back. Its
// input may need the reason, which nobody knows yet.
func (s *saga) register(step string, activity any, input func(reason string) any) {
	s.undo = append(s.undo, undo{step, activity, input})
}

// run takes everything back, the last registered first, each one done before
// the next begins. ctx is disconnected by the caller: a cancelled workflow
// compensates, and a second cancellation does not stop it.
func (s *saga) run(ctx workflow.Context, reason string) error {
	for _, u := range slices.Backward(s.undo) {
		s.progress.set(ctx, u.step, Compensating)
		if err := s.untilDone(ctx, u.step, u.activity, u.input(reason), nil); err != nil {
			return err
		}
		s.progress.set(ctx, u.step, Compensated)
	}
	return nil
}

// untilDone repeats an activity until it answers. Its policy has no last
// attempt; the loop is for failures that end an activity all the same.
func (s *saga) untilDone(ctx workflow.Context, step string, activity, input, result any) error {
	const longest = 5 * time.Minute
	ctx = preset(compensation).with(ctx, fmt.Sprintf("take back %s", step), s.fairness)
	for wait := time.Second; ; wait = min(2*wait, longest) {
		err := workflow.ExecuteActivity(ctx, activity, input).Get(ctx, result)
		if err == nil {
			return nil
		}
		workflow.GetLogger(ctx).Error("A compensation failed and is tried again.", "step", step, "wait", wait)
		if err := workflow.Sleep(ctx, wait); err != nil {
			return err // never: the context is disconnected
		}
	}
}
