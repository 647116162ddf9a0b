package connections

import "time"

// The methods below are called with Cache.mu held.

// schedule starts the opens that callers wait for and the budget has room for,
// and makes room for those it has not. It runs whenever something changes.
func (c *Cache) schedule() {
	if c.closed || c.waiting.Len() == 0 {
		return
	}
	for c.room() > 0 && len(c.opening) < c.opt.Opens {
		t := c.neediest(nil)
		if t == nil {
			return
		}
		if t.has() >= c.share() {
			c.evictFor(t, c.victim(t)) // the caller has another key than what is idle
		} else if !c.start(t) {
			return
		}
	}
	// As many may hang up as can be opened next: closing does not stand in the
	// way of opening.
	for c.room() <= 0 && c.evicting < c.opt.Opens && c.idle.Len() > 0 {
		t := c.neediest(func(t *tenant) bool { return c.victim(t) != nil })
		if t == nil {
			return
		}
		c.evictFor(t, c.victim(t))
	}
}

// room is how many connections may be opened now.
func (c *Cache) room() int { return c.ceiling.limit(c.budget) - c.held() }

// neediest is the tenant to serve next, of those that wait for more connections
// than are on their way and that ok accepts (nil: all): the one with the fewest,
// then the one that has waited longest.
func (c *Cache) neediest(ok func(*tenant) bool) *tenant {
	var best *tenant
	now := time.Now()
	for el := c.waiting.Front(); el != nil; el = el.Next() {
		t := el.Value.(*tenant)
		wanted := t.waiters.Len() > t.opening+t.claims && (t.has() < c.share() || t.idle > 0) && !now.Before(t.retryAt)
		if wanted && (best == nil || t.before(best)) && (ok == nil || ok(t)) {
			best = t
		}
	}
	return best
}

// before reports whether t is to be served before o.
func (t *tenant) before(o *tenant) bool {
	if t.has() != o.has() {
		return t.has() < o.has()
	}
	return t.since().Before(o.since())
}

// victim is the idle connection that t may take the place of, nil for none.
//
// The least recently used one goes when it is quiet. Among tenants in use one
// that has connections takes none from a tenant that has as few: it would be
// taken back at once, and a connect costs more than the wait for its own. A
// tenant that has none, or has waited for its own as long as a quiet connection
// is idle, takes the least recently used one all the same.
func (c *Cache) victim(t *tenant) *Conn {
	oldest := c.idle.Front().Value.(*Conn)
	atShare := t.has() >= c.share()
	if !atShare && time.Since(oldest.idleSince) >= quiet {
		return oldest
	}
	for el := c.idle.Front(); el != nil; el = el.Next() {
		// Its own connection under another key, or one of a tenant with more.
		if v := el.Value.(*Conn); v.tenant == t || !atShare && v.tenant.held >= t.has()+2 {
			return v
		}
	}
	if t.has() == 0 || time.Since(t.since()) >= quiet {
		return oldest
	}
	return nil
}

// yields reports whether a connection that has come back goes to another tenant
// although its own wants it, and closes it for that one: a tenant with two
// connections fewer, or one with none that has waited longer.
func (c *Cache) yields(conn *Conn) bool {
	if c.waiting.Len() < 2 || c.idle.Len() > 0 || c.room() > 0 || c.evicting >= c.opt.Opens {
		return false
	}
	own := conn.tenant
	t := c.neediest(func(t *tenant) bool { return t != own })
	if t == nil || t.has()+2 > own.held && (t.has() > 0 || !t.since().Before(own.since())) {
		return false
	}
	c.evictFor(t, conn)
	return true
}

// sweep closes what nobody has used for IdleTimeout. The list is in the order of
// age, so a sweep without work looks at one connection.
func (c *Cache) sweep() {
	if c.opt.IdleTimeout < 0 {
		return
	}
	for c.idle.Len() > 0 {
		conn := c.idle.Front().Value.(*Conn)
		if time.Since(conn.idleSince) < c.opt.IdleTimeout {
			return
		}
		c.evict(conn)
	}
}

func (c *Cache) evict(conn *Conn) {
	c.stats.Evictions++
	c.discard(conn)
}

func (c *Cache) evictFor(t *tenant, conn *Conn) {
	t.claims++
	c.evicting++
	conn.claimant = t
	c.evict(conn)
}

// discard takes a connection, idle or in use, out of the cache and closes it
// where nobody waits for it. Its place stays taken until the server has hung up.
func (c *Cache) discard(conn *Conn) {
	if conn.place != nil {
		c.unpark(conn)
	}
	delete(c.busy, conn)
	conn.tenant.held--
	c.closing++
	c.drop(conn.tenant)
	go func() {
		conn.link.Close()
		c.gone(conn)
	}()
}

func (c *Cache) gone(conn *Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closing--
	if conn.claimant != nil {
		conn.claimant.claims--
		c.evicting--
	}
	c.schedule()
	c.noteDrained()
}
