package ratelimit

import (
	"sync"

	"tenantry/internal/clock"
)

// maxLocal bounds the table: about 10 MiB.
const maxLocal = 65_536

// local is the same meter in this process's memory.
type local struct {
	now clock.Clock
	max int

	mu sync.Mutex
	// tats holds when each key's bucket is full again, in Unix microseconds.
	tats map[string]int64
}

func newLocal(now clock.Clock) *local {
	return &local{now: now, max: maxLocal, tats: map[string]int64{}}
}

func (l *local) decide(wanted []Key) Decision {
	keys, names := make([]Key, len(wanted)), make([]string, len(wanted))
	for i, k := range wanted {
		keys[i] = k
		keys[i].Limit = k.Limit.strict()
	}
	now := l.now().UnixMicro()
	l.mu.Lock()
	defer l.mu.Unlock()
	admitted := true
	tats := make([]int64, len(keys))
	for i, k := range keys {
		names[i] = l.place(k, now)
		interval, span := k.Limit.interval(), k.Limit.span()
		tats[i] = min(max(l.tats[names[i]], now), now+span)
		admitted = admitted && tats[i]+interval-span <= now
	}
	backlog := make([]int64, len(keys))
	for i, k := range keys {
		if admitted {
			tats[i] += k.Limit.interval()
			l.tats[names[i]] = tats[i]
		}
		backlog[i] = tats[i] - now
	}
	d := decide(admitted, keys, backlog)
	d.Local = true
	return d
}

// place answers the entry of a key: its own while there is room, else one that
// all newcomers of its kind share. Making room by forgetting keys in use would
// refill the bucket of whoever walks through enough addresses.
func (l *local) place(k Key, now int64) string {
	name := k.redis()
	if _, known := l.tats[name]; known || len(l.tats) < l.max {
		return name
	}
	// A few only: nobody makes every request pay for a sweep of them all.
	looked := 0
	for other, tat := range l.tats { // in random order
		if tat <= now { // full again: as good as absent
			delete(l.tats, other)
		}
		if looked++; looked == 32 {
			break
		}
	}
	if len(l.tats) < l.max {
		return name
	}
	k.Value = ""
	return k.redis()
}
