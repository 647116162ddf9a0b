package lists

import (
	"context"
	stdsql "database/sql"
	"strings"
)

// Explain answers how Postgres would run a query; tests hold the indexes of a
// resource against it.
func Explain(ctx context.Context, tx *stdsql.Tx, q *Query) (string, error) {
	text, args, err := q.statement(ctx, tx, nil)
	if err != nil {
		return "", err
	}
	rows, err := tx.QueryContext(ctx, "EXPLAIN (COSTS OFF) "+text, args...)
	if err != nil {
		return "", err
	}
	defer func() { _ = rows.Close() }()
	var lines []string
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			return "", err
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n"), rows.Err()
}
