package config

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"

	"tenantry/internal/secrets"
)

const redacted = "[redacted]"

// Secret is a value that no log, error or encoding shows. It holds a pointer
// because fmt reads the fields of unexported structs without asking their
// methods, and prints a nested pointer as an address.
type Secret struct{ value *string }

// NewSecret wraps a value.
func NewSecret(value string) Secret { return Secret{value: &value} }

// Reveal answers the value, empty when there is none.
func (s Secret) Reveal() string {
	if s.value == nil {
		return ""
	}
	return *s.value
}

// IsZero reports whether there is no value.
func (s Secret) IsZero() bool { return s.Reveal() == "" }

// UnmarshalText takes the value.
func (s *Secret) UnmarshalText(b []byte) error {
	*s = NewSecret(string(b))
	return nil
}

// String never answers the value.
func (s Secret) String() string { return redact(s.IsZero()) }

// Format answers every verb alike, also those that would skip String.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// LogValue never answers the value.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalJSON never writes the value.
func (s Secret) MarshalJSON() ([]byte, error) { return json.Marshal(s.String()) }

// MarshalText never writes the value.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Keys is a keyring that no log, error or encoding shows. It holds a function
// because fmt follows a pointer to a struct for a verb it does not know.
type Keys struct{ ring func() *secrets.Keyring }

// Ring answers the keyring, nil when none is configured.
func (k Keys) Ring() *secrets.Keyring {
	if k.ring == nil {
		return nil
	}
	return k.ring()
}

// IsZero reports whether no keys are configured.
func (k Keys) IsZero() bool { return k.ring == nil }

// UnmarshalText reads "id:base64[,id:base64…]".
func (k *Keys) UnmarshalText(b []byte) error {
	ring, err := secrets.ParseKeyring(string(b))
	if err != nil {
		return err
	}
	k.ring = func() *secrets.Keyring { return ring }
	return nil
}

// String never answers a key.
func (k Keys) String() string { return redact(k.IsZero()) }

// Format answers every verb alike.
func (k Keys) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, k.String()) }

// LogValue never answers a key.
func (k Keys) LogValue() slog.Value { return slog.StringValue(k.String()) }

// MarshalJSON never writes a key.
func (k Keys) MarshalJSON() ([]byte, error) { return json.Marshal(k.String()) }

// MarshalText never writes a key.
func (k Keys) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

func redact(empty bool) string {
	if empty {
		return ""
	}
	return redacted
}
