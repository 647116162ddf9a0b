// Package replay is the fast path in front of the idempotency marks (E4): it
// answers a repeated call from Redis and keeps two calls with one key apart
// while the first still runs.
//
// Redis is never the place of a truth here. The durable mark, written in the
// effect's transaction, decides; when Redis has lost a key, is slow or gone,
// the call goes straight to it. A lost lock costs a wait, a lost reply one
// query.
package replay

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"tenantry/internal/db"
	"tenantry/internal/secrets"
)

const (
	// askTime bounds one question to Redis.
	askTime = 150 * time.Millisecond
	// restTime is how long a Redis that failed is left alone: a dead one must
	// not cost every call its askTime.
	restTime = time.Second
)

// Front is safe for concurrent use. A nil Front, or one without a client,
// leaves everything to the durable mark.
type Front struct {
	client *redis.Client
	// report hears whenever the front stops or begins to answer.
	report    func(down bool)
	restUntil atomic.Int64
	down      atomic.Bool
}

// New wraps a client; report may be nil.
func New(c *redis.Client, report func(down bool)) *Front {
	if report == nil {
		report = func(bool) {}
	}
	return &Front{client: c, report: report}
}

// Ticket is the right to run a call; its holder ends it with Keep or Drop.
type Ticket struct {
	key   string
	token string
	print []byte
}

// Values in Redis: "L" + fingerprint + token while the call runs, "D" +
// fingerprint + sealed reply after.
const (
	locked = 'L'
	done   = 'D'
)

// begin answers the value under a key, or locks it.
var begin = redis.NewScript(`
local v = redis.call('GET', KEYS[1])
if v then return v end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return false`)

// finish replaces (ARGV[2] not empty) or deletes the caller's own lock.
var finish = redis.NewScript(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] == '' then return redis.call('DEL', KEYS[1]) end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1`)

// Begin answers the sealed reply of a call that has happened, or a ticket to
// run it; its lock ends after life. While another call with the key runs, the
// error is db.ErrInFlight; for another request, db.ErrKeyReused. A nil ticket
// without an error means that the durable mark alone decides.
func (f *Front) Begin(ctx context.Context, k db.MarkKey, life time.Duration) (sealed []byte, t *Ticket, err error) {
	if !f.usable() {
		return nil, nil, nil
	}
	t = &Ticket{key: "tenantry:once:" + hex.EncodeToString(k.Scope[:]), token: string(secrets.RandomBytes(16)), print: k.Fingerprint[:]}
	actx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	text, err := begin.Run(actx, f.client, []string{t.key}, t.lock(), life.Milliseconds()).Text()
	if errors.Is(err, redis.Nil) {
		f.answered()
		return nil, t, nil
	}
	if err != nil {
		f.failed()
		return nil, nil, ctx.Err()
	}
	f.answered()
	found := []byte(text)
	if len(found) < 1+sha256.Size || (found[0] != locked && found[0] != done) {
		return nil, nil, nil // not ours: the mark decides
	}
	if !bytes.Equal(found[1:1+sha256.Size], k.Fingerprint[:]) {
		return nil, nil, db.ErrKeyReused()
	}
	if found[0] == locked {
		return nil, nil, db.ErrInFlight()
	}
	return found[1+sha256.Size:], nil, nil
}

func (t *Ticket) lock() string { return string(locked) + string(t.print) + t.token }

// Keep puts a committed reply in place of the lock. It outlives the request:
// the effect has happened whoever still listens.
func (f *Front) Keep(ctx context.Context, t *Ticket, sealed []byte) {
	f.end(ctx, t, string(done)+string(t.print)+string(sealed))
}

// Drop gives the key back after a call that was not committed, or may not
// have been.
func (f *Front) Drop(ctx context.Context, t *Ticket) { f.end(ctx, t, "") }

func (f *Front) end(ctx context.Context, t *Ticket, value string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), askTime)
	defer cancel()
	if err := finish.Run(ctx, f.client, []string{t.key}, t.lock(), value, db.MarkTTL.Milliseconds()).Err(); err != nil {
		f.failed()
	}
}

func (f *Front) usable() bool {
	return f != nil && f.client != nil && time.Now().UnixNano() >= f.restUntil.Load()
}

func (f *Front) failed() {
	f.restUntil.Store(time.Now().Add(restTime).UnixNano())
	if !f.down.Swap(true) {
		f.report(true)
	}
}

func (f *Front) answered() {
	if f.down.Swap(false) {
		f.report(false)
	}
}
