package crash

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"tenantry/internal/systest"
)

// lane is one system that runs one point after the other.
type lane struct {
	*systest.System
	name string
	skip string

	mu      sync.Mutex
	count   int
	tenants []systest.Order // those that must get their invitation
	known   map[string]bool // what verify has found already
}

// newLane starts a system as production is: a Postgres that syncs.
func newLane(ctx context.Context, name, skip string) (*lane, error) {
	s, err := systest.Start(ctx, systest.Options{Tags: "crashpoints", Fsync: true})
	if err != nil {
		return nil, fmt.Errorf("lane %s: %w", name, err)
	}
	return &lane{System: s, name: name, skip: skip, known: map[string]bool{}}, nil
}

func (l *lane) order() systest.Order {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count++
	return systest.NewOrder(fmt.Sprintf("lane%s-%d", l.name, l.count))
}

// crashWorker replaces the worker by one that follows spec.
func (l *lane) crashWorker(spec, marker string) error {
	if err := l.KillWorker(); err != nil {
		return err
	}
	_, err := l.SpawnWorker("TENANTRY_CRASH="+spec, "TENANTRY_CRASH_MARKER="+marker)
	return err
}

func (l *lane) marker(o systest.Order) string { return filepath.Join(l.Dir, o.Slug+".marker") }

// dry runs a path without a kill and learns from it.
func (l *lane) dry(ctx context.Context, fail string) (Path, Result) {
	began := time.Now()
	path, o := Path{Fail: fail}, l.order()
	result := Result{Path: path.Name(), What: path.Name() + ", no kill"}
	err := func() error {
		if err := l.crashWorker(spec(fail, "", l.skip), l.marker(o)); err != nil {
			return err
		}
		op, err := l.Order(ctx, o)
		if err != nil {
			return err
		}
		if op, err = l.ended(ctx, op); err != nil {
			return err
		}
		if path.Executed, err = l.Executed(ctx, op.WorkflowID); err != nil {
			return err
		}
		result.Outcome, result.Problems, err = l.inspect(ctx, o, op)
		path.Want, path.Reason = result.Outcome, op.Reason
		if fail == "" && result.Outcome == ResidueFree || strings.HasSuffix(fail, ":"+Before) && result.Outcome == Provisioned {
			result.problem("ended %s (%s)", op.State, op.Reason)
		}
		return err
	}()
	result.conclude(l, began, err)
	return path, result
}

// kill runs one point.
func (l *lane) kill(ctx context.Context, p Point) Result {
	began := time.Now()
	o := l.order()
	result := Result{Path: p.Path.Name(), What: p.String()}
	err := func() error {
		crash := spec(p.Path.Fail, p.Activity+":"+p.When, l.skip)
		op, err := l.untilKilled(ctx, o, crash)
		if err != nil {
			return err
		}
		killed := time.Now()
		if err := l.crashWorker(crash, l.marker(o)); err != nil { // the marker keeps this one alive
			return err
		}
		if op, err = l.ended(ctx, op); err != nil {
			return err
		}
		result.Recovery = time.Since(killed)
		result.Outcome, result.Problems, err = l.inspect(ctx, o, op)
		if result.Outcome != p.Path.Want || op.Reason != p.Path.Reason {
			result.problem("ended %s (%s); without the kill it ends %s (%s)", result.Outcome, op.Reason, p.Path.Want, p.Path.Reason)
		}
		return err
	}()
	result.conclude(l, began, err)
	return result
}

// untilKilled orders a tenant from a worker that dies on the way.
func (l *lane) untilKilled(ctx context.Context, o systest.Order, crash string) (systest.Operation, error) {
	marker := l.marker(o)
	if err := l.crashWorker(crash, marker); err != nil {
		return systest.Operation{}, err
	}
	op, err := l.Order(ctx, o)
	if err != nil {
		return op, err
	}
	waiting, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	_ = l.Worker().Wait(waiting) // how it ended is said by the marker
	if l.Worker().Alive() {
		now, err := l.Operation(ctx, op.ID)
		return op, errors.Join(fmt.Errorf("the worker was not killed; the operation is %s (%s)", now.State, now.Reason), err)
	}
	if _, err := os.Stat(marker); err != nil {
		return op, l.Worker().Failure(errors.New("the worker died before its point"))
	}
	return op, nil
}

// ended waits for the operation's end and for its workflow to be closed.
func (l *lane) ended(ctx context.Context, op systest.Operation) (systest.Operation, error) {
	done, err := l.WaitOperation(ctx, op.ID)
	if err != nil {
		return op, err
	}
	status, err := l.WaitWorkflow(ctx, done.WorkflowID)
	want := "Completed"
	if done.Is("failed") {
		want = "Failed"
	}
	if err == nil && status != want {
		err = fmt.Errorf("the operation is %s and its workflow %s", done.State, status)
	}
	return done, err
}

// inspect looks at an ended tenant.
func (l *lane) inspect(ctx context.Context, o systest.Order, op systest.Operation) (Outcome, []string, error) {
	outcome, look := ResidueFree, l.Residue
	if op.Is("succeeded") {
		outcome, look = Provisioned, l.Missing
		l.mu.Lock()
		l.tenants = append(l.tenants, o)
		l.mu.Unlock()
	}
	problems, err := look(ctx, op.TenantID, o.Slug)
	if err != nil {
		return outcome, problems, err
	}
	found, err := l.verified(ctx)
	return outcome, append(problems, found...), err
}

// verified answers what `tenantry verify` finds that was not there before:
// each tenant answers for its own residue.
func (l *lane) verified(ctx context.Context) ([]string, error) {
	report, err := l.Verify(ctx)
	if err != nil {
		return nil, err
	}
	var problems []string
	for _, f := range report.Findings {
		if what := fmt.Sprintf("tenantry verify: %s %s %s", f.Severity, f.Code, f.Subject); !l.known[what] {
			l.known[what] = true
			problems = append(problems, what)
		}
	}
	if len(report.Notes) > 0 {
		problems = append(problems, "tenantry verify could not look at everything: "+strings.Join(report.Notes, "; "))
	}
	return problems, nil
}

// invited waits for the invitation of every tenant that was provisioned: what
// a crash held back comes when its claim is over.
func (l *lane) invited(ctx context.Context) Result {
	began := time.Now()
	result := Result{Path: "invitations", What: fmt.Sprintf("lane %s: every owner is invited", l.name), Outcome: Provisioned}
	err := func() error {
		if err := l.KillWorker(); err != nil {
			return err
		}
		if err := l.StartWorker(ctx); err != nil {
			return err
		}
		waiting, cancel := context.WithTimeout(ctx, 2*time.Minute)
		defer cancel()
		for _, o := range l.tenants {
			if _, err := l.Link(waiting, o.OwnerEmail, "/m/invitation"); err != nil {
				result.problem("%s: %v", o.Slug, err)
			}
		}
		return nil
	}()
	result.conclude(l, began, err)
	return result
}
