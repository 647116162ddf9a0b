package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"tenantry/internal/systest"
)

// bareRefresh runs the statements of a refresh in a plain pgx loop, one
// transaction each: find the token, lock its session with the account, look at
// the token again, insert the successor, use the token, touch the session,
// write the audit row. It hashes, seals and signs nothing.
func bareRefresh(ctx context.Context, sys *systest.System, slug string) (run, error) {
	pool, err := barePool(ctx, sys, slug, refreshWidth)
	if err != nil {
		return nil, err
	}
	var user uuid.UUID
	if err := pool.QueryRow(ctx, `SELECT id FROM users LIMIT 1`).Scan(&user); err != nil {
		return nil, fmt.Errorf("an account: %w", err)
	}
	free := make(chan bareToken, refreshWidth)
	for range refreshWidth {
		t := bareToken{session: uuid.New(), hash: randomBytes(32)}
		if _, err := pool.Exec(ctx, `
			INSERT INTO sessions (id, user_id, authenticated_at, amr, expires_at) VALUES ($1, $2, now(), '["pwd"]', now() + interval '30 days')`, t.session, user); err != nil {
			return nil, err
		}
		if _, err := pool.Exec(ctx, insertToken, uuid.New(), t.session, t.hash); err != nil {
			return nil, err
		}
		free <- t
	}
	call := func(ctx context.Context) error {
		t := <-free
		next, err := t.change(ctx, pool)
		free <- next
		return err
	}
	return func(ctx context.Context) (float64, error) { return rate(ctx, refreshWidth, 3*time.Second, call) }, nil
}

type bareToken struct {
	session uuid.UUID
	hash    []byte
}

const insertToken = `
	INSERT INTO one_time_values (id, purpose, subject_id, token_hash, created_at, expires_at) VALUES ($1, 'refresh', $2, $3, now(), now() + interval '14 days')`

const findToken = `
	SELECT v.id, v.subject_id, v.expires_at, v.used_at, s.used_at IS NOT NULL
	FROM one_time_values v LEFT JOIN one_time_values s ON s.id = v.successor_id WHERE v.token_hash = $1 AND v.purpose = 'refresh'`

func (t bareToken) change(ctx context.Context, pool *pgxpool.Pool) (bareToken, error) {
	next := bareToken{session: t.session, hash: randomBytes(32)}
	return next, pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		var id, session, user uuid.UUID
		var expires time.Time
		var used *time.Time
		var succeeded bool
		if err := tx.QueryRow(ctx, findToken, t.hash).Scan(&id, &session, &expires, &used, &succeeded); err != nil {
			return err
		}
		if err := tx.QueryRow(ctx, `
			SELECT s.user_id FROM sessions s JOIN users u ON u.id = s.user_id
			WHERE s.id = $1 AND s.revoked_at IS NULL AND s.expires_at > now() AND u.deleted_at IS NULL FOR UPDATE OF s`, session).Scan(&user); err != nil {
			return err
		}
		if err := tx.QueryRow(ctx, findToken, t.hash).Scan(&id, &session, &expires, &used, &succeeded); err != nil {
			return err
		}
		successor := uuid.New()
		for _, statement := range []struct {
			sql  string
			args []any
		}{
			{insertToken, []any{successor, session, next.hash}},
			{`UPDATE one_time_values SET used_at = now(), successor_id = $2, successor = $3 WHERE id = $1 AND used_at IS NULL`, []any{id, successor, randomBytes(60)}},
			{`UPDATE sessions SET last_used_at = now() WHERE id = $1`, []any{session}},
			{`INSERT INTO audit_log (id, at, actor_kind, actor_id, action, target_kind, target_id, mac) VALUES ($1, now(), 'user', $2, 'session.refreshed', 'session', $3, $4)`,
				[]any{uuid.New(), user, session, randomBytes(32)}},
		} {
			if _, err := tx.Exec(ctx, statement.sql, statement.args...); err != nil {
				return err
			}
		}
		return nil
	})
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // fails never
	return b
}
