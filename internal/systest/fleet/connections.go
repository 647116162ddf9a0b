package fleet

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"tenantry/internal/systest"
)

// Connections is the most that the server had at a time.
type Connections struct {
	// Most is by application and kind of database ("tenantry-api tenant").
	Most map[string]int
	// Tenant is the most that the API processes held to one tenant's database.
	Tenant  int
	Samples int
}

// watcher asks the server who is connected until it is told to stop.
type watcher struct {
	conn *pgx.Conn
	quit chan struct{}
	once sync.Once
	done chan struct{}
	seen Connections
	err  error
}

func watchConnections(ctx context.Context, s *systest.System) (*watcher, error) {
	conn, err := s.Connect(ctx, "postgres")
	if err != nil {
		return nil, err
	}
	w := &watcher{conn: conn, quit: make(chan struct{}), done: make(chan struct{}), seen: Connections{Most: map[string]int{}}}
	go w.run(ctx)
	return w, nil
}

// stop answers what was seen; repeated calls answer the same.
func (w *watcher) stop() (Connections, error) {
	w.once.Do(func() { close(w.quit) })
	<-w.done
	return w.seen, w.err
}

func (w *watcher) run(ctx context.Context) {
	defer close(w.done)
	defer func() { w.err = errors.Join(w.err, w.conn.Close(context.WithoutCancel(ctx))) }()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-w.quit:
			return
		case <-tick.C:
		}
		if w.err = w.look(ctx); w.err != nil {
			w.err = fmt.Errorf("ask for connections: %w", w.err)
			return
		}
	}
}

var tenantDatabase = regexp.MustCompile(`_t_[0-9a-f]{32}$`)

func (w *watcher) look(ctx context.Context) error {
	rows, err := w.conn.Query(ctx, `
		SELECT application_name, datname, count(*)::int FROM pg_stat_activity
		WHERE backend_type = 'client backend' AND datname IS NOT NULL AND pid <> pg_backend_pid() GROUP BY 1, 2`)
	if err != nil {
		return err
	}
	now := map[string]int{}
	var application, database string
	var n int
	_, err = pgx.ForEachRow(rows, []any{&application, &database, &n}, func() error {
		kind := "central"
		if tenantDatabase.MatchString(database) {
			kind = "tenant"
			if application == apiName {
				w.seen.Tenant = max(w.seen.Tenant, n)
			}
		}
		now[application+" "+kind] += n
		return nil
	})
	for name, n := range now {
		w.seen.Most[name] = max(w.seen.Most[name], n)
	}
	w.seen.Samples++
	return err
}
