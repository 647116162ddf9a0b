package connections

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

// link is a connection to a server, as the cache sees it.
type link interface {
	// Alive reports whether an idle connection can be lent.
	Alive(context.Context) bool
	// Usable reports whether a connection that comes back can be lent again: open,
	// and in no transaction.
	Usable() bool
	// Watch names what is told when the server sends something.
	Watch(...*activity)
	// Close ends the connection and returns when the server has hung up, or will
	// not within its grace.
	Close()
	// Cut ends the connection under its holder, who still gives it back.
	Cut()
}

// closeTimeout bounds the farewell of a connection; see hangUpGrace for what
// follows it.
const closeTimeout = 5 * time.Second

// pingTimeout bounds the question to an idle connection whose server has sent
// something unasked.
const pingTimeout = time.Second

// What an idle socket has to say.
const (
	silent = iota
	hungUp
	spoke
)

// session is a link to Postgres: one connection, for pgx and for database/sql.
type session struct {
	pgx *pgx.Conn
	std *stdlib.Conn
	// db lends this connection and no other.
	db  *sql.DB
	raw *hangUpConn
	// loan is the one under way; it belongs to whoever holds the connection.
	loan *lent
}

func (c *Cache) connectServer(ctx context.Context, _ Key, dsn DSN) (link, error) {
	text, err := dsn(ctx)
	if err != nil {
		return nil, fmt.Errorf("connection string: %w", err)
	}
	config, err := pgx.ParseConfig(text)
	if err != nil {
		// The parser's error quotes the string, and its redaction is best effort.
		return nil, errors.New("connection string does not parse")
	}
	if c.opt.Configure != nil {
		c.opt.Configure(config)
	}
	if _, set := config.RuntimeParams[checkParam]; !set {
		config.RuntimeParams[checkParam] = checkInterval
	}
	var raw *hangUpConn
	config.DialFunc = hangUpDial(config.DialFunc, func(c *hangUpConn) { raw = c })
	opened, err := stdlib.GetConnector(*config).Connect(ctx)
	if err != nil {
		return nil, err
	}
	std, ok := opened.(*stdlib.Conn)
	if !ok {
		return nil, fmt.Errorf("%T is no connection of pgx", opened)
	}
	s := &session{pgx: std.Conn(), std: std, raw: raw}
	s.db = sql.OpenDB(lender{s})
	s.db.SetMaxIdleConns(0)
	return s, nil
}

// lender is a driver.Connector that lends one connection to one transaction.
type lender struct{ *session }

// borrowed is a connection whose Close gives it back.
type borrowed struct {
	*stdlib.Conn
	back func()
}

// Close gives the connection back. database/sql calls it when the transaction
// has ended and nothing uses the connection any more.
func (b borrowed) Close() error {
	b.back()
	return nil
}

// Connect is for database/sql, which calls it within BeginTx.
func (l lender) Connect(context.Context) (driver.Conn, error) {
	if l.pgx.IsClosed() {
		return nil, driver.ErrBadConn
	}
	return borrowed{l.std, l.loan.giveBack}, nil
}

// Driver is for database/sql.
func (l lender) Driver() driver.Driver { return stdlib.GetDefaultDriver() }

// Alive is for the cache.
func (s *session) Alive(ctx context.Context) bool {
	if s.pgx.IsClosed() {
		return false
	}
	switch peek(s.raw.Conn) {
	case silent:
		return true
	case hungUp:
		return false
	}
	// A notice or a changed parameter, or the reason of an end that follows.
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	return s.pgx.Ping(ctx) == nil
}

// Usable is for the cache.
func (s *session) Usable() bool {
	return !s.pgx.IsClosed() && !s.pgx.PgConn().IsBusy() && s.pgx.PgConn().TxStatus() == 'I'
}

// Watch is for the cache.
func (s *session) Watch(a ...*activity) { s.raw.watchers.Store(&a) }

// Close is for the cache.
func (s *session) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	if s.pgx.IsClosed() {
		awaitCleanup(s.pgx, s.raw)
	} else {
		_ = s.pgx.Close(ctx)
	}
	_ = s.db.Close()
}

// Cut is for the cache.
func (s *session) Cut() { _ = s.raw.Conn.Close() }

// lent is one loan of a connection: it comes back once.
type lent struct {
	once sync.Once
	conn *Conn
}

func (l *lent) giveBack() { l.once.Do(l.conn.release) }
