package worker

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/client"

	"tenantry/activities"
	"tenantry/internal/ids"
	"tenantry/internal/operations"
	"tenantry/internal/outbox"
)

const (
	// startBatch times callTimeout over parallel stays within a claim's 30 s.
	startBatch  = 20
	parallel    = 8
	callTimeout = 5 * time.Second
	// drainTimeout bounds one tenant of a sweep.
	drainTimeout = time.Minute
	// cancelAgain is the pause before a wish to cancel is carried again.
	cancelAgain = 15 * time.Second
	tick        = time.Second
)

// relay carries committed rows out: start intents and wishes to cancel to
// Temporal, mail to the mail server (W1). It ends only with its context; an
// error is logged by code and what it was about is tried again.
type relay struct {
	log    *slog.Logger
	client client.Client
	sweep  time.Duration

	claim   func(ctx context.Context, limit int) ([]outbox.Row, error)
	done    func(ctx context.Context, id uuid.UUID) error
	failed  func(ctx context.Context, id uuid.UUID, code string) error
	cancels func(context.Context) ([]operations.Operation, error)
	dirty   func(ctx context.Context, since time.Time) ([]ids.Tenant, time.Time, error)
	drain   func(context.Context, ids.Tenant) error
	listen  func(context.Context) <-chan ids.Tenant

	// down: Temporal did not answer, so nothing is claimed until it does.
	down bool
	// asked is when a cancellation was last carried, by workflow id.
	asked map[string]time.Time
	// since is the central time at which the last complete sweep began;
	// again are the tenants whose drain failed in it.
	since time.Time
	again map[ids.Tenant]bool
	// busy are the tenants being drained, by ring or by sweep.
	mu   sync.Mutex
	busy map[ids.Tenant]bool
}

func newRelay(d Deps) *relay {
	return &relay{
		log: d.Log, client: d.Client, sweep: d.Options.SweepEvery,
		claim: func(ctx context.Context, limit int) ([]outbox.Row, error) {
			return outbox.ClaimStarts(ctx, d.Central, d.Now(), limit)
		},
		done: func(ctx context.Context, id uuid.UUID) error { return outbox.Done(ctx, d.Central, id, d.Now()) },
		failed: func(ctx context.Context, id uuid.UUID, code string) error {
			return outbox.Failed(ctx, d.Central, id, d.Now(), code)
		},
		cancels: func(ctx context.Context) ([]operations.Operation, error) {
			return operations.CancelRequested(ctx, d.Central)
		},
		dirty: func(ctx context.Context, since time.Time) ([]ids.Tenant, time.Time, error) {
			return outbox.DirtySince(ctx, d.Central, since)
		},
		drain:  func(ctx context.Context, t ids.Tenant) error { return drainTenant(ctx, d.Fleet, t) },
		listen: d.Bell.Listen,
		asked:  map[string]time.Time{}, again: map[ids.Tenant]bool{}, busy: map[ids.Tenant]bool{},
	}
}

func drainTenant(ctx context.Context, f *activities.Fleet, t ids.Tenant) error {
	lease, err := f.Lease(ctx, t)
	if err != nil {
		return err
	}
	return activities.Sweep(ctx, lease, f.Drain)
}

// run works until ctx ends. The two halves do not wait for one another: a
// mail server that hangs must not delay a start.
func (r *relay) run(ctx context.Context) {
	central := make(chan struct{}, 1)
	tenants := make(chan ids.Tenant, 64)
	var loops sync.WaitGroup
	loops.Go(func() { r.hear(ctx, central, tenants) })
	loops.Go(func() { r.centralLoop(ctx, central) })
	loops.Go(func() { r.tenantLoop(ctx, tenants) })
	loops.Wait()
}

