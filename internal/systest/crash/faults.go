package crash

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"tenantry/internal/devstack"
	"tenantry/internal/systest"
)

// fault is a scenario beside the matrix. It leaves a working system.
type fault struct {
	path string
	what string
	run  func(context.Context, *lane) (Outcome, []string, error)
}

// cancellations ask for the end while the workflow stands at a point: the
// worker has died there, and the next one carries the wish.
func cancellations(points []Point) []fault {
	var out []fault
	for _, p := range points {
		what := "cancelled with the worker killed " + p.When + " " + p.Activity
		out = append(out, fault{"cancel", what, func(ctx context.Context, l *lane) (Outcome, []string, error) {
			o := l.order()
			op, err := l.untilKilled(ctx, o, spec("", p.Activity+":"+p.When, l.skip))
			if err != nil {
				return Red, nil, err
			}
			if _, err := l.Cancel(ctx, op.ID); err != nil {
				// Activate had its effect before the kill: too late is an answer.
				if now, err2 := l.Operation(ctx, op.ID); err2 != nil || !now.Ended() {
					return Red, nil, errors.Join(err, err2)
				}
			}
			if err := l.crashWorker(spec("", "", l.skip), l.marker(o)); err != nil {
				return Red, nil, err
			}
			if op, err = l.ended(ctx, op); err != nil {
				return Red, nil, err
			}
			outcome, problems, err := l.inspect(ctx, o, op)
			if outcome == ResidueFree && op.Reason != "CANCELLED" {
				problems = append(problems, "the reason is "+op.Reason)
			}
			return outcome, problems, err
		}})
	}
	return out
}

// disturbance breaks something and returns when it is there again.
type disturbance func(context.Context, *lane) error

// serverFaults disturb the servers while several tenants are being made.
func serverFaults(seed uint64) []fault {
	postgres := func(ctx context.Context, l *lane) error { return l.RestartPostgres(ctx, devstack.Immediate) }
	temporal := func(ctx context.Context, l *lane) error {
		if err := l.Temporal.Kill(); err != nil {
			return err
		}
		return l.StartTemporal(ctx)
	}
	redis := func(ctx context.Context, l *lane) error { return l.FlushRedis(ctx) }
	every := func(ctx context.Context, l *lane) error {
		return errors.Join(postgres(ctx, l), temporal(ctx, l), redis(ctx, l))
	}
	var out []fault
	for i, f := range []struct {
		what    string
		disturb disturbance
	}{
		{"Postgres stopped immediate and started", postgres}, {"Temporal killed and started", temporal},
		{"Redis flushed", redis}, {"Postgres, Temporal and Redis one after the other", every},
		{"worker frozen, replaced, and thawed again", zombie},
	} {
		out = append(out, fault{"server fault", f.what, amid(3, seed+uint64(i), f.disturb)}) //nolint:gosec // a small index
	}
	return append(out, fault{"API fault", "API killed between the central commit and the start", unstarted},
		fault{"API fault", "API killed at any moment under load", underLoad(seed)})
}

// amid orders n tenants, disturbs when one of them is a few steps on, and
// wants every one of them whole.
func amid(n int, seed uint64, disturb disturbance) func(context.Context, *lane) (Outcome, []string, error) {
	return func(ctx context.Context, l *lane) (Outcome, []string, error) {
		random := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // a choice that can be repeated
		if err := l.KillWorker(); err != nil {
			return Red, nil, err
		}
		if err := l.StartWorker(ctx); err != nil {
			return Red, nil, err
		}
		orders, ops := make([]systest.Order, n), make([]systest.Operation, n)
		for i := range n {
			orders[i] = l.order()
			var err error
			if ops[i], err = l.Order(ctx, orders[i]); err != nil {
				return Red, nil, err
			}
		}
		far := random.IntN(6)
		_, err := l.WaitOperationUntil(ctx, ops[0].ID, func(op systest.Operation) bool { return op.Ended() || done(op) >= far })
		if err != nil {
			return Red, nil, err
		}
		if err := disturb(ctx, l); err != nil {
			return Red, nil, fmt.Errorf("the fault itself: %w", err)
		}
		return l.inspectAll(ctx, orders, ops)
	}
}

