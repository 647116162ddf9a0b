package api

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"tenantry/internal/apperr"
)

// A body is read before it is known whose it is (decision 0014), so what it may
// hold meanwhile is bounded here (decision 0016): small ones by the limits on
// requests, large ones by places.
const (
	// smallBody is what a body may hold without a place, in bytes. Few requests
	// of this API are longer than a tenth of it.
	smallBody = 16 << 10
	// maxLarge is how many large bodies a process holds at once, and
	// maxLargeOfOne how many of them may be of one network.
	maxLarge      = 16
	maxLargeOfOne = 4
	// placeWait is how long a body waits for a place. It is not read meanwhile.
	placeWait = 10 * time.Second
)

// places are what large bodies of requests wait for. The network's own come
// first: whoever sends slowly from one address keeps out nobody else.
type places struct {
	all  *semaphore.Weighted
	wait time.Duration

	mu sync.Mutex
	of map[netip.Prefix]*ownPlaces
}

// ownPlaces are those of one network, kept while somebody uses them.
type ownPlaces struct {
	free  *semaphore.Weighted
	users int
}

func newPlaces() *places {
	return &places{all: semaphore.NewWeighted(maxLarge), wait: placeWait, of: map[netip.Prefix]*ownPlaces{}}
}

// take waits for a place; leave gives it back.
func (p *places) take(ctx context.Context, ip netip.Addr) (leave func(), err error) {
	waiting, cancel := context.WithTimeout(ctx, p.wait)
	defer cancel()
	key := network(ip)
	own := p.enter(key)
	if own.free.Acquire(waiting, 1) != nil {
		p.exit(key, own)
		return nil, refusedPlace(ctx, apperr.Newf(apperr.RateLimited, "FLOOD", "Too many large bodies at once from this address: at most %d of more than %d bytes.", maxLargeOfOne, smallBody))
	}
	if p.all.Acquire(waiting, 1) != nil {
		own.free.Release(1)
		p.exit(key, own)
		return nil, refusedPlace(ctx, apperr.Newf(apperr.Unavailable, "LARGE_BODIES", "Too many large bodies at once: at most %d of more than %d bytes. Try again later.", maxLarge, smallBody))
	}
	return func() {
		p.all.Release(1)
		own.free.Release(1)
		p.exit(key, own)
	}, nil
}

func refusedPlace(ctx context.Context, e *apperr.Error) error {
	if ctx.Err() != nil {
		return ctx.Err() // the request's own end came first
	}
	return e.WithRetryAfter(time.Second)
}

func (p *places) enter(key netip.Prefix) *ownPlaces {
	p.mu.Lock()
	defer p.mu.Unlock()
	own := p.of[key]
	if own == nil {
		own = &ownPlaces{free: semaphore.NewWeighted(maxLargeOfOne)}
		p.of[key] = own
	}
	own.users++
	return own
}

func (p *places) exit(key netip.Prefix, own *ownPlaces) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if own.users--; own.users == 0 {
		delete(p.of, key)
	}
}

// body is a request's body that takes a place before it grows large. One
// goroutine reads it: the one that serves the request.
type body struct {
	io.ReadCloser
	take  func() (leave func(), err error)
	leave func() // while it has a place
	free  int    // how much may be read before it needs one
	// grows is true until the bytes, once all are there, have been unpacked.
	grows bool
}

// newBody bounds the body of r. A gRPC message unpacks before the stream's end,
// which the client may keep back, so a packed one has no free bytes.
func newBody(r *http.Request, take func() (func(), error)) *body {
	b := &body{ReadCloser: r.Body, take: take, free: smallBody, grows: packed(r.Header.Get("Content-Encoding"))}
	if packed(r.Header.Get("Grpc-Encoding")) {
		b.free = 0
	}
	return b
}

func packed(encoding string) bool { return encoding != "" && encoding != "identity" }

// Read waits for a place where it needs one.
func (b *body) Read(p []byte) (int, error) {
	if b.leave == nil && b.free <= 0 {
		if err := b.Enter(); err != nil {
			return 0, err
		}
	}
	if b.leave == nil {
		p = p[:min(len(p), b.free)]
	}
	n, err := b.ReadCloser.Read(p)
	b.free -= n
	if b.grows && b.leave == nil && errors.Is(err, io.EOF) {
		if refused := b.Enter(); refused != nil {
			return n, refused
		}
	}
	return n, err
}

// Enter is for a message that is packed and did not come in the body.
func (b *body) Enter() (err error) {
	if b.leave == nil {
		b.leave, err = b.take()
	}
	return err
}

// Settle gives the place back for a small message: its call may wait long for
// an answer.
func (b *body) Settle(bytes int) {
	if bytes <= smallBody {
		b.end()
	}
}

// end gives the place back.
func (b *body) end() {
	if b.leave != nil {
		b.leave()
		b.leave, b.free, b.grows = nil, smallBody, false
	}
}
