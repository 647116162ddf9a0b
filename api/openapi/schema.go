package openapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// ordered is a JSON object whose members keep their order.
type ordered[T any] []entry[T]

type entry[T any] struct {
	key   string
	value T
}

// UnmarshalJSON reads an object.
func (o *ordered[T]) UnmarshalJSON(text []byte) error {
	d := json.NewDecoder(bytes.NewReader(text))
	if _, err := d.Token(); err != nil {
		return err
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return err
		}
		e := entry[T]{key: fmt.Sprint(key)}
		if err := d.Decode(&e.value); err != nil {
			return err
		}
		*o = append(*o, e)
	}
	return nil
}

// get answers the value of a key, or the zero value.
func (o ordered[T]) get(key string) (value T) {
	if i := slices.IndexFunc(o, func(e entry[T]) bool { return e.key == key }); i >= 0 {
		value = o[i].value
	}
	return value
}

// schema is the part of JSON Schema that the document uses.
type schema struct {
	Ref                       string `json:"$ref"`
	Type, Format, Description string
	Pattern                   string
	Enum                      []any
	Const                     any
	Minimum, Maximum          *float64
	MinLength, MaxLength      *int
	MinItems, MaxItems        *int
	ExclusiveMinimum          *float64
	ExclusiveMaximum          *float64
	UniqueItems               bool
	Items                     *schema
	Properties                ordered[schema]
	Required                  []string
}

func (s schema) fields() []parameterView {
	var out []parameterView
	for _, p := range s.Properties {
		out = append(out, parameterView{
			Name: p.key, Type: p.value.typeName(), Limits: p.value.limits(), Text: p.value.Description, Required: slices.Contains(s.Required, p.key),
		})
	}
	return out
}

func (s schema) typeName() string {
	switch {
	case s.Ref != "":
		return last(s.Ref)
	case s.Type == "array" && s.Items != nil:
		return "list of " + s.Items.typeName()
	case s.Format != "":
		return s.Type + " (" + s.Format + ")"
	}
	return s.Type
}

// limits says the schema's bounds in a few words.
func (s schema) limits() string {
	var out []string
	between := func(what string, low, high *int) {
		switch {
		case low != nil && high != nil:
			out = append(out, fmt.Sprintf("%d to %d %s", *low, *high, what))
		case low != nil:
			out = append(out, fmt.Sprintf("at least %d %s", *low, what))
		case high != nil:
			out = append(out, fmt.Sprintf("at most %d %s", *high, what))
		}
	}
	between("characters", s.MinLength, s.MaxLength)
	between("items", s.MinItems, s.MaxItems)
	for _, bound := range []struct {
		sign  string
		value *float64
	}{{"≥", s.Minimum}, {"≤", s.Maximum}, {">", s.ExclusiveMinimum}, {"<", s.ExclusiveMaximum}} {
		if bound.value != nil {
			out = append(out, fmt.Sprintf("%s %.0f", bound.sign, *bound.value))
		}
	}
	if s.UniqueItems {
		out = append(out, "each once")
	}
	if s.Pattern != "" {
		out = append(out, s.Pattern)
	}
	if len(s.Enum) > 0 {
		var values []string
		for _, v := range s.Enum {
			values = append(values, fmt.Sprintf("%q", v))
		}
		out = append(out, "one of "+strings.Join(values, ", "))
	}
	if s.Items != nil {
		if inner := s.Items.limits(); inner != "" {
			out = append(out, "each "+inner)
		}
	}
	return strings.Join(out, "; ")
}

// last is the name at the end of a $ref.
func last(ref string) string { return ref[strings.LastIndexByte(ref, '/')+1:] }

// plain is an example as one would type it.
func plain(example json.RawMessage) string {
	var text string
	if json.Unmarshal(example, &text) == nil {
		return text
	}
	return string(example)
}

func pretty(example json.RawMessage) string {
	var out bytes.Buffer
	if len(example) == 0 || json.Indent(&out, example, "", "  ") != nil {
		return ""
	}
	return out.String()
}

func sortedKeys[T any](m map[string]T) []string { return slices.Sorted(maps.Keys(m)) }
