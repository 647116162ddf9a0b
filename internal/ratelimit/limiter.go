package ratelimit

import (
	"cmp"
	"context"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"tenantry/internal/clock"
)

const (
	// trips is how many failures in a row open the breaker.
	trips = 3
	// rest is how long Redis is left alone then, before one request tries it.
	rest = time.Second
)

// Options of a [Limiter].
type Options struct {
	// Redis is a client of [Connect]; nil decides in this process alone.
	Redis redis.Scripter
	// Timeout is how long one request waits for Redis; 0 stands for [Timeout].
	Timeout time.Duration
	Now     clock.Clock
	// Observe is called with every decision; local when Redis did not make it.
	// nil is fine.
	Observe func(local bool)
}

// Limiter meters requests.
type Limiter struct {
	o     Options
	local *local

	mu       sync.Mutex // guards what follows
	failures int
	// until is when the breaker lets a request try again.
	until time.Time
}

// New makes a limiter; nothing is asked of Redis yet.
func New(o Options) *Limiter {
	if o.Observe == nil {
		o.Observe = func(bool) {}
	}
	o.Timeout = cmp.Or(o.Timeout, Timeout)
	return &Limiter{o: o, local: newLocal(o.Now)}
}

// Allow decides about one request and charges it to every key, or to none. It
// always answers: there is no error that would let a request through.
func (l *Limiter) Allow(ctx context.Context, keys ...Key) Decision {
	if len(keys) == 0 {
		return Decision{Allowed: true}
	}
	if l.o.Redis != nil && l.enter() {
		d, err := ask(ctx, l.o.Redis, l.o.Timeout, keys)
		l.leave(err)
		if err == nil {
			l.o.Observe(false)
			return d
		}
	}
	l.o.Observe(true)
	return l.local.decide(keys)
}

// enter reports whether Redis is to be asked. Once the breaker is open one
// caller a rest gets through.
func (l *Limiter) enter() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failures < trips {
		return true
	}
	now := l.o.Now()
	// A clock that went back must not keep the breaker open.
	if now.Before(l.until) && l.until.Sub(now) <= rest {
		return false
	}
	l.until = now.Add(rest)
	return true
}

func (l *Limiter) leave(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		l.failures = 0
		return
	}
	if l.failures++; l.failures == trips {
		l.until = l.o.Now().Add(rest)
	}
}
