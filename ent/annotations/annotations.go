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
