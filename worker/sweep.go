package worker

import (
	"context"
	"sync"
	"time"

	"tenantry/internal/ids"
)

// tenantLoop drains tenants: those whose bell rings at once, those that are
// marked at each sweep.
func (r *relay) tenantLoop(ctx context.Context, rings <-chan ids.Tenant) {
	var all sync.WaitGroup
	defer all.Wait()
	all.Go(func() { r.ringLoop(ctx, rings) })
	for {
		r.sweepOnce(ctx)
		if !pause(ctx, r.sweep) {
			return
		}
	}
}

// ringLoop answers rings beside the sweep, a few at a time.
func (r *relay) ringLoop(ctx context.Context, rings <-chan ids.Tenant) {
	free := make(chan struct{}, parallel)
	var all sync.WaitGroup
	defer all.Wait()
	for {
		select {
		case <-ctx.Done():
			return
		case t := <-rings:
			free <- struct{}{}
			all.Go(func() {
				defer func() { <-free }()
				r.drainOne(ctx, t)
			})
		}
	}
}

// sweepOnce visits every active tenant whose mark runs longer than the start
// of the last complete sweep, and those that failed in it (W1). A tenant that
// fails does not make the sweep incomplete: it is kept by name, and a new
// process, which has no names, begins with every mark there is.
func (r *relay) sweepOnce(ctx context.Context) {
	read, cancel := context.WithTimeout(ctx, callTimeout)
	tenants, began, err := r.dirty(read, r.since)
	cancel()
	if err != nil {
		r.log.Warn("marks not read", "code", codeOf(err))
		return
	}
	due := map[ids.Tenant]bool{}
	for _, t := range tenants {
		due[t] = true
	}
	for t := range r.again {
		if !due[t] {
			tenants = append(tenants, t)
		}
	}
	outcomes := make([]outcome, len(tenants))
	each(tenants, func(i int, t ids.Tenant) {
		if ctx.Err() == nil {
			outcomes[i] = r.drainOne(ctx, t)
		}
	})
	if ctx.Err() != nil {
		return
	}
	r.since, r.again = began, map[ids.Tenant]bool{}
	for i, t := range tenants {
		if outcomes[i] == drainFailed {
			r.again[t] = true
		}
	}
}

type outcome int

const (
	drained outcome = iota
	drainFailed
)

// drainOne drains a tenant unless it is being drained. What began is
// finished, so ctx only says whether to begin.
func (r *relay) drainOne(ctx context.Context, t ids.Tenant) outcome {
	r.mu.Lock()
	busy := r.busy[t]
	r.busy[t] = true
	r.mu.Unlock()
	if busy {
		return drainFailed // what was committed since it began may be missed
	}
	defer func() {
		r.mu.Lock()
		delete(r.busy, t)
		r.mu.Unlock()
	}()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	began := time.Now() // monotonic: only a duration for the log
	err := r.drain(ctx, t)
	if err == nil {
		return drained
	}
	if refusedForGood(err) {
		return drained
	}
	r.log.Warn("outbox not drained, will try again", "tenant", t, "code", codeOf(err), "took", time.Since(began))
	return drainFailed
}
