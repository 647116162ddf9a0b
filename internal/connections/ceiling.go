package connections

import "time"

// TooManyConnections is Postgres's refusal of a connection for which it has no
// place: somebody else has taken it, or max_connections is smaller than planned.
const TooManyConnections = "53300"

const (
	minPause = 250 * time.Millisecond
	maxPause = 5 * time.Second
	// calm is how long nothing was refused when the server counts as well again.
	calm = 30 * time.Second
)

// ceiling is what the server has been seen to allow, while it allows less than
// the budget. After a refusal nothing is opened beyond what is held, except in
// the place of something that closes, for a pause that doubles with each
// refusal; then one more is tried.
type ceiling struct {
	on    bool // the last attempt to open was refused
	seen  int  // what was held then
	until time.Time
	pause time.Duration
	timer *time.Timer
}

// limit is the budget or what there is of it now.
func (l *ceiling) limit(budget int) int {
	if !l.on {
		return budget
	}
	if time.Now().Before(l.until) {
		return min(budget, l.seen)
	}
	return min(budget, l.seen+1)
}

// refused is called with Cache.mu held: the server has no place for more than
// held connections.
func (l *ceiling) refused(c *Cache, held int) {
	now := time.Now()
	if !l.on {
		l.pause = minPause
		c.opt.Log.Warn("the database server refuses connections within the budget; holding fewer until it has places again",
			"held", held, "budget", c.budget)
	} else if now.After(l.until) {
		l.pause = min(2*l.pause, maxPause)
	}
	l.on, l.seen, l.until = true, held, now.Add(l.pause)
	l.stop()
	l.timer = time.AfterFunc(l.pause, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.schedule()
	})
}

// opened is called with Cache.mu held, when the server has taken a connection.
func (l *ceiling) opened(c *Cache) {
	if !l.on {
		return
	}
	l.seen = max(l.seen, c.held())
	l.pause = minPause
	if l.seen >= c.budget || time.Since(l.until) > calm {
		l.on = false
		l.stop()
		c.opt.Log.Info("the database server takes connections up to the budget again", "budget", c.budget)
	}
}

func (l *ceiling) stop() {
	if l.timer != nil {
		l.timer.Stop()
	}
}
