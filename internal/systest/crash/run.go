package crash

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Options chooses what is run.
type Options struct {
	// Points is how many points of the matrix are run, chosen by Seed; 0 is
	// all, and the faults besides.
	Points int
	Seed   uint64
	// FaultsOnly leaves the matrix out.
	FaultsOnly bool
	// Lanes is how many systems run beside each other; 0 is 2.
	Lanes int
	// Sabotage is a compensation that does nothing: the harness must see it.
	// Only paths that execute it are run.
	Sabotage string
	// PointTime bounds a point, so that one that never ends is red; 0 is 2 min.
	PointTime time.Duration
	// Progress hears of every result; it is called by one goroutine at a time.
	Progress func(Result)
	// Say hears what is being done, and the logs of what went wrong.
	Say func(format string, args ...any)
}

type run struct {
	Options
	mu      sync.Mutex
	results []Result
	lanes   []*lane
}

// Run runs the matrix. Red results are not an error; having no system is.
func Run(ctx context.Context, o Options) (Summary, error) {
	if o.Lanes <= 0 {
		o.Lanes = 2
	}
	if o.PointTime <= 0 {
		o.PointTime = 2 * time.Minute
	}
	r := &run{Options: o}
	began := time.Now()
	err := r.start(ctx)
	if err == nil {
		err = r.all(ctx)
	}
	for _, l := range r.lanes {
		err = errors.Join(err, l.Close())
	}
	return Summary{Results: r.results, Took: time.Since(began)}, err
}

func (r *run) start(ctx context.Context) error {
	r.say("starting %d systems", r.Lanes)
	var mu sync.Mutex
	var errs []error
	var all sync.WaitGroup
	for i := range r.Lanes {
		all.Go(func() {
			l, err := newLane(ctx, string(rune('a'+i)), r.Sabotage)
			mu.Lock()
			defer mu.Unlock()
			if errs = append(errs, err); err == nil {
				r.lanes = append(r.lanes, l)
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

func (r *run) all(ctx context.Context) error {
	paths, err := r.discover(ctx)
	if err != nil {
		return err
	}
	var points []Point
	for _, p := range paths {
		points = append(points, p.Points()...)
	}
	points = sample(points, r.Points, r.Seed)
	if r.FaultsOnly {
		points = nil
	}
	r.say("%d points on %d paths", len(points), len(paths))
	jobs := make([]func(context.Context, *lane) Result, 0, len(points)+16)
	for _, p := range points {
		jobs = append(jobs, func(ctx context.Context, l *lane) Result { return l.kill(ctx, p) })
	}
	if (r.Points == 0 || r.FaultsOnly) && r.Sabotage == "" {
		faults := append(cancellations(sample(paths[0].Points(), 6, r.Seed)), serverFaults(r.Seed)...)
		for _, f := range faults {
			jobs = append(jobs, func(ctx context.Context, l *lane) Result { return l.fault(ctx, f) })
		}
	}
	r.spread(ctx, jobs)
	if r.Sabotage == "" {
		r.spreadAll(ctx, func(ctx context.Context, l *lane) Result { return l.invited(ctx) })
	}
	return ctx.Err()
}

// discover makes a run of every path without a kill. The success path tells
// the steps; a failure is injected at each of them, before it runs and after.
func (r *run) discover(ctx context.Context) ([]*Path, error) {
	success, result := r.lanes[0].dry(ctx, "")
	r.note(r.lanes[0], result)
	if result.Outcome != Provisioned {
		return nil, fmt.Errorf("the success path without a kill: %s", strings.Join(result.Problems, "; "))
	}
	if r.FaultsOnly {
		return []*Path{&success}, nil
	}
	var fails []string
	for _, a := range success.Executed {
		fails = append(fails, a+":"+Before, a+":"+After)
	}
	if r.Sabotage != "" {
		// The last step fails before it runs: everything is taken back.
		fails = []string{success.Executed[len(success.Executed)-1] + ":" + Before}
	}
	paths := make([]*Path, len(fails))
	jobs := make([]func(context.Context, *lane) Result, len(fails))
	for i, fail := range fails {
		jobs[i] = func(ctx context.Context, l *lane) Result {
			path, result := l.dry(ctx, fail)
			paths[i] = &path
			return result
		}
	}
	r.spread(ctx, jobs)
	paths = slices.DeleteFunc(paths, func(p *Path) bool { return p == nil })
	if r.Sabotage != "" {
		return sabotaged(paths, r.Sabotage)
	}
	return append([]*Path{&success}, paths...), ctx.Err()
}

func sabotaged(paths []*Path, compensation string) ([]*Path, error) {
	paths = slices.DeleteFunc(paths, func(p *Path) bool { return !slices.Contains(p.Executed, compensation) })
	if len(paths) == 0 {
		return nil, fmt.Errorf("no path executes %q", compensation)
	}
	return paths, nil
}

// spread gives the jobs to the lanes as they become free.
func (r *run) spread(ctx context.Context, jobs []func(context.Context, *lane) Result) {
	next := make(chan func(context.Context, *lane) Result)
	var all sync.WaitGroup
	for _, l := range r.lanes {
		all.Go(func() {
			for job := range next {
				r.one(ctx, l, job)
			}
		})
	}
	for _, job := range jobs {
		if ctx.Err() != nil {
			break
		}
		next <- job
	}
	close(next)
	all.Wait()
}

// spreadAll runs a job on every lane.
func (r *run) spreadAll(ctx context.Context, job func(context.Context, *lane) Result) {
	var all sync.WaitGroup
	for _, l := range r.lanes {
		all.Go(func() { r.one(ctx, l, job) })
	}
	all.Wait()
}

func (r *run) one(ctx context.Context, l *lane, job func(context.Context, *lane) Result) {
	point, cancel := context.WithTimeout(ctx, r.PointTime)
	defer cancel()
	r.note(l, job(point, l))
}

func (r *run) note(l *lane, result Result) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.results = append(r.results, result)
	if r.Progress != nil {
		r.Progress(result)
	}
	if result.Outcome == Red && r.Sabotage == "" {
		r.say("%s", l.Logs(15))
	}
}

func (r *run) say(format string, args ...any) {
	if r.Say != nil {
		r.Say(format, args...)
	}
}