// hear sorts the rings. A ring that finds its bell busy is dropped: the
// ticker finds the row.
func (r *relay) hear(ctx context.Context, central chan<- struct{}, tenants chan<- ids.Tenant) {
	for t := range r.listen(ctx) {
		if t.IsZero() {
			select {
			case central <- struct{}{}:
			default:
			}
			continue
		}
		select {
		case tenants <- t:
		default:
		}
	}
}

func (r *relay) centralLoop(ctx context.Context, ring <-chan struct{}) {
	t := time.NewTicker(tick)
	defer t.Stop()
	for {
		// What began is finished: a claim given up waits half a minute.
		r.centralOnce(context.WithoutCancel(ctx))
		select {
		case <-ctx.Done():
			return
		case <-ring:
		case <-t.C:
		}
	}
}

// centralOnce carries what waits in the central outbox.
func (r *relay) centralOnce(ctx context.Context) {
	if r.down && !r.healthy(ctx) {
		return
	}
	r.down = false
	for r.starts(ctx) == startBatch && !r.down {
	}
	r.cancellations(ctx)
}

func (r *relay) healthy(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	_, err := r.client.CheckHealth(ctx, &client.CheckHealthRequest{})
	return err == nil
}

// starts carries one batch of intents and answers how many there were.
func (r *relay) starts(ctx context.Context) int {
	claimed, cancel := context.WithTimeout(ctx, callTimeout)
	rows, err := r.claim(claimed, startBatch)
	cancel()
	if err != nil {
		r.log.Warn("start intents not claimed", "code", codeOf(err))
		return 0
	}
	down := make([]bool, len(rows))
	each(rows, func(i int, row outbox.Row) { down[i] = r.carry(ctx, row) })
	for _, d := range down {
		r.down = r.down || d
	}
	return len(rows)
}

// carry starts one workflow and answers whether Temporal is down.
func (r *relay) carry(ctx context.Context, row outbox.Row) bool {
	call, cancel := context.WithTimeout(ctx, callTimeout)
	err := start(call, r.client, row)
	cancel()
	note, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if err == nil {
		if err := r.done(note, row.ID); err != nil {
			r.log.Warn("start intent carried but not ended, will repeat", "intent", row.ID, "code", codeOf(err))
		}
		return false
	}
	code := codeOf(err)
	if errors.Is(err, errUnknownWorkflow) {
		code = codeUnknownWorkflow
	}
	r.log.Warn("start intent not carried, will try again", "intent", row.ID, "tenant", row.TenantID, "attempts", row.Attempts, "code", code)
	if err := r.failed(note, row.ID, code); err != nil {
		r.log.Warn("start intent not postponed", "intent", row.ID, "code", codeOf(err))
	}
	return temporalDown(err)
}

// cancellations carries the wishes of open operations.
func (r *relay) cancellations(ctx context.Context) {
	ctx, stop := context.WithTimeout(ctx, 4*callTimeout)
	defer stop()
	open, err := r.cancels(ctx)
	if err != nil {
		r.log.Warn("cancellations not read", "code", codeOf(err))
		return
	}
	now, asked := time.Now(), map[string]time.Time{} // monotonic: only a pause
	for _, o := range open {
		asked[o.WorkflowID] = r.asked[o.WorkflowID]
		if now.Sub(asked[o.WorkflowID]) < cancelAgain {
			continue
		}
		call, done := context.WithTimeout(ctx, callTimeout)
		err := cancel(call, r.client, o)
		done()
		if err != nil {
			r.log.Warn("cancellation not carried, will try again", "operation", o.ID, "code", codeOf(err))
			r.down = r.down || temporalDown(err)
			continue
		}
		asked[o.WorkflowID] = now
	}
	r.asked = asked
}

// each runs fn over items, a few at a time, and waits.
func each[T any](items []T, fn func(int, T)) {
	free := make(chan struct{}, parallel)
	var all sync.WaitGroup
	for i, item := range items {
		free <- struct{}{}
		all.Go(func() {
			defer func() { <-free }()
			fn(i, item)
		})
	}
	all.Wait()
}
