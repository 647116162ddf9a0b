package ratelimit

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// The bounds of a [Limit].
const (
	maxCount = 1_000_000
	maxBurst = 1_000_000
	// strictness divides rate and burst of what the process decides alone.
	strictness = 4
)

// Limit is how much of something one key may have.
type Limit struct {
	// Count requests are admitted per Per in the long run.
	Count int
	Per   time.Duration
	// Burst may come at once after a pause.
	Burst int
}

// interval is the time that one request takes up, in microseconds, rounded up
// so that rounding never admits more.
func (l Limit) interval() int64 {
	us := l.Per.Microseconds()
	return max(1, (us+int64(l.Count)-1)/int64(l.Count))
}

// span is the time that a full bucket takes to fill, in microseconds.
func (l Limit) span() int64 { return l.interval() * int64(l.Burst) }

// Window is the time in which an empty bucket fills again.
func (l Limit) Window() time.Duration { return time.Duration(l.span()) * time.Microsecond }

// strict is the limit of a process that decides alone.
func (l Limit) strict() Limit {
	return Limit{Count: l.Count, Per: l.Per * strictness, Burst: max(1, l.Burst/strictness)}
}

var units = map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour}

// String is the form that configuration has: "100/s:200".
func (l Limit) String() string {
	for name, unit := range units {
		if l.Per == unit {
			return fmt.Sprintf("%d/%s:%d", l.Count, name, l.Burst)
		}
	}
	return fmt.Sprintf("%d/%s:%d", l.Count, l.Per, l.Burst)
}

func parseLimit(text string) (Limit, error) {
	rate, burst, ok1 := strings.Cut(text, ":")
	count, unit, ok2 := strings.Cut(rate, "/")
	per, ok3 := units[unit]
	n, err1 := strconv.Atoi(count)
	b, err2 := strconv.Atoi(burst)
	if !ok1 || !ok2 || !ok3 || err1 != nil || err2 != nil || n < 1 || n > maxCount || b < 1 || b > maxBurst {
		return Limit{}, errors.New("not COUNT/UNIT:BURST")
	}
	return Limit{Count: n, Per: per, Burst: b}, nil
}

// The names of the keys.
const (
	IP        = "ip"
	Tenant    = "tenant"
	Principal = "principal"
)

// Rules are the limits of one class of calls. The zero value limits nothing.
type Rules struct{ IP, Tenant, Principal Limit }

// Off reports whether the rules limit nothing.
func (r Rules) Off() bool { return r == Rules{} }

// String is the form that UnmarshalText reads.
func (r Rules) String() string {
	if r.Off() {
		return "off"
	}
	return fmt.Sprintf("%s:%s,%s:%s,%s:%s", IP, r.IP, Tenant, r.Tenant, Principal, r.Principal)
}

// UnmarshalText reads "ip:100/s:200,tenant:1000/s:2000,principal:50/s:100", each
// key once, or "off".
func (r *Rules) UnmarshalText(text []byte) error {
	*r = Rules{}
	if string(text) == "off" {
		return nil
	}
	targets := map[string]*Limit{IP: &r.IP, Tenant: &r.Tenant, Principal: &r.Principal}
	for part := range strings.SplitSeq(string(text), ",") {
		name, limit, _ := strings.Cut(part, ":")
		target := targets[name]
		if target == nil {
			return errors.New("a key that is not ip, tenant or principal, or comes twice")
		}
		delete(targets, name)
		var err error
		if *target, err = parseLimit(limit); err != nil {
			return err
		}
	}
	if len(targets) > 0 {
		return errors.New("a key is missing")
	}
	return nil
}

// Key is one thing that is metered.
type Key struct {
	// Name is IP, Tenant or Principal; Class keeps calls of different limits
	// apart.
	Name, Class string
	// Value tells one from another. It is part of a key in Redis: no secret.
	Value string
	Limit Limit
}

func (k Key) redis() string { return "tenantry:{rl}:" + k.Class + ":" + k.Name + ":" + k.Value }

// State is what a key has left.
type State struct {
	Name  string
	Limit Limit
	// Remaining may come at once, now.
	Remaining int
	// Reset is the time until the bucket is full again.
	Reset time.Duration
	// RetryAfter is 0 unless this key refused: the time until it admits one.
	RetryAfter time.Duration
}

// Decision is the answer for one request.
type Decision struct {
	Allowed bool
	// Bound is the key with the least left; of a refusal, the one that refuses
	// for the longest time.
	Bound State
	// Keys holds every key, in the order of the call.
	Keys []State
	// Local is true when this process decided without Redis.
	Local bool
}

// decide builds the answer from each key's backlog: the time in microseconds
// until its bucket is full, after the decision.
func decide(allowed bool, keys []Key, backlog []int64) Decision {
	d := Decision{Allowed: allowed, Keys: make([]State, len(keys))}
	for i, k := range keys {
		interval, span := k.Limit.interval(), k.Limit.span()
		left := max(0, (span-backlog[i])/interval)
		s := State{Name: k.Name, Limit: k.Limit, Remaining: int(left), Reset: time.Duration(backlog[i]) * time.Microsecond}
		if wait := backlog[i] + interval - span; !allowed && wait > 0 {
			s.RetryAfter = time.Duration(wait) * time.Microsecond
		}
		d.Keys[i] = s
		if i == 0 || tighter(s, d.Bound) {
			d.Bound = s
		}
	}
	return d
}

func tighter(a, b State) bool {
	if a.RetryAfter != b.RetryAfter {
		return a.RetryAfter > b.RetryAfter
	}
	return a.Remaining < b.Remaining
}
