// Package attempts counts guesses at a secret (A9). An attempt is counted as
// failed before it is checked, in a transaction of its own: neither a rollback
// nor a crash nor a storm of parallel calls gives one back, so of any number
// of guesses in a row at most [Max] are ever checked.
//
// A subject is a keyed hash, so that an address without an account costs the
// same and leaves no address behind. What a success clears is only the count
// of its own kind: strangers who guess never lock out the owner's device, and
// the owner's logins never give strangers a new start.
package attempts

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"time"

	"github.com/google/uuid"

	"tenantry/internal/audit"
	"tenantry/internal/db"
	"tenantry/internal/secrets"
)

// Kinds are counted apart.
const (
	// Stranger is a password from a device that the account does not know.
	Stranger = "stranger"
	// Known is a password from a device that has logged in before.
	Known = "known"
	// MFA is a second factor.
	MFA = "mfa"
)

// The schedule of A9.
const (
	// Free is how many attempts need no wait between them.
	Free = 5
	// Max is how many failures in a row there may be. After that no wait helps:
	// only what clears the count, a link in a mail to the address.
	Max = 100
	// firstWait doubles with each failure up to maxWait.
	firstWait = time.Second
	maxWait   = 15 * time.Minute
)

// idle is how long the counter of nobody's account is kept.
const idle = 24 * time.Hour

// Verdict says whether an attempt may be checked.
type Verdict struct {
	Allowed bool
	// Failures in a row, this attempt among them if it is allowed.
	Failures int
}

// OfUser is the subject of an account's own counter, for [MFA].
func OfUser(key secrets.DataKey, id uuid.UUID) []byte {
	m := hmac.New(sha256.New, key.Derive("attempts/user"))
	m.Write(id[:])
	return m.Sum(nil)
}

// Reserve counts an attempt, before it is checked. user is whose secret is
// guessed, nil for nobody's; it changes nothing in the work done. A count past
// the free ones locks the account for a while and leaves an audit row; the
// lock of an attempt that proves right goes with [Clear].
func Reserve(ctx context.Context, l *db.Lease, now time.Time, kind string, subject []byte, user *uuid.UUID) (Verdict, error) {
	return ReserveAnd(ctx, l, now, kind, subject, user, func(db.TenantTx, int) error { return nil })
}

// ReserveAnd is [Reserve] for whoever has more to write where an attempt is
// counted: and gets the number of failures in a row. It gets each number once
// between two clearings, whatever becomes of the attempt; its error leaves the
// attempt uncounted, and not to be checked.
func ReserveAnd(ctx context.Context, l *db.Lease, now time.Time, kind string, subject []byte, user *uuid.UUID, and func(db.TenantTx, int) error) (Verdict, error) {
	return db.InTenant(ctx, l, func(tx db.TenantTx) (Verdict, error) {
		c, err := lock(ctx, tx, kind, subject, now)
		if err != nil {
			return Verdict{}, err
		}
		allowed := c.count(now)
		// A refused attempt writes too: it costs what the others cost.
		c.user = user
		if err := save(ctx, tx, c); err != nil {
			return Verdict{}, err
		}
		v := Verdict{Allowed: allowed, Failures: c.failures}
		if !allowed {
			return v, nil
		}
		if c.failures >= Free {
			if err := lockedOut(ctx, tx, now, kind, c); err != nil {
				return v, err
			}
		}
		return v, and(tx, c.failures)
	})
}

// Clear forgets the failures of one kind, in the transaction of the success, or
// of what a link in a mail to the address does.
func Clear(ctx context.Context, tx db.TenantTx, kind string, subject []byte, _ time.Time) error {
	return reset(ctx, tx, kind, subject)
}

// Sweep removes up to limit counters that nobody needs, and answers how many:
// those of addresses without an account, a day after their last attempt.
// Failures against an account stay until a success or a reset: waiting never
// buys more than [Max] guesses.
func Sweep(ctx context.Context, l *db.Lease, now time.Time, limit int) (int, error) {
	return db.InTenant(ctx, l, func(tx db.TenantTx) (int, error) { return sweep(ctx, tx, now.Add(-idle), limit) })
}

// counter is a row of login_counters.
type counter struct {
	id       uuid.UUID
	user     *uuid.UUID
	failures int
	blocked  *time.Time
	updated  time.Time
}

// count takes an attempt into account and reports whether it may be checked.
func (c *counter) count(now time.Time) bool {
	if c.failures >= Max || c.waits(now) {
		return false
	}
	c.failures++
	c.updated = now
	c.blocked = nil
	if c.failures >= Free {
		until := now.Add(wait(c.failures))
		c.blocked = &until
	}
	return true
}

// waits reports whether the wait after the last failure still runs. One longer
// than any that is ever set comes from a clock that was ahead.
func (c *counter) waits(now time.Time) bool {
	return c.blocked != nil && now.Before(*c.blocked) && c.blocked.Sub(now) <= maxWait
}

// wait is the time after a failure in which no other attempt is checked.
func wait(failures int) time.Duration {
	w := firstWait
	for n := Free; n < failures && w < maxWait; n++ {
		w *= 2
	}
	return min(w, maxWait)
}

func lockedOut(ctx context.Context, tx db.TenantTx, now time.Time, kind string, c counter) error {
	e := audit.Entry{
		Actor: audit.Anonymous, Action: "account.locked", TargetKind: "user", TenantID: tx.Tenant(),
		After: map[string]any{"kind": kind, "failures": c.failures},
	}
	if c.user != nil {
		e.TargetID = *c.user
	}
	return audit.Write(ctx, tx, now, e)
}
