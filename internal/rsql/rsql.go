// Package rsql parses the filter language of lists (RSQL, a superset of FIQL):
//
//	filter     = and { "," and }               OR
//	and        = term { ";" term }             AND binds tighter
//	term       = "(" filter ")" | comparison
//	comparison = name operator value | name ("=in=" | "=out=") "(" value { "," value } ")"
//	operator   = "==" | "!=" | "=gt=" | "=ge=" | "=lt=" | "=le=" | "=in=" | "=out=" | "=null="
//	value      = plain | "'" text "'" | '"' text '"'
//
// A name is a letter followed by letters, digits and "_". A plain value holds
// none of " ' ( ) ; , = < > ! ~ \ and no space; in a quoted one, "\" takes the
// next character as it is. "*" stands for any text in the values of == and !=;
// quoted as "\*" it is itself.
//
// Parsing takes one pass and its memory is bounded by [MaxLength], [MaxDepth]
// and [MaxNodes]. What names and values mean is not known here: the parser
// answers text, and package lists gives it types.
package rsql

import (
	"fmt"
	"slices"
	"strings"
)

// Bounds of a filter.
const (
	// MaxLength is in bytes.
	MaxLength = 4096
	// MaxDepth is of parentheses.
	MaxDepth = 16
	// MaxNodes counts comparisons, groups and the values of lists.
	MaxNodes = 100
	// MaxWildcards is in one value: each one costs a pass over the text.
	MaxWildcards = 5
)

// Op is an operator, as it is written.
type Op string

// Operators.
const (
	Equal        Op = "=="
	NotEqual     Op = "!="
	Greater      Op = "=gt="
	GreaterEqual Op = "=ge="
	Less         Op = "=lt="
	LessEqual    Op = "=le="
	In           Op = "=in="
	Out          Op = "=out="
	Null         Op = "=null="
)

// Ops is every operator.
var Ops = []Op{Equal, NotEqual, Greater, GreaterEqual, Less, LessEqual, In, Out, Null}

// Node is a part of a filter: *And, *Or or *Comparison.
type Node interface {
	fmt.Stringer
	node()
}

// And holds two or more parts that must all be true; none of them is an And.
type And struct{ Of []Node }

// Or holds two or more parts of which one must be true; none of them is an Or.
type Or struct{ Of []Node }

// Comparison is a field held against values: one, or a list for In and Out.
type Comparison struct {
	Field  string
	Op     Op
	Values []Value
	// At is where the comparison begins, in characters from 1.
	At int
}

// Value is a text cut at its wildcards: ["a", ""] is a*, ["a"] has none.
type Value struct {
	Parts []string
	// At is where the value begins, in characters from 1.
	At int
}

// Wild reports whether the value has wildcards.
func (v Value) Wild() bool { return len(v.Parts) > 1 }

// Text is the value of one without wildcards.
func (v Value) Text() string { return strings.Join(v.Parts, "*") }

func (*And) node()        {}
func (*Or) node()         {}
func (*Comparison) node() {}

// String is the canonical text: parsed again, it is the same filter.
func (a *And) String() string { return join(a.Of, ";") }

// String is the canonical text: parsed again, it is the same filter.
func (o *Or) String() string { return join(o.Of, ",") }

func join(of []Node, separator string) string {
	parts := make([]string, len(of))
	for i, n := range of {
		parts[i] = n.String()
		if _, or := n.(*Or); or {
			parts[i] = "(" + parts[i] + ")"
		}
	}
	return strings.Join(parts, separator)
}

// String is the canonical text: values are quoted where they must be.
func (c *Comparison) String() string {
	values := make([]string, len(c.Values))
	for i, v := range c.Values {
		values[i] = v.String()
	}
	list := strings.Join(values, ",")
	if c.Op == In || c.Op == Out {
		list = "(" + list + ")"
	}
	return c.Field + string(c.Op) + list
}

// String is the value as a filter holds it.
func (v Value) String() string {
	if text := v.Text(); text != "" && !strings.ContainsAny(text, reserved) &&
		!slices.ContainsFunc(v.Parts, func(p string) bool { return strings.Contains(p, "*") }) {
		return text
	}
	escaped := make([]string, len(v.Parts))
	for i, p := range v.Parts {
		escaped[i] = strings.NewReplacer(`\`, `\\`, `'`, `\'`, `*`, `\*`).Replace(p)
	}
	return "'" + strings.Join(escaped, "*") + "'"
}

// Walk calls visit for every comparison, from left to right.
func Walk(n Node, visit func(*Comparison)) {
	switch n := n.(type) {
	case *And:
		for _, part := range n.Of {
			Walk(part, visit)
		}
	case *Or:
		for _, part := range n.Of {
			Walk(part, visit)
		}
	case *Comparison:
		visit(n)
	}
}

// Error is a filter that was refused. Its text is public.
type Error struct {
	// At is where, in characters from 1; 0 when the whole is meant.
	At int
	// Message says what is wrong and what is allowed.
	Message string
}

// Error is the public text.
func (e *Error) Error() string {
	if e.At == 0 {
		return e.Message
	}
	return fmt.Sprintf("at character %d: %s", e.At, e.Message)
}
