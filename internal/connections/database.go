package connections

import (
	"context"
	"database/sql"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Database is a tenant's database. It holds no connection: each statement and
// each transaction takes one and gives it back at its end. It is safe for
// concurrent use, but whoever holds a connection takes no second one: callers
// that hold one and wait for another would wait for each other.
//
// Its methods return [*BudgetError], [*OpenError] and [ErrClosed] besides what
// pgx returns.
type Database struct {
	cache *Cache
	key   Key
	dsn   DSN
}

// Database returns the database of key. It does no I/O; dsn is called when a
// connection is opened.
func (c *Cache) Database(key Key, dsn DSN) *Database { return &Database{c, key, dsn} }

func (d *Database) acquire(ctx context.Context) (*Conn, *session, error) {
	conn, err := d.cache.acquire(ctx, d.key, d.dsn)
	if err != nil {
		return nil, nil, err
	}
	return conn, conn.link.(*session), nil
}

// Exec runs one statement.
func (d *Database) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	conn, s, err := d.acquire(ctx)
	if err != nil {
		return pgconn.CommandTag{}, err
	}
	defer conn.release()
	return s.pgx.Exec(ctx, sql, args...)
}

// Query runs one statement; its rows hold a connection until they are closed or
// read to the end.
func (d *Database) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	conn, s, err := d.acquire(ctx)
	if err != nil {
		return nil, err
	}
	got, err := s.pgx.Query(ctx, sql, args...)
	r := &rows{Rows: got, back: &lent{conn: conn}}
	if err != nil {
		r.Close()
	}
	return r, err
}

// QueryRow runs one statement; Scan gives its connection back, so it is called
// once whatever happens.
func (d *Database) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	conn, s, err := d.acquire(ctx)
	if err != nil {
		return failedRow{err}
	}
	return row{s.pgx.QueryRow(ctx, sql, args...), conn}
}

// BeginTx begins a transaction, which holds a connection until it has ended.
func (d *Database) BeginTx(ctx context.Context, opts *sql.TxOptions) (*sql.Tx, error) {
	conn, s, err := d.acquire(ctx)
	if err != nil {
		return nil, err
	}
	loan := &lent{conn: conn}
	s.loan = loan
	tx, err := s.db.BeginTx(ctx, opts)
	if err != nil {
		loan.giveBack() // unless database/sql has done so
	}
	return tx, err
}

// row gives its connection back when it has been scanned.
type row struct {
	pgx.Row
	conn *Conn
}

func (r row) Scan(dest ...any) error {
	defer r.conn.release()
	return r.Row.Scan(dest...)
}

type failedRow struct{ err error }

func (r failedRow) Scan(...any) error { return r.err }

// rows give their connection back when they close.
type rows struct {
	pgx.Rows
	back *lent
}

func (r *rows) Close() {
	r.Rows.Close()
	r.back.giveBack()
}

func (r *rows) Next() bool {
	more := r.Rows.Next()
	if !more {
		r.Close()
	}
	return more
}
