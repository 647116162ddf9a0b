// Package ids holds the typed identifiers of the product and the business
// keys built from them. Ids are UUIDv7 (RFC 9562): opaque, ordered by birth,
// without meaning; they may stand in logs, workflow ids and search attributes.
package ids

import (
	"fmt"

	"github.com/google/uuid"
)

// Tenant identifies a customer organization. The zero value is no tenant.
type Tenant uuid.UUID

// User identifies an account within its tenant.
type User uuid.UUID

// Session identifies a login within its tenant.
type Session uuid.UUID

// Operation identifies a workflow-backed call.
type Operation uuid.UUID

// New answers a fresh UUIDv7. It panics only when the system has no entropy.
func New() uuid.UUID { return uuid.Must(uuid.NewV7()) }

// NewTenant answers a fresh tenant id.
func NewTenant() Tenant { return Tenant(New()) }

// NewOperation answers a fresh operation id.
func NewOperation() Operation { return Operation(New()) }

// ParseTenant reads the canonical text form.
func ParseTenant(s string) (Tenant, error) {
	u, err := parse("tenant", s)
	return Tenant(u), err
}

// ParseOperation reads the canonical text form.
func ParseOperation(s string) (Operation, error) {
	u, err := parse("operation", s)
	return Operation(u), err
}

func parse(what, s string) (uuid.UUID, error) {
	// uuid.Parse takes four spellings; one id must have one text.
	if len(s) != 36 {
		return uuid.Nil, fmt.Errorf("%s id %q: want a UUID of 36 characters", what, s)
	}
	u, err := uuid.Parse(s)
	if err != nil || u == uuid.Nil {
		return uuid.Nil, fmt.Errorf("%s id %q: not a UUID", what, s)
	}
	return u, nil
}

// UUID answers the bare value.
func (t Tenant) UUID() uuid.UUID { return uuid.UUID(t) }

// IsZero reports whether t is no tenant.
func (t Tenant) IsZero() bool { return t == Tenant{} }

// String is the canonical text form.
func (t Tenant) String() string { return uuid.UUID(t).String() }

// MarshalText writes the canonical text form.
func (t Tenant) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText reads the canonical text form; empty is the zero tenant.
func (t *Tenant) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*t = Tenant{}
		return nil
	}
	v, err := ParseTenant(string(b))
	*t = v
	return err
}

// UUID answers the bare value.
func (u User) UUID() uuid.UUID { return uuid.UUID(u) }

// String is the canonical text form.
func (u User) String() string { return uuid.UUID(u).String() }

// UUID answers the bare value.
func (s Session) UUID() uuid.UUID { return uuid.UUID(s) }

// String is the canonical text form.
func (s Session) String() string { return uuid.UUID(s).String() }

// UUID answers the bare value.
func (o Operation) UUID() uuid.UUID { return uuid.UUID(o) }

// IsZero reports whether o is no operation.
func (o Operation) IsZero() bool { return o == Operation{} }

// String is the canonical text form.
func (o Operation) String() string { return uuid.UUID(o).String() }

// MarshalText writes the canonical text form.
func (o Operation) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// UnmarshalText reads the canonical text form; empty is the zero operation.
func (o *Operation) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*o = Operation{}
		return nil
	}
	v, err := ParseOperation(string(b))
	*o = v
	return err
}
