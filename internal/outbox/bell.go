package outbox

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"

	"tenantry/internal/ids"
)

const bellChannel = "tenantry:outbox"

// Bell is the doorbell in Redis: it makes the relay prompt and nothing more.
// A lost ring costs the time until the next sweep.
type Bell struct{ client *redis.Client }

// NewBell wraps a client; nil never rings.
func NewBell(c *redis.Client) *Bell { return &Bell{client: c} }

// Ring says that t's outbox, or the central one for the zero tenant, has a
// new row. It gives up fast: the row is committed already.
func (b *Bell) Ring(ctx context.Context, t ids.Tenant) {
	if b == nil || b.client == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 200*time.Millisecond)
	defer cancel()
	_ = b.client.Publish(ctx, bellChannel, t.String()).Err() // only a hint: the ticker finds the row
}

// Listen answers rings until ctx ends; the zero tenant is the central outbox.
func (b *Bell) Listen(ctx context.Context) <-chan ids.Tenant {
	out := make(chan ids.Tenant, 64)
	if b == nil || b.client == nil {
		go func() { <-ctx.Done(); close(out) }()
		return out
	}
	sub := b.client.Subscribe(ctx, bellChannel)
	go func() {
		defer close(out)
		defer func() { _ = sub.Close() }()
		for {
			select {
			case <-ctx.Done():
				return
			case m, ok := <-sub.Channel():
				if !ok {
					return
				}
				t, _ := ids.ParseTenant(m.Payload) // the zero id does not parse: central
				select {
				case out <- t:
				default: // full: the ticker sweeps anyway
				}
			}
		}
	}()
	return out
}
