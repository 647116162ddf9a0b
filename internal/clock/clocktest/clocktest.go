// Package clocktest is a clock that a test moves.
package clocktest

import (
	"sync"
	"time"

	"tenantry/internal/clock"
)

// Clock stands still until it is moved. Its Now is a [clock.Clock].
type Clock struct {
	mu sync.Mutex
	at time.Time
}

// New starts at the machine's time.
func New() *Clock { return At(clock.System()) }

// At starts at a time of the test's choice.
func At(t time.Time) *Clock { return &Clock{at: t} }

// Now answers where the clock stands.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

// Move moves it, also back, and answers where it stands then.
func (c *Clock) Move(d time.Duration) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
	return c.at
}
