// Package expiry deletes what a tenant's database need not remember any more:
// the nightly pass runs it in small batches, each its own transaction.
//
// Nothing that still means something is ever deleted. A refresh token is kept,
// used or not, until its session has ended for good: a thief who comes with it
// weeks later is still noticed (A4). Everything else goes once no answer
// depends on it: a row that has expired and a row that is gone read alike.
package expiry

import (
	"context"
	"errors"
	"time"

	"tenantry/internal/db"
)

const (
	// slack is how long an expired row stays: a clock that was an hour ahead
	// for a while deletes nothing that lives.
	slack = 2 * time.Hour
	// sessionsKept is how long an ended session stays, for the notices about it.
	sessionsKept = 30 * 24 * time.Hour
	// mailsKept is how long a mail that was sent stays in the outbox.
	mailsKept = 7 * 24 * time.Hour
	// changesKept is longer than the link that undoes a change of address works.
	changesKept = 30 * 24 * time.Hour
	// resetsKept is how long administrators see how a factor was reset.
	resetsKept = 90 * 24 * time.Hour
)

// Sweeper deletes up to limit rows of a tenant's and answers how many.
type Sweeper func(ctx context.Context, l *db.Lease, now time.Time, limit int) (int, error)

// Each runs sweepers one after the other and answers the most that one has
// deleted: who gets limit asks again. One that fails does not keep the others.
func Each(sweepers ...Sweeper) Sweeper {
	return func(ctx context.Context, l *db.Lease, now time.Time, limit int) (most int, err error) {
		for _, sweep := range sweepers {
			n, failed := sweep(ctx, l, now, limit)
			most, err = max(most, n), errors.Join(err, failed)
		}
		return most, err
	}
}

// Sweep deletes of each kind up to limit.
func Sweep(ctx context.Context, l *db.Lease, now time.Time, limit int) (int, error) {
	all := make([]Sweeper, len(kinds))
	for i, k := range kinds {
		all[i] = k.sweep
	}
	return Each(all...)(ctx, l, now, limit)
}
