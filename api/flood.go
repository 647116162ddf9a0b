package api

import (
	"net/netip"
	"sync"
	"time"

	"tenantry/internal/clock"
)

// maxBuckets bounds the guard's memory; past it, arbitrary buckets and those
// that have filled up again make room.
const maxBuckets = 65_536

// Flood bounds what one address may send to one process, before anything is
// looked up for it. It is generous: the product's limits come later in the
// chain, this one only keeps the process alive.
type Flood struct {
	// PerSecond refills the bucket; 0 stands for 2000, below 0 for no guard.
	PerSecond float64
	// Burst is the bucket's size; 0 stands for twice PerSecond.
	Burst float64
}

type bucket struct {
	level float64
	at    time.Time
}

// floodGuard is a token bucket per client: an IPv4 address or an IPv6 /64,
// which is what one customer of a network usually holds.
type floodGuard struct {
	rate, burst float64
	now         clock.Clock

	mu      sync.Mutex
	buckets map[netip.Prefix]bucket
}

func newFloodGuard(f Flood, now clock.Clock) *floodGuard {
	if f.PerSecond == 0 {
		f.PerSecond = 2000
	}
	if f.Burst == 0 {
		f.Burst = 2 * f.PerSecond
	}
	return &floodGuard{rate: f.PerSecond, burst: f.Burst, now: now, buckets: map[netip.Prefix]bucket{}}
}

// take answers 0 when the request may go on, else how long to wait.
func (g *floodGuard) take(ip netip.Addr) time.Duration {
	if g.rate < 0 {
		return 0
	}
	key, now := network(ip), g.now()
	g.mu.Lock()
	defer g.mu.Unlock()
	b, ok := g.buckets[key]
	if !ok {
		g.makeRoom(now)
		b = bucket{level: g.burst, at: now}
	}
	b.level = min(g.burst, b.level+g.rate*max(0, now.Sub(b.at).Seconds()))
	b.at = now
	if b.level < 1 {
		g.buckets[key] = b
		return time.Duration((1 - b.level) / g.rate * float64(time.Second))
	}
	b.level--
	g.buckets[key] = b
	return 0
}

// makeRoom looks at a few buckets only: somebody who walks through addresses
// must not make every request pay for a sweep of them all.
func (g *floodGuard) makeRoom(now time.Time) {
	if len(g.buckets) < maxBuckets {
		return
	}
	looked := 0
	for k, b := range g.buckets { // in random order
		full := b.level+g.rate*now.Sub(b.at).Seconds() >= g.burst
		if full || looked == 0 {
			delete(g.buckets, k)
		}
		if looked++; looked == 32 {
			return
		}
	}
}

func network(ip netip.Addr) netip.Prefix {
	bits := 64
	if ip = ip.Unmap(); ip.Is4() {
		bits = 32
	}
	p, _ := ip.WithZone("").Prefix(bits) // the zero address has the zero prefix
	return p
}
