package lists

import (
	"context"
	stdsql "database/sql"
	"encoding/json"
	"fmt"
	"time"

	"entgo.io/ent/dialect"
	"entgo.io/ent/dialect/sql"
	"github.com/google/uuid"
)

// Dest answers where a row's field is scanned to: a pointer of the type that
// the schema has (**time.Time for one that may be null, *uuid.UUID for ids).
type Dest[T any] func(row *T, field string) any

// Run answers a page in one statement. It selects the columns that were asked
// for and those that the cursor needs, no other; where narrows the list
// further, whatever the filter says.
func Run[T any](ctx context.Context, tx *stdsql.Tx, q *Query, dest Dest[T], where ...*sql.Predicate) (Result[T], error) {
	out := Result[T]{Shown: q.shown()}
	text, args, err := q.statement(ctx, tx, where)
	if err != nil {
		return out, fmt.Errorf("list %s: %w", q.resource.name, err)
	}
	rows, err := tx.QueryContext(ctx, text, args...)
	if err != nil {
		return out, fmt.Errorf("list %s: %w", q.resource.name, err)
	}
	defer func() { _ = rows.Close() }()
	var ranks []int64
	for rows.Next() {
		var row T
		var score int64
		to := make([]any, 0, len(q.columns)+1)
		for _, f := range q.columns {
			to = append(to, dest(&row, f.Name))
		}
		if q.search != "" {
			to = append(to, &score)
		}
		if err := rows.Scan(to...); err != nil {
			return out, fmt.Errorf("list %s: %w", q.resource.name, err)
		}
		out.Items, ranks = append(out.Items, row), append(ranks, score)
	}
	if err := rows.Err(); err != nil {
		return out, fmt.Errorf("list %s: %w", q.resource.name, err)
	}
	if len(out.Items) <= q.limit {
		return out, nil
	}
	// The row beyond the page only tells that there is one.
	out.Items = out.Items[:q.limit]
	last := &out.Items[q.limit-1]
	at := make([]any, 0, len(q.keys)+1)
	for _, t := range q.terms() {
		if t.field == rank {
			at = append(at, ranks[q.limit-1])
			continue
		}
		at = append(at, plain(dest(last, t.field.Name)))
	}
	out.Next, err = q.seal(at)
	return out, err
}

func (q *Query) shown() []string {
	var out []string
	for _, f := range q.fields {
		out = append(out, f.Name)
	}
	return append(out, q.includes...)
}

// plain answers what a scanned pointer holds.
func plain(to any) any {
	switch p := to.(type) {
	case *string:
		return *p
	case *int64:
		return *p
	case *bool:
		return *p
	case *time.Time:
		return *p
	case **time.Time:
		if *p == nil {
			return nil
		}
		return **p
	case *uuid.UUID:
		return *p
	}
	return to
}

// JSONTo scans a JSON column.
func JSONTo(to any) stdsql.Scanner { return jsonColumn{to} }

type jsonColumn struct{ to any }

// Scan decodes the column.
func (j jsonColumn) Scan(src any) error {
	switch text := src.(type) {
	case nil:
		return nil
	case []byte:
		return json.Unmarshal(text, j.to)
	case string:
		return json.Unmarshal([]byte(text), j.to)
	}
	return fmt.Errorf("JSON from a %T", src)
}

// statement builds the SQL of a page. A search is built elsewhere, after it
// has told Postgres how many typos to tolerate.
func (q *Query) statement(ctx context.Context, tx *stdsql.Tx, where []*sql.Predicate) (string, []any, error) {
	if q.search != "" {
		if _, err := tx.ExecContext(ctx, prepareSearch, likeness(q.words)); err != nil {
			return "", nil, err
		}
		text, args := q.searchStatement(where)
		return text, args, nil
	}
	s := sql.Dialect(dialect.Postgres).Select(q.columnNames()...).From(sql.Table(q.resource.table)).Limit(q.limit + 1)
	if p := q.conditions(where); p != nil {
		s.Where(p)
	}
	if q.after != nil {
		s.Where(q.behind())
	}
	for _, t := range q.terms() {
		s.OrderExprFunc(t.order)
	}
	text, args := s.Query()
	return text, args, nil
}

func (q *Query) columnNames() []string {
	out := make([]string, len(q.columns))
	for i, f := range q.columns {
		out[i] = f.column()
	}
	return out
}

// conditions is what every row of the list meets, whatever the page; nil when
// there is nothing to meet.
func (q *Query) conditions(where []*sql.Predicate) *sql.Predicate {
	all := append([]*sql.Predicate(nil), where...)
	if q.filter != nil {
		all = append(all, q.resource.predicate(q.filter))
	}
	if len(all) == 0 {
		return nil
	}
	return and(all...)
}
