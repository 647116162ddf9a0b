package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"tenantry/internal/systest"
)

// person is a row of both bare programs.
type person struct {
	id               uuid.UUID
	name, email      string
	version, logins  int64
	created, updated time.Time
	last, deleted    *time.Time
}

func scanPeople(rows pgx.Rows, more ...any) ([]person, error) {
	return pgx.CollectRows(rows, func(r pgx.CollectableRow) (p person, err error) {
		err = r.Scan(append([]any{&p.id, &p.name, &p.email, &p.version, &p.logins, &p.last, &p.created, &p.updated, &p.deleted}, more...)...)
		return p, err
	})
}

const personColumns = `id, name, email, version, login_count, last_login_at, created_at, updated_at, deleted_at`

// barePool is a plain pgx pool on a tenant's database.
func barePool(ctx context.Context, sys *systest.System, slug string, width int32) (*pgxpool.Pool, error) {
	database, err := sys.Database(ctx, slug)
	if err != nil {
		return nil, err
	}
	conn, err := sys.Connect(ctx, database)
	if err != nil {
		return nil, err
	}
	cfg, err := pgxpool.ParseConfig(conn.Config().ConnString())
	if err != nil {
		return nil, err
	}
	if err := conn.Close(ctx); err != nil {
		return nil, err
	}
	cfg.ConnConfig.Database, cfg.MaxConns = database, width
	return pgxpool.NewWithConfig(context.WithoutCancel(ctx), cfg)
}

// bareList reads the page and its roles in a plain pgx loop.
func bareList(ctx context.Context, sys *systest.System, slug string) (run, error) {
	pool, err := barePool(ctx, sys, slug, listWidth)
	if err != nil {
		return nil, err
	}
	call := func(ctx context.Context) error {
		rows, err := pool.Query(ctx, `
			SELECT `+personColumns+` FROM users WHERE deleted_at IS NULL AND login_count >= $1 AND created_at > $2 ORDER BY created_at, id LIMIT 51`,
			50, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
		if err != nil {
			return err
		}
		people, err := scanPeople(rows)
		if err != nil {
			return err
		}
		found := make([]uuid.UUID, 50)
		for i, p := range people[:50] {
			found[i] = p.id
		}
		rows, err = pool.Query(ctx, `
			SELECT ur.user_id, r.id, r.name FROM user_roles ur JOIN roles r ON r.id = ur.role_id WHERE ur.user_id = ANY ($1) ORDER BY r.name, r.id`, found)
		if err != nil {
			return err
		}
		var user, role uuid.UUID
		var name string
		_, err = pgx.ForEachRow(rows, []any{&user, &role, &name}, func() error { return nil })
		return err
	}
	return func(ctx context.Context) (float64, error) { return rate(ctx, listWidth, 3*time.Second, call) }, nil
}

// bareSearch runs the search's statement in a plain pgx transaction.
func bareSearch(ctx context.Context, sys *systest.System, slug string) (run, error) {
	pool, err := barePool(ctx, sys, slug, 1)
	if err != nil {
		return nil, err
	}
	call := func(q string) error {
		return pgx.BeginTxFunc(ctx, pool, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
			words := strings.Fields(q)
			trigrams := len(words)
			for _, w := range words {
				trigrams += len(w)
			}
			_, err := tx.Exec(ctx, `SELECT set_config('pg_trgm.word_similarity_threshold', $1, true), set_config('enable_seqscan', 'off', true),
				set_config('max_parallel_workers_per_gather', '0', true)`, fmt.Sprintf("%.2f", min(max(float64(trigrams-5)/float64(trigrams+5), 0.3), 0.5)))
			if err != nil {
				return err
			}
			rows, err := tx.Query(ctx, bareSearchSQL, q, strings.Join(words, ":* & ")+":*")
			if err != nil {
				return err
			}
			var rank int64
			_, err = scanPeople(rows, &rank)
			return err
		})
	}
	return func(context.Context) (float64, error) { return p50(searches, call) }, nil
}

const bareSearchSQL = `
	WITH exact AS (
		SELECT ` + personColumns + `, 20000 + (5000 * word_similarity($1, name || ' ' || email) + 5000 * similarity($1, name || ' ' || email))::int AS rank
		FROM (SELECT * FROM users WHERE to_tsvector('simple', translate(name || ' ' || email, '@.+-_/\''":&~#,;!?()[]{}<>=*%$|^` + "`" + `', repeat(' ', 32))) @@ to_tsquery('simple', $2)
			AND deleted_at IS NULL LIMIT 2000) AS candidates ORDER BY rank DESC, id LIMIT 21),
	alike AS (
		SELECT ` + personColumns + `, (5000 * word_similarity($1, name || ' ' || email) + 5000 * similarity($1, name || ' ' || email))::int AS rank
		FROM (SELECT * FROM users WHERE (SELECT count(*) FROM exact) < 21 AND $1 <% (name || ' ' || email)
			AND NOT to_tsvector('simple', translate(name || ' ' || email, '@.+-_/\''":&~#,;!?()[]{}<>=*%$|^` + "`" + `', repeat(' ', 32))) @@ to_tsquery('simple', $2)
			AND deleted_at IS NULL LIMIT 2000) AS candidates ORDER BY rank DESC, id LIMIT 21)
	SELECT * FROM (SELECT * FROM exact UNION ALL SELECT * FROM alike) AS found ORDER BY rank DESC, id LIMIT 21`
