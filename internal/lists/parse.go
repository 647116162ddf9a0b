package lists

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"tenantry/internal/apperr"
	"tenantry/internal/rsql"
	"tenantry/internal/secrets"
)

// Parse checks a request. The key is that of the database's owner: cursors
// are sealed with it.
func (r *Resource) Parse(in Request, key secrets.DataKey) (*Query, error) {
	q := &Query{resource: r, key: key, limit: in.Limit}
	if in.Limit < 0 || in.Limit > MaxLimit {
		return nil, apperr.InvalidField("limit", "int32.gte_lte", "must be 1 to 100, or absent for 20")
	}
	if in.Limit == 0 {
		q.limit = DefaultLimit
	}
	for _, step := range []func(Request) error{q.parseFilter, q.parseSearch, q.parseOrder, q.parseFields, q.parseIncludes} {
		if err := step(in); err != nil {
			return nil, err
		}
	}
	q.chooseColumns()
	q.binding = strings.Join([]string{r.name, formatSort(q.keys), in.Filter, q.search}, "\x00")
	return q, q.open(in.Cursor)
}

func (q *Query) parseFilter(in Request) error {
	if in.Filter == "" {
		return nil
	}
	n, err := rsql.Parse(in.Filter)
	if err != nil {
		return refuse("FILTER_INVALID", "filter", "filter.syntax", err.Error())
	}
	if err := q.resource.check(n); err != nil {
		return err
	}
	q.filter = n
	return nil
}

func (q *Query) parseSearch(in Request) error {
	if in.Search == "" {
		return nil
	}
	bad := func(rule, message string) error { return refuse("SEARCH_INVALID", "q", rule, message) }
	if q.resource.search == nil {
		return bad("search.unsupported", "this list cannot be searched; use filter")
	}
	if !utf8.ValidString(in.Search) || strings.ContainsFunc(in.Search, func(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) }) {
		return bad("search.characters", "control characters are not allowed")
	}
	if n := utf8.RuneCountInString(in.Search); n > MaxSearch {
		return bad("search.length", fmt.Sprintf("must be %d to %d characters", MinSearch, MaxSearch))
	}
	q.words = strings.FieldsFunc(in.Search, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r) })
	q.search = strings.Join(q.words, " ")
	if utf8.RuneCountInString(q.search) < MinSearch {
		return bad("search.length", fmt.Sprintf("must hold %d letters or digits or more", MinSearch))
	}
	if in.Sort != "" {
		return refuse("SORT_INVALID", "sort", "sort.search", "a search is sorted by rank; allowed with q: no sort")
	}
	return nil
}

func (q *Query) parseOrder(in Request) error {
	if q.search != "" {
		q.keys = []Key{{Field: rank, Desc: true}}
		return nil
	}
	if q.keys = q.resource.sort; in.Sort == "" {
		return nil
	}
	keys, err := q.resource.parseSort(in.Sort)
	if err != nil {
		return refuse("SORT_INVALID", "sort", "sort.keys", err.Error())
	}
	q.keys = keys
	return nil
}

// parseSort reads keys; id ends every order anyway, so nothing follows it.
func (r *Resource) parseSort(text string) ([]Key, error) {
	allowed := strings.Join(r.names(func(f *Field) bool { return f.Sortable }), ", ")
	var keys []Key
	for _, name := range strings.Split(text, ",") {
		bare, desc := strings.CutPrefix(name, "-")
		f := r.field(bare)
		switch {
		case f == nil || !f.Sortable:
			return nil, fmt.Errorf("%s is no sort key; allowed: %s, each with - in front for descending", show(name), allowed)
		case slices.ContainsFunc(keys, func(k Key) bool { return k.Field == f }):
			return nil, fmt.Errorf("%s comes twice; allowed: each key once", show(bare))
		case len(keys) == MaxKeys:
			return nil, fmt.Errorf("too many keys; allowed: %d", MaxKeys)
		}
		keys = append(keys, Key{f, desc})
	}
	return keys, nil
}

func formatSort(keys []Key) string {
	out := make([]string, len(keys))
	for i, k := range keys {
		out[i] = k.Field.Name
		if k.Desc {
			out[i] = "-" + out[i]
		}
	}
	return strings.Join(out, ",")
}

func (q *Query) parseFields(in Request) error {
	if q.fields = q.resource.fields; in.Fields == "" {
		return nil
	}
	names, err := choose(in.Fields, q.resource.names(func(*Field) bool { return true }))
	if err != nil {
		return refuse("FIELDS_INVALID", "fields", "fields.names", err.Error())
	}
	q.fields = nil
	for _, name := range names {
		q.fields = append(q.fields, q.resource.field(name))
	}
	return nil
}

func (q *Query) parseIncludes(in Request) error {
	if in.Include == "" {
		return nil
	}
	names, err := choose(in.Include, q.resource.includes)
	if err != nil {
		return refuse("INCLUDE_INVALID", "include", "include.names", err.Error())
	}
	q.includes = names
	return nil
}

func choose(text string, allowed []string) ([]string, error) {
	var out []string
	for _, name := range strings.Split(text, ",") {
		if !slices.Contains(allowed, name) {
			if len(allowed) == 0 {
				return nil, errors.New("this list has nothing to name here; allowed: nothing")
			}
			return nil, fmt.Errorf("%s is unknown; allowed: %s", show(name), strings.Join(allowed, ", "))
		}
		if slices.Contains(out, name) {
			return nil, fmt.Errorf("%s comes twice; allowed: each name once", show(name))
		}
		out = append(out, name)
	}
	return out, nil
}

// show quotes what a client sent, cut to a size that fits an answer.
func show(text string) string {
	if r := []rune(text); len(r) > 40 {
		text = string(r[:40]) + "…"
	}
	return fmt.Sprintf("%q", text)
}

// chooseColumns adds what the cursor needs to what was asked for, and id for
// the includes.
func (q *Query) chooseColumns() {
	add := func(f *Field) {
		if f != rank && !slices.ContainsFunc(q.columns, func(have *Field) bool { return have.column() == f.column() }) {
			q.columns = append(q.columns, f)
		}
	}
	for _, f := range q.fields {
		for _, c := range f.columns {
			add(q.resource.byColumn(c))
		}
	}
	for _, k := range q.keys {
		add(k.Field)
	}
	add(q.resource.id)
}

// byColumn answers what stands for a column in a select.
func (r *Resource) byColumn(column string) *Field {
	for _, f := range r.fields {
		if len(f.columns) == 1 && f.column() == column && f.Name == column {
			return f
		}
	}
	if column == r.id.column() {
		return r.id
	}
	return &Field{Name: column, columns: []string{column}}
}