// zombie freezes the worker until it is taken for dead and another one has its
// work, then lets it go on with what it had begun. It returns when that is over.
func zombie(ctx context.Context, l *lane) error {
	if err := systest.Freeze(l.Worker()); err != nil {
		return err
	}
	older, err := l.StartSecondWorker(ctx)
	if err != nil {
		return errors.Join(err, older.Kill())
	}
	// Twice the time after which the frozen one is missed.
	missed := time.NewTimer(10 * time.Second)
	defer missed.Stop()
	select {
	case <-missed.C:
	case <-ctx.Done():
	}
	if err := systest.Thaw(older); err != nil {
		return err
	}
	return older.Stop() // it ends what it has begun
}

func done(op systest.Operation) int {
	n := 0
	for _, s := range op.Steps {
		if s.State == "done" {
			n++
		}
	}
	return n
}

// inspectAll wants every operation to succeed.
func (l *lane) inspectAll(ctx context.Context, orders []systest.Order, ops []systest.Operation) (Outcome, []string, error) {
	var problems []string
	for i := range ops {
		op, err := l.ended(ctx, ops[i])
		if err != nil {
			return Red, problems, err
		}
		outcome, found, err := l.inspect(ctx, orders[i], op)
		if err != nil {
			return Red, problems, err
		}
		if problems = append(problems, found...); outcome != Provisioned {
			problems = append(problems, fmt.Sprintf("%s ended %s (%s)", orders[i].Slug, op.State, op.Reason))
		}
	}
	return Provisioned, problems, nil
}

// unstarted: the commit is all there is; worker and API are dead.
func unstarted(ctx context.Context, l *lane) (Outcome, []string, error) {
	if err := l.KillWorker(); err != nil {
		return Red, nil, err
	}
	o := l.order()
	op, err := l.Order(ctx, o)
	if err != nil {
		return Red, nil, err
	}
	if err := l.KillAPI(); err != nil {
		return Red, nil, err
	}
	status, err := l.WorkflowStatus(ctx, op.WorkflowID)
	if err != nil || status != "" {
		return Red, nil, errors.Join(fmt.Errorf("the workflow is there already: %q", status), err)
	}
	if err := errors.Join(l.StartWorker(ctx), l.StartAPI(ctx)); err != nil {
		return Red, nil, err
	}
	return l.inspectAll(ctx, []systest.Order{o}, []systest.Operation{op})
}

// underLoad kills the API while messages are on their way. Whatever a sender
// heard, or did not hear, the repetition of its message is accepted and there
// is one whole tenant.
func underLoad(seed uint64) func(context.Context, *lane) (Outcome, []string, error) {
	return func(ctx context.Context, l *lane) (Outcome, []string, error) {
		const n = 6
		random := rand.New(rand.NewPCG(seed, 2)) //nolint:gosec // a choice that can be repeated
		orders, messages := make([]systest.Order, n), make([]systest.Message, n)
		for i := range n {
			orders[i] = l.order()
			body, err := json.Marshal(orders[i])
			if err != nil {
				return Red, nil, err
			}
			if messages[i], err = l.Hook.Sign(systest.NewMessageID(), time.Now(), body); err != nil {
				return Red, nil, err
			}
		}
		heard := make(chan systest.Answer, n)
		for _, m := range messages {
			go func() {
				a, _ := l.Send(ctx, m) // a broken connection is what is wanted here
				heard <- a
			}()
		}
		moment := time.NewTimer(time.Duration(random.IntN(40)) * time.Millisecond)
		defer moment.Stop()
		<-moment.C
		if err := l.KillAPI(); err != nil {
			return Red, nil, err
		}
		for range n {
			<-heard
		}
		if err := errors.Join(l.StartAPI(ctx), l.KillWorker(), l.StartWorker(ctx)); err != nil {
			return Red, nil, err
		}
		ops := make([]systest.Operation, n)
		for i, m := range messages {
			a, err := l.Send(ctx, m)
			if err == nil && a.Status == http.StatusAccepted {
				ops[i], err = systest.Accepted(a)
			} else if err == nil {
				err = fmt.Errorf("the repeated message: %s", a)
			}
			if err != nil {
				return Red, nil, err
			}
		}
		return l.inspectAll(ctx, orders, ops)
	}
}

func (l *lane) fault(ctx context.Context, f fault) Result {
	began := time.Now()
	result := Result{Path: f.path, What: f.what}
	var err error
	result.Outcome, result.Problems, err = f.run(ctx, l)
	result.conclude(l, began, err)
	return result
}
