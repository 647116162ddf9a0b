package connections_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgconn"

	"tenantry/internal/connections"
)

var errDown = errors.New("the server is down")

// fakeServer is a database server with virtual time: it takes a while to
// connect and to hang up, has a number of places, and may be down or frozen. It
// notes what a cache must never do.
type fakeServer struct {
	mu sync.Mutex
	// places is max_connections; strangers take some of them.
	places, strangers int
	// budget is the cache's; limit is what it may hold now: a budget that shrinks
	// counts when the connections have followed.
	budget, limit int
	held          int
	share         int
	lent          map[uuid.UUID]int
	down          bool
	thaw          chan struct{} // closed unless frozen
	links         map[*fakeLink]bool
	wrong         []string
	// refused counts refusals for want of a place.
	refused, opened int
	// opening is how many connect now, most the most at a time.
	opening, most int

	connectTime, hangUpTime time.Duration
}

func newFakeServer(budget, share int) *fakeServer {
	s := &fakeServer{places: budget, budget: budget, limit: budget, share: share, lent: map[uuid.UUID]int{}, links: map[*fakeLink]bool{}, thaw: make(chan struct{}), connectTime: 20 * time.Millisecond, hangUpTime: 3 * time.Millisecond}
	close(s.thaw)
	return s
}

func (s *fakeServer) bad(format string, args ...any) {
	s.wrong = append(s.wrong, fmt.Sprintf(format, args...))
}

// take gives a place out, or refuses it.
func (s *fakeServer) take() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held++; s.held > s.limit {
		s.bad("%d connections, the budget is %d", s.held, s.limit)
	}
	if s.down {
		return errDown
	}
	if s.held+s.strangers > s.places {
		s.refused++
		return &pgconn.PgError{Code: "53300", Message: "sorry, too many clients already"}
	}
	s.opening++
	s.most = max(s.most, s.opening)
	return nil
}

func (s *fakeServer) give() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held--
	s.limit = max(min(s.limit, s.held), s.budget)
}

// crowd lets strangers take places.
func (s *fakeServer) crowd(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.strangers = n
}

func (s *fakeServer) refusals() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.refused
}

func (s *fakeServer) allow(budget int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.budget, s.limit = budget, max(budget, s.held)
}

func (s *fakeServer) connect(ctx context.Context, key connections.Key) (connections.Link, error) {
	if err := s.take(); err != nil {
		s.give()
		return nil, err
	}
	err := s.wait(ctx, s.connectTime)
	s.mu.Lock()
	s.opening--
	s.mu.Unlock()
	if err != nil {
		s.give()
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		s.held--
		return nil, errDown
	}
	s.opened++
	l := &fakeLink{server: s, key: key, born: s.opened}
	s.links[l] = true
	return l, nil
}

// wait lets time pass; while the server is frozen, nothing happens.
func (s *fakeServer) wait(ctx context.Context, d time.Duration) error {
	s.mu.Lock()
	thaw := s.thaw
	s.mu.Unlock()
	select {
	case <-thaw:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *fakeServer) freeze() {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.thaw:
		s.thaw = make(chan struct{})
	default:
	}
}

func (s *fakeServer) melt() {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.thaw:
	default:
		close(s.thaw)
	}
}

// stop breaks every connection.
func (s *fakeServer) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = true
	for l := range s.links {
		l.broken = true
	}
}

func (s *fakeServer) start() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = false
}

// fakeLink is a connection to it.
type fakeLink struct {
	server *fakeServer
	key    connections.Key
	born   int
	// Under server.mu.
	lent, broken, closed bool
	watchers             []*connections.Activity
}

func (l *fakeLink) Alive(context.Context) bool {
	l.server.mu.Lock()
	defer l.server.mu.Unlock()
	return !l.broken
}

func (l *fakeLink) Usable() bool { return l.Alive(context.Background()) }

func (l *fakeLink) Watch(a ...*connections.Activity) { l.watchers = a }

func (l *fakeLink) Close() {
	<-time.After(l.server.hangUpTime)
	s := l.server
	s.mu.Lock()
	if l.lent {
		s.bad("closed under its holder")
	}
	if l.closed {
		s.bad("closed twice")
	}
	l.closed = true
	delete(s.links, l)
	s.mu.Unlock()
	s.give()
}

func (l *fakeLink) Cut() {
	l.server.mu.Lock()
	defer l.server.mu.Unlock()
	l.broken = true
}

// query is a statement of a caller that holds the connection.
func (l *fakeLink) query(ctx context.Context, key connections.Key, d time.Duration) error {
	s := l.server
	s.mu.Lock()
	if l.lent {
		s.bad("lent twice")
	}
	if l.closed {
		s.bad("a statement on a closed connection")
	}
	if l.key != key {
		s.bad("%v got a connection of %v", key, l.key)
	}
	l.lent = true
	if s.lent[key.Tenant]++; s.lent[key.Tenant] > s.share {
		s.bad("a tenant uses %d connections, its share is %d", s.lent[key.Tenant], s.share)
	}
	s.mu.Unlock()
	err := s.wait(ctx, d)
	s.mu.Lock()
	defer s.mu.Unlock()
	l.lent = false
	s.lent[key.Tenant]--
	if err != nil { // a cancelled statement costs its connection
		l.broken = true
		return err
	}
	if l.broken {
		return errDown
	}
	for _, w := range l.watchers {
		w.Now()
	}
	return nil
}
