// Package lists serves every list of the product: filter, sort, fields,
// include, search and keyset pages over a typed whitelist.
//
// A walk that follows the cursors meets each row that was there throughout
// and whose sort keys did not change exactly once, and any other at most once
// per value of its keys. Each page begins behind the last one, so the walk
// ends when its writers do; no page depends on how deep it is.
//
// Order is total: up to [MaxKeys] keys, each ascending or descending, then the
// id in the direction of the last key. Null is larger than every value: last
// ascending, first descending. Text compares by its bytes (collation "C").
// Two-valued logic: null is unequal to every value, so != and =out= are the
// exact opposites of == and =in=, and no other operator holds for it.
//
// Every value reaches Postgres as an argument, every name comes from the
// whitelist, and a refusal names what was wrong and lists what is allowed.
package lists

import (
	"tenantry/internal/apperr"
	"tenantry/internal/rsql"
	"tenantry/internal/secrets"
)

// Bounds of a request.
const (
	DefaultLimit = 20
	MaxLimit     = 100
	// MaxKeys is how many keys a sort may have.
	MaxKeys = 3
	// MinSearch and MaxSearch bound a search, in characters.
	MinSearch = 2
	MaxSearch = 100
)

// Request is what a caller asks, as text; everything may be left out.
type Request struct {
	// Filter is RSQL: name==Jo*;login_count=gt=5.
	Filter string
	// Sort holds keys: -created_at,name.
	Sort string
	// Fields names what each item shows; empty means all.
	Fields string
	// Include names what is loaded beside the items.
	Include string
	// Search is words, ranked by how well they fit.
	Search string
	// Limit is 1 to MaxLimit; 0 stands for DefaultLimit.
	Limit int
	// Cursor is Next of the page before; empty for the first.
	Cursor string
}

// Result is a page and the cursor of the one after; empty on the last.
type Result[T any] struct {
	Items []T
	Next  string
	// Shown names the fields and includes that each item holds.
	Shown []string
}

// Key is one part of an order.
type Key struct {
	Field *Field
	Desc  bool
}

// Query is a request that was checked against its resource.
type Query struct {
	resource *Resource
	key      secrets.DataKey
	limit    int
	filter   rsql.Node
	keys     []Key
	// fields are those asked for, columns those they and the cursor need.
	fields   []*Field
	columns  []*Field
	includes []string
	words    []string
	search   string
	binding  string
	// after is the position of the cursor: a value per key, then the id.
	after []any
}

// Includes reports whether an include was asked for.
func (q *Query) Includes(name string) bool {
	for _, have := range q.includes {
		if have == name {
			return true
		}
	}
	return false
}

// Mentions reports whether the filter speaks of a field.
func (q *Query) Mentions(field string) bool {
	found := false
	if q.filter != nil {
		rsql.Walk(q.filter, func(c *rsql.Comparison) { found = found || c.Field == field })
	}
	return found
}

func refuse(reason, parameter, rule, message string) error {
	e := apperr.Newf(apperr.Invalid, reason, "%s: %s.", parameter, message)
	e.Fields = []apperr.Field{{Path: parameter, Rule: rule, Message: message}}
	return e
}
