package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"tenantry/internal/systest"
)

// crowd is how many people the tenant of the lists has.
const crowd = 1_000_000

// listWidth is the concurrency of both list programs.
const listWidth = 8

// listQuery is 50 of them, by a filter that half of them meet, with roles.
const listQuery = "/v1/users?filter=login_count=ge=50;created_at=gt=2026-01-01&include=roles&limit=50"

// list is that page over HTTP against its two statements.
var list = measure{name: "list", goal: 0.25, unit: "/s", prepare: func(ctx context.Context, sys *systest.System) (run, run, error) {
	c, err := crowded(ctx, sys)
	if err != nil {
		return nil, nil, err
	}
	bare, err := bareList(ctx, sys, crowdSlug)
	ours := func(ctx context.Context) (float64, error) {
		return rate(ctx, listWidth, 3*time.Second, func(ctx context.Context) error { return get(ctx, c.http, c.url(listQuery), c.token) })
	}
	return ours, bare, err
}}

// depth is a page behind a million people against the first one, both ours.
var depth = measure{name: "depth", goal: 1.3, atMost: true, unit: "ms", prepare: func(ctx context.Context, sys *systest.System) (run, run, error) {
	c, err := crowded(ctx, sys)
	if err != nil {
		return nil, nil, err
	}
	cursor := ""
	for range crowd/100 - 1 {
		var page struct {
			Next string `json:"next_cursor"`
		}
		if err := c.decode(ctx, "/v1/users?fields=id&limit=100&cursor="+cursor, &page); err != nil {
			return nil, nil, err
		}
		cursor = page.Next
	}
	times := func(query string) run {
		return func(ctx context.Context) (float64, error) {
			return medianOf(100, func() (time.Duration, error) {
				started := time.Now()
				err := get(ctx, c.http, c.url(query), c.token)
				return time.Since(started), err
			})
		}
	}
	return times("/v1/users?limit=50&cursor=" + cursor), times("/v1/users?limit=50"), nil
}}

// searches are what people type: whole words, beginnings, two words, typos.
var searches = []string{
	"alexander", "kath", "john kobason", "mary torvikova", "emily", "jennifer ren", "alexnader", "jonhatan", "elizabteh", "miaski",
}

// search is the middle of their times over HTTP against their statement.
var search = measure{name: "search", goal: 1.5, atMost: true, unit: "ms", prepare: func(ctx context.Context, sys *systest.System) (run, run, error) {
	c, err := crowded(ctx, sys)
	if err != nil {
		return nil, nil, err
	}
	bare, err := bareSearch(ctx, sys, crowdSlug)
	ours := func(ctx context.Context) (float64, error) {
		return p50(searches, func(q string) error {
			return get(ctx, c.http, c.url("/v1/users?q="+url.QueryEscape(q)), c.token)
		})
	}
	return ours, bare, err
}}

// p50 calls once with each and answers the middle time in milliseconds.
func p50(all []string, call func(string) error) (float64, error) {
	var took []float64
	for _, q := range all {
		started := time.Now()
		if err := call(q); err != nil {
			return 0, err
		}
		took = append(took, float64(time.Since(started).Microseconds())/1000)
	}
	slices.Sort(took)
	return median(took), nil
}

const crowdSlug = "bench-crowd"

// visitor asks the tenant with the crowd as its owner.
type visitor struct {
	http  *http.Client
	token string
	sys   *systest.System
}

func (c *visitor) url(query string) string { return c.sys.TenantURL(crowdSlug, query) }

func (c *visitor) decode(ctx context.Context, query string, to any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url(query), nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	resp, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", query, resp.Status)
	}
	return json.NewDecoder(resp.Body).Decode(to)
}

var theCrowd *visitor

// crowded answers the tenant with a million people, made once.
func crowded(ctx context.Context, sys *systest.System) (*visitor, error) {
	if theCrowd != nil {
		return theCrowd, nil
	}
	token, err := ownerOf(ctx, sys, crowdSlug)
	if err != nil {
		return nil, err
	}
	if err := gather(ctx, sys); err != nil {
		return nil, err
	}
	theCrowd = &visitor{
		http:  &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: listWidth, DialContext: loopback}},
		token: token, sys: sys,
	}
	return theCrowd, nil
}

// gather writes the crowd; the search's indexes are built after it.
func gather(ctx context.Context, sys *systest.System) error {
	database, err := sys.Database(ctx, crowdSlug)
	if err != nil {
		return err
	}
	conn, err := sys.Connect(ctx, database)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	var indexes []string
	rows, err := conn.Query(ctx, `SELECT indexdef FROM pg_indexes WHERE indexname LIKE 'user\_search\_%'`)
	if err == nil {
		indexes, err = pgx.CollectRows(rows, pgx.RowTo[string])
	}
	if err != nil {
		return err
	}
	steps := append([]string{`SET maintenance_work_mem = '512MB'`, `DROP INDEX user_search_words, user_search_text`, insertCrowd}, indexes...)
	for _, sql := range append(steps, `VACUUM ANALYZE users`, `VACUUM ANALYZE user_roles`, `CHECKPOINT`) {
		fmt.Fprintf(progress(), "crowd: %.60s\n", sql)
		if _, err := conn.Exec(ctx, sql, pgx.QueryExecModeSimpleProtocol); err != nil {
			return err
		}
	}
	return nil
}

// insertCrowd writes people named from 50 first and 4,000 last names, each
// with the role of a member.
const insertCrowd = `
	SELECT setseed(0.5);
	WITH parts AS (SELECT ARRAY['ba','ko','mi','ren','sto','fel','gar','hin','jak','lor','mun','nev','pol','qui','rus','sen','tor','urb','vik','wal'] AS p,
		ARRAY['james','mary','robert','patricia','john','jennifer','michael','linda','david','elizabeth','william','barbara','richard','susan','joseph',
			'jessica','thomas','sarah','charles','karen','christopher','lisa','daniel','nancy','matthew','betty','anthony','margaret','mark','sandra','donald',
			'ashley','steven','kimberly','paul','emily','andrew','donna','joshua','michelle','alexander','katherine','catherine','jonathan','zoe','conan',
			'olivia','mia','anna','hannah'] AS f, ARRAY['son','berg','ova','ez','ini','er','man','ski','ton','ham'] AS e),
	people AS (SELECT i, f[1 + (random() * 49)::int] AS first, p[1 + (random() * 19)::int] || p[1 + (random() * 19)::int] || e[1 + (random() * 9)::int] AS last
		FROM parts, generate_series(1, 1000000) AS i),
	made AS (INSERT INTO users (id, subject_key_id, name, email, email_normalized, password_hash, login_count, last_login_at, created_at, updated_at)
		SELECT ('0190b1c2-' || lpad(to_hex(i / 65536), 4, '0') || '-7000-8000-' || lpad(to_hex(i), 12, '0'))::uuid, gen_random_uuid(),
			initcap(first || ' ' || last), first || '.' || last || i || '@mail.example', first || '.' || last || i || '@mail.example', '',
			i % 100, CASE WHEN i % 100 > 0 THEN timestamptz '2026-06-01' + i * interval '1 second' END, timestamptz '2026-02-01' + i * interval '1 second', timestamptz '2026-02-01' FROM people
		RETURNING id)
	INSERT INTO user_roles (user_id, role_id) SELECT made.id, roles.id FROM made, roles WHERE roles.name = 'member'`
