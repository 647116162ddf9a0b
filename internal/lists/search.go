package lists

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"entgo.io/ent/dialect"
	"entgo.io/ent/dialect/sql"
)

// Search says how a resource is searched.
type Search struct {
	// Text is the SQL of the searched text of a row. A migration has a GIN
	// index on it with gin_trgm_ops, which knows no case.
	Text string
	// Words is the SQL of the same text as a tsvector, with a GIN index.
	Words string
}

// rank stands for the score of a search among sort keys.
var rank = &Field{Name: "rank", Type: Int, columns: []string{"rank"}}

// maxRanked bounds what one search ranks of each kind: a search that fits more
// rows than that is too vague for its order to matter, and which of them it
// ranks is up to Postgres.
const maxRanked = "2000"

// prepareSearch is for this transaction alone: how alike a word must be to
// pass for a typo of another; and that the rows are found through the indexes
// and in one order. Left to itself Postgres reads the table instead, because
// it takes parsing a text for cheap, which costs seconds with a million rows.
const prepareSearch = `SELECT set_config('pg_trgm.word_similarity_threshold', $1, true), set_config('enable_seqscan', 'off', true),
	set_config('max_parallel_workers_per_gather', '0', true)`

// likeness answers what share of their trigrams two texts must have in common.
// Two letters that changed places cost five trigrams on either side, so a
// short word must be granted a smaller share than a long one; below 0.3
// everything is like everything.
func likeness(words []string) string {
	trigrams := 0
	for _, w := range words {
		trigrams += utf8.RuneCountInString(w) + 1
	}
	share := float64(trigrams-5) / float64(trigrams+5)
	return strconv.FormatFloat(min(max(share, 0.3), 0.5), 'f', 2, 64)
}

// searchStatement ranks two kinds of rows: those that hold every word or one
// that begins with it, and behind them all those that hold something alike.
// The second kind is looked for only when the first does not fill the page.
// Each kind is found through its index, and maxRanked bounds the work of
// ranking; rank and id make the order total, so cursors hold.
func (q *Query) searchStatement(where []*sql.Predicate) (string, []any) {
	spec, cond := q.resource.search, q.conditions(where)
	words := make([]string, len(q.words))
	for i, w := range q.words {
		words[i] = w + ":*"
	}
	tsquery := strings.Join(words, " & ")
	b := &sql.Builder{}
	b.SetDialect(dialect.Postgres)
	like := func() { b.Arg(q.search).WriteString("::text") }
	match := func() { b.WriteString(spec.Words + " @@ to_tsquery('simple', ").Arg(tsquery).WriteByte(')') }
	found := func(name, base string, only func()) {
		b.WriteString(name + " AS (SELECT ")
		q.writeColumns(b)
		b.WriteString(", " + base + " + (5000 * word_similarity(")
		like()
		b.WriteString(", " + spec.Text + ") + 5000 * similarity(")
		like()
		b.WriteString(", " + spec.Text + "))::int AS rank FROM (SELECT * FROM ").Ident(q.resource.table).WriteString(" WHERE ")
		only()
		if cond != nil {
			b.WriteString(" AND ").Join(cond)
		}
		b.WriteString(" LIMIT " + maxRanked + ") AS candidates)")
	}
	pageOf := func(name string) {
		b.WriteString("SELECT * FROM " + name)
		if q.after != nil {
			b.WriteString(" WHERE ").Join(q.behind())
		}
		b.WriteString(" ORDER BY rank DESC, id LIMIT ").Arg(q.limit + 1)
	}
	b.WriteString("WITH ")
	found("exact", "20000", match)
	b.WriteString(", exact_page AS (")
	pageOf("exact")
	b.WriteString("), ")
	found("alike", "0", func() {
		b.WriteString("(SELECT count(*) FROM exact_page) <= ").Arg(q.limit).WriteString(" AND ")
		like()
		b.WriteString(" <% " + spec.Text + " AND NOT ")
		match()
	})
	b.WriteString(" SELECT * FROM (SELECT * FROM exact_page UNION ALL (")
	pageOf("alike")
	b.WriteString(")) AS found ORDER BY rank DESC, id LIMIT ").Arg(q.limit + 1)
	return b.Query()
}

func (q *Query) writeColumns(b *sql.Builder) {
	for i, name := range q.columnNames() {
		if i > 0 {
			b.Comma()
		}
		b.Ident(name)
	}
}
