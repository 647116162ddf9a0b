// Package annotations marks schema fields with what the product must know of
// them: whether they hold personal data, and what lists may do with them.
package annotations

import "entgo.io/ent/schema"

// Class is the personal-data class of a field.
type Class string

// Classes.
const (
	// Direct names a person in plain text: exported and erased by row.
	Direct Class = "direct"
	// Sealed is encrypted under the subject key: erased with the key.
	Sealed Class = "sealed"
	// Pseudonym is a keyed hash or an id of a person.
	Pseudonym Class = "pseudonym"
	// Secret is a credential: never exported, never listed.
	Secret Class = "secret"
)

// Personal is the annotation of a field about a person.
type Personal struct{ Class Class }

// Name implements schema.Annotation.
func (Personal) Name() string { return "Personal" }

// Personally marks a field with its class.
func Personally(c Class) schema.Annotation { return Personal{Class: c} }

// Listing says what lists may do with a field. A field without it is not
// shown, filtered or sorted by; one with it is shown.
type Listing struct {
	Filterable bool
	// Sortable asks for an index on (field, id).
	Sortable bool
	// Values are all that the field may hold; empty when there is no such set.
	Values []string
}

// Name implements schema.Annotation.
func (Listing) Name() string { return "Listing" }

// Listed is the annotation of a field that lists show.
func Listed() Listing { return Listing{} }

// Filter lets lists filter by the field; of values, one of those.
func (l Listing) Filter(values ...string) Listing {
	l.Filterable, l.Values = true, values
	return l
}

// Sort lets lists sort by the field.
func (l Listing) Sort() Listing {
	l.Sortable = true
	return l
}
