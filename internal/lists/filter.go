package lists

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"entgo.io/ent/dialect/sql"
	"github.com/google/uuid"

	"tenantry/internal/rsql"
)

// operators that each type takes, beside =null= on nullable fields.
var operators = map[Type][]rsql.Op{
	Text: {rsql.Equal, rsql.NotEqual, rsql.Greater, rsql.GreaterEqual, rsql.Less, rsql.LessEqual, rsql.In, rsql.Out},
	Int:  {rsql.Equal, rsql.NotEqual, rsql.Greater, rsql.GreaterEqual, rsql.Less, rsql.LessEqual, rsql.In, rsql.Out},
	Time: {rsql.Equal, rsql.NotEqual, rsql.Greater, rsql.GreaterEqual, rsql.Less, rsql.LessEqual, rsql.In, rsql.Out},
	UUID: {rsql.Equal, rsql.NotEqual, rsql.In, rsql.Out},
	Enum: {rsql.Equal, rsql.NotEqual, rsql.In, rsql.Out},
	Bool: {rsql.Equal, rsql.NotEqual},
}

// check holds a filter against the whitelist.
func (r *Resource) check(n rsql.Node) error {
	var err error
	rsql.Walk(n, func(c *rsql.Comparison) {
		if err == nil {
			err = r.checkOne(c)
		}
	})
	return err
}

func (r *Resource) checkOne(c *rsql.Comparison) error {
	bad := func(at int, rule, format string, args ...any) error {
		return refuse("FILTER_INVALID", "filter", rule, fmt.Sprintf("at character %d: %s", at, fmt.Sprintf(format, args...)))
	}
	f := r.field(c.Field)
	if f == nil || !f.Filterable {
		return bad(c.At, "filter.field", "%s is no field to filter by; allowed: %s", show(c.Field),
			strings.Join(r.names(func(f *Field) bool { return f.Filterable }), ", "))
	}
	if allowed := f.operators(); !slices.Contains(allowed, c.Op) {
		texts := make([]string, len(allowed))
		for i, op := range allowed {
			texts[i] = string(op)
		}
		return bad(c.At, "filter.operator", "%s does not take %s; allowed: %s", f.Name, c.Op, strings.Join(texts, " "))
	}
	for _, v := range c.Values {
		if _, err := f.value(c.Op, v); err != nil {
			return bad(v.At, "filter.value", "%s takes %s", f.Name, err)
		}
	}
	return nil
}

func (f *Field) operators() []rsql.Op {
	allowed := operators[f.Type]
	if f.Nullable {
		return append(slices.Clone(allowed), rsql.Null)
	}
	return allowed
}

// value reads a value; its error says what the field takes.
func (f *Field) value(op rsql.Op, v rsql.Value) (any, error) {
	if op == rsql.Null {
		return parseBool(v.Text())
	}
	if v.Wild() && f.Type != Text {
		return nil, fmt.Errorf("no wildcards: it is of type %s", f.Type)
	}
	switch f.Type {
	case Text:
		return v.Text(), nil
	case Int:
		n, err := strconv.ParseInt(v.Text(), 10, 64)
		if err != nil {
			return nil, fmt.Errorf("whole numbers of 64 bits, not %s", show(v.Text()))
		}
		return n, nil
	case Bool:
		return parseBool(v.Text())
	case Time:
		return parseTime(v.Text())
	case UUID:
		id, err := uuid.Parse(v.Text())
		if err != nil || len(v.Text()) != 36 {
			return nil, fmt.Errorf("UUIDs of 36 characters, not %s", show(v.Text()))
		}
		return id, nil
	case Enum:
		if !slices.Contains(f.Values, v.Text()) {
			return nil, fmt.Errorf("%s, not %s", strings.Join(f.Values, ", "), show(v.Text()))
		}
		return v.Text(), nil
	}
	return nil, errors.New("no value")
}

func parseBool(text string) (any, error) {
	if text != "true" && text != "false" {
		return nil, fmt.Errorf("true or false, not %s", show(text))
	}
	return text == "true", nil
}

// parseTime reads RFC 3339 or a date, which is its midnight in UTC. Postgres
// keeps microseconds: a finer time would compare as another one.
func parseTime(text string) (any, error) {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		t, err = time.Parse(time.DateOnly, text)
	}
	if t = t.UTC(); err != nil || !t.Equal(t.Truncate(time.Microsecond)) || t.Year() < 1 || t.Year() > 9999 {
		return nil, fmt.Errorf("times like 2026-01-31T12:00:00Z (RFC 3339, at most microseconds) or 2026-01-31, not %s", show(text))
	}
	return t, nil
}

// predicate compiles a checked filter.
func (r *Resource) predicate(n rsql.Node) *sql.Predicate {
	switch n := n.(type) {
	case *rsql.And:
		return and(r.predicates(n.Of)...)
	case *rsql.Or:
		return or(r.predicates(n.Of)...)
	case *rsql.Comparison:
		return r.field(n.Field).compare(n)
	}
	panic("no such node")
}

func (r *Resource) predicates(of []rsql.Node) []*sql.Predicate {
	out := make([]*sql.Predicate, len(of))
	for i, n := range of {
		out[i] = r.predicate(n)
	}
	return out
}

func (f *Field) compare(c *rsql.Comparison) *sql.Predicate {
	args := make([]any, len(c.Values))
	for i, v := range c.Values {
		args[i], _ = f.value(c.Op, v) // checked when the query was parsed
	}
	column := f.column()
	wild := c.Values[0].Wild()
	switch c.Op {
	case rsql.Equal:
		if wild {
			return like(column, " LIKE ", c.Values[0])
		}
		return sql.EQ(column, args[0])
	case rsql.NotEqual:
		if wild {
			return f.orNull(like(column, " NOT LIKE ", c.Values[0]))
		}
		return f.orNull(sql.NEQ(column, args[0]))
	case rsql.Greater:
		return sql.GT(column, args[0])
	case rsql.GreaterEqual:
		return sql.GTE(column, args[0])
	case rsql.Less:
		return sql.LT(column, args[0])
	case rsql.LessEqual:
		return sql.LTE(column, args[0])
	case rsql.In:
		return sql.In(column, args...)
	case rsql.Out:
		return f.orNull(sql.NotIn(column, args...))
	}
	if args[0] == true { // =null=
		return sql.IsNull(column)
	}
	return sql.NotNull(column)
}

func (f *Field) orNull(p *sql.Predicate) *sql.Predicate {
	if !f.Nullable {
		return p
	}
	return or(p, sql.IsNull(f.column()))
}

var likeEscapes = strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`)

func like(column, operator string, v rsql.Value) *sql.Predicate {
	parts := make([]string, len(v.Parts))
	for i, p := range v.Parts {
		parts[i] = likeEscapes.Replace(p)
	}
	return sql.P(func(b *sql.Builder) { b.Ident(column).WriteString(operator).Arg(strings.Join(parts, "%")) })
}

// and and or keep their parentheses wherever they end up: those of ent are
// left out around a single part, also when that part is an OR.
func and(of ...*sql.Predicate) *sql.Predicate { return wrapped(" AND ", of) }
func or(of ...*sql.Predicate) *sql.Predicate  { return wrapped(" OR ", of) }

func wrapped(word string, of []*sql.Predicate) *sql.Predicate {
	return sql.P(func(b *sql.Builder) {
		b.WriteByte('(')
		for i, p := range of {
			if i > 0 {
				b.WriteString(word)
			}
			b.Join(p)
		}
		b.WriteByte(')')
	})
}
