package lists

import "entgo.io/ent/dialect/sql"

// term is one part of the total order: a key, or at the end the id.
type term struct {
	field *Field
	desc  bool
}

func (q *Query) terms() []term {
	out := make([]term, 0, len(q.keys)+1)
	for _, k := range q.keys {
		if k.Field.Name == "id" { // unique: nothing is left to decide
			return append(out, term{k.Field, k.Desc})
		}
		out = append(out, term{k.Field, k.Desc})
	}
	// In the direction of the last key, so that the index on (key, id)
	// serves both directions; a search ends with the oldest first.
	id := term{q.resource.id, out[len(out)-1].desc && q.search == ""}
	return append(out, id)
}

// write writes what Postgres sorts by: never null, so that one comparison
// holds everywhere. Null is infinity, larger than every time.
func (t term) write(b *sql.Builder) {
	if !t.field.Nullable {
		b.Ident(t.field.column())
		return
	}
	b.WriteString("coalesce(").Ident(t.field.column()).WriteString(", 'infinity')")
}

func (t term) comparison(op string, value any) *sql.Predicate {
	return sql.P(func(b *sql.Builder) {
		t.write(b)
		b.WriteString(op).Arg(value)
	})
}

func (t term) order(b *sql.Builder) {
	t.write(b)
	if t.desc {
		b.WriteString(" DESC")
	}
}

// behind selects what comes after the cursor.
func (q *Query) behind() *sql.Predicate {
	terms := q.terms()
	if oneDirection(terms) {
		return rowBehind(terms, q.after)
	}
	// The first condition follows from the second, but an index can use it.
	first := " >= "
	if terms[0].desc {
		first = " <= "
	}
	return and(terms[0].comparison(first, q.after[0]), mixedBehind(terms, q.after))
}

func oneDirection(terms []term) bool {
	for _, t := range terms {
		if t.desc != terms[0].desc {
			return false
		}
	}
	return true
}

func rowBehind(terms []term, after []any) *sql.Predicate {
	op := ") > ("
	if terms[0].desc {
		op = ") < ("
	}
	return sql.P(func(b *sql.Builder) {
		b.WriteByte('(')
		for i, t := range terms {
			if i > 0 {
				b.Comma()
			}
			t.write(b)
		}
		b.WriteString(op).Args(after...).WriteByte(')')
	})
}

// mixedBehind is (a > x OR (a = x AND (b < y OR …))).
func mixedBehind(terms []term, after []any) *sql.Predicate {
	op := " > "
	if terms[0].desc {
		op = " < "
	}
	p := terms[0].comparison(op, after[0])
	if len(terms) == 1 {
		return p
	}
	return or(p, and(terms[0].comparison(" = ", after[0]), mixedBehind(terms[1:], after[1:])))
}
