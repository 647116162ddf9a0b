// Package worker is the process that makes committed wishes come true: it runs
// the workflows and their activities, carries the outbox to Temporal and to
// the mail server, and keeps the schedules.
//
// Nothing is kept in the process: killed anywhere, another one goes on from
// the databases and Temporal.
package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/interceptor"
	sdk "go.temporal.io/sdk/worker"

	"tenantry/activities"
	"tenantry/internal/clock"
	"tenantry/internal/db"
	"tenantry/internal/ids"
	"tenantry/internal/outbox"
	"tenantry/workflows"
)

// Deps is what the worker uses.
type Deps struct {
	Log *slog.Logger
	Now clock.Clock
	// Client is the client of Dial.
	Client client.Client
	// Namespace is the client's.
	Namespace string
	// Identity is the client's identity; it finds our pollers.
	Identity string
	Central  *db.Central
	Bell     *outbox.Bell

	Provisioning *activities.Provisioning
	Lifecycle    *activities.Lifecycle
	Fleet        *activities.Fleet

	Options Options
}

// Options are the knobs; zero values are the defaults.
type Options struct {
	// StickyTimeout is how long a workflow waits for the worker that knows
	// it (5 s): it dominates the recovery from a killed worker.
	StickyTimeout time.Duration
	// Activities bounds the activities of each queue at one time (20).
	Activities int
	// SweepEvery is the pause between sweeps of marked tenants (2 s).
	SweepEvery time.Duration
	// Nightly is the hour of the nightly pass, UTC (2).
	Nightly int
}

// stopTimeout outlasts the longest attempt of an activity (O8).
const stopTimeout = workflows.Longest + 5*time.Second

// Worker is one worker process.
type Worker struct {
	d     Deps
	relay *relay
}

// New checks what is given and starts nothing.
func New(d Deps) (*Worker, error) {
	if d.Log == nil || d.Now == nil || d.Client == nil || d.Central == nil || d.Provisioning == nil || d.Lifecycle == nil || d.Fleet == nil {
		return nil, errors.New("worker: a dependency is missing")
	}
	o := &d.Options
	if o.Activities == 0 {
		o.Activities = 20
	}
	if o.SweepEvery == 0 {
		o.SweepEvery = 2 * time.Second
	}
	if o.Nightly == 0 {
		o.Nightly = 2
	}
	if d.Identity == "" {
		host, _ := os.Hostname() // only a label
		d.Identity = fmt.Sprintf("%d@%s", os.Getpid(), host)
	}
	return &Worker{d: d, relay: newRelay(d)}, nil
}

// Run works until ctx ends, then takes nothing more, lets what runs end, and
// answers nil. An error is one that a restart may mend.
func (w *Worker) Run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var loops sync.WaitGroup
	loops.Go(func() { w.relay.run(ctx) })
	loops.Go(func() { w.keepSchedules(ctx) })
	queues := []string{ids.QueueProvisioning, ids.QueueFleet}
	fatal := make([]error, len(queues))
	for i, queue := range queues {
		loops.Go(func() {
			if err := w.serve(ctx, queue); err != nil {
				fatal[i] = fmt.Errorf("queue %s: %w", queue, err)
				stop() // the process ends whole: half a worker looks alive
			}
		})
	}
	loops.Wait()
	return errors.Join(fatal...)
}

// serve polls one queue until ctx ends, and drains. Temporal may be away when
// it begins.
func (w *Worker) serve(ctx context.Context, queue string) error {
	for wait := 250 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		fatal := make(chan error, 1)
		s := w.build(queue, fatal)
		err := s.Start()
		if err == nil {
			w.d.Log.Info("worker polls", "queue", queue)
			select {
			case <-ctx.Done():
			case err = <-fatal:
			}
			s.Stop()
			w.d.Log.Info("worker drained", "queue", queue)
			return err
		}
		w.d.Log.Warn("worker cannot reach Temporal, will try again", "queue", queue, "code", codeOf(err))
		s.Stop()
		if !pause(ctx, wait) {
			return nil
		}
	}
}

func (w *Worker) build(queue string, fatal chan<- error) sdk.Worker {
	s := sdk.New(w.d.Client, queue, sdk.Options{
		Identity:                           w.d.Identity,
		StickyScheduleToStartTimeout:       w.d.Options.StickyTimeout,
		WorkerStopTimeout:                  stopTimeout,
		MaxConcurrentActivityExecutionSize: w.d.Options.Activities,
		MaxHeartbeatThrottleInterval:       beat,
		DisableRegistrationAliasing:        true,
		Interceptors:                       append([]interceptor.WorkerInterceptor{&heartbeats{}}, crashPoints()...),
		OnFatalError:                       func(err error) { fatal <- err },
	})
	workflows.Register(s, queue)
	found := w.d.Fleet.Activities()
	if queue == ids.QueueProvisioning {
		found = append(w.d.Provisioning.Activities(), w.d.Lifecycle.Activities()...)
	}
	for _, a := range found {
		s.RegisterActivityWithOptions(a.Func, activity.RegisterOptions{Name: a.Name})
	}
	return s
}

// Ready answers nil when Temporal has seen both kinds of pollers of this
// process at both queues within the time of a long poll.
func (w *Worker) Ready(ctx context.Context) error {
	const recent = 90 * time.Second
	for _, queue := range []string{ids.QueueProvisioning, ids.QueueFleet} {
		for _, kind := range []enumspb.TaskQueueType{enumspb.TASK_QUEUE_TYPE_WORKFLOW, enumspb.TASK_QUEUE_TYPE_ACTIVITY} {
			d, err := w.d.Client.DescribeTaskQueue(ctx, queue, kind)
			if err != nil {
				return fmt.Errorf("queue %s: %s", queue, codeOf(err))
			}
			seen := false
			for _, p := range d.GetPollers() {
				seen = seen || p.GetIdentity() == w.d.Identity && w.d.Now().Sub(p.GetLastAccessTime().AsTime()) < recent
			}
			if !seen {
				return fmt.Errorf("queue %s: no %s poller of this process", queue, kind)
			}
		}
	}
	return nil
}

// pause answers false when ctx has ended.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
