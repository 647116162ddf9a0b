package main

import (
	"fmt"
	"strings"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// keywords are the rules with a keyword of JSON Schema for the same thing.
var keywords = map[protoreflect.Name]string{
	"const": "const", "in": "enum", "pattern": "pattern", "min_len": "minLength", "max_len": "maxLength",
	"gte": "minimum", "lte": "maximum", "gt": "exclusiveMinimum", "lt": "exclusiveMaximum",
	"min_items": "minItems", "max_items": "maxItems", "unique": "uniqueItems", "min_pairs": "minProperties", "max_pairs": "maxProperties",
}

// formats are the rules that name a format.
var formats = map[protoreflect.Name]string{
	"email": "email", "uuid": "uuid", "uri": "uri", "uri_ref": "uri-reference", "hostname": "hostname", "ipv4": "ipv4", "ipv6": "ipv6",
}

// spoken are the rules that JSON Schema has no word for.
var spoken = map[protoreflect.Name]string{
	"ip": "An IP address.", "ip_prefix": "An IP prefix (CIDR).", "ip_with_prefixlen": "An IP address with its prefix length.",
	"address": "A host name or an IP address.", "host_and_port": "host:port.", "lt_now": "In the past.", "gt_now": "In the future.",
	"within": "Close to now.", "max_bytes": "", "min_bytes": "", "defined_only": "", "example": "", "strict": "", "finite": "",
}

// limits turns protovalidate's rules of a field into keywords, and into words
// where there is no keyword.
func (g *generator) limits(f protoreflect.FieldDescriptor, rules *validate.FieldRules) (object, string) {
	var out object
	var words []string
	for _, cel := range rules.GetCel() {
		words = append(words, sentence(cel.GetMessage()))
	}
	r := rules.ProtoReflect()
	kind := r.WhichOneof(r.Descriptor().Oneofs().ByName("type"))
	if kind == nil {
		return nil, strings.Join(words, " ")
	}
	typed := r.Get(kind).Message()
	for i := range typed.Descriptor().Fields().Len() { // in the order of the rules, so that the document is stable
		rule := typed.Descriptor().Fields().Get(i)
		if !typed.Has(rule) {
			continue
		}
		add, word := g.limit(f, rule, typed.Get(rule))
		for _, m := range add {
			out.replace(m.key, m.value)
		}
		if word != "" {
			words = append(words, word)
		}
	}
	if inText(f) { // a number written as text has no minimum
		for _, m := range out {
			words = append(words, speak(m)...)
		}
		out = nil
	}
	return out, strings.Join(words, " ")
}

func (g *generator) limit(f, rule protoreflect.FieldDescriptor, v protoreflect.Value) (object, string) {
	name := rule.Name()
	switch {
	case name == "len":
		return object{{"minLength", v.Interface()}, {"maxLength", v.Interface()}}, ""
	case name == "not_in" && f.Enum() != nil:
		return object{{"enum", enumWithout(f.Enum(), v.List())}}, ""
	case name == "in" && f.Enum() != nil:
		return object{{"enum", enumNames(f.Enum(), v.List())}}, ""
	case name == "not_in":
		return object{{"not", object{{"enum", values(v)}}}}, ""
	case name == "prefix":
		return nil, "Begins with \"" + v.String() + "\"."
	case name == "suffix":
		return nil, "Ends with \"" + v.String() + "\"."
	case name == "items" || name == "values" || name == "keys":
		inner, words := g.limits(f, v.Message().Interface().(*validate.FieldRules))
		at := map[protoreflect.Name]string{"items": "items", "values": "additionalProperties", "keys": "propertyNames"}[name]
		if len(inner) == 0 {
			return nil, words
		}
		return object{{at, inner}}, words
	case keywords[name] != "":
		return object{{keywords[name], values(v)}}, ""
	case formats[name] != "":
		return object{{"format", formats[name]}}, ""
	}
	word, known := spoken[name]
	if !known {
		g.fail(f, "the rule %q is new here: teach limits.go what it means", name)
	}
	return nil, word
}

// values is a rule's value as JSON.
func values(v protoreflect.Value) any {
	list, ok := v.Interface().(protoreflect.List)
	if !ok {
		return v.Interface()
	}
	out := []any{}
	for i := range list.Len() {
		out = append(out, list.Get(i).Interface())
	}
	return out
}

func enumNames(e protoreflect.EnumDescriptor, list protoreflect.List) []string {
	var out []string
	for i := range list.Len() {
		if v := e.Values().ByNumber(protoreflect.EnumNumber(list.Get(i).Int())); v != nil {
			out = append(out, string(v.Name()))
		}
	}
	return out
}

func enumWithout(e protoreflect.EnumDescriptor, list protoreflect.List) []string {
	refused := map[protoreflect.EnumNumber]bool{}
	for i := range list.Len() {
		refused[protoreflect.EnumNumber(list.Get(i).Int())] = true
	}
	var out []string
	for i := range e.Values().Len() {
		if v := e.Values().Get(i); !refused[v.Number()] {
			out = append(out, string(v.Name()))
		}
	}
	return out
}

// inText reports whether the field is a number that protojson writes as text.
func inText(f protoreflect.FieldDescriptor) bool {
	if f.IsList() || f.IsMap() {
		return false
	}
	switch f.Kind() {
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind, protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return true
	}
	return f.Message() != nil && wellKnown(f.Message())
}

func sentence(s string) string {
	if s == "" || strings.HasSuffix(s, ".") {
		return s
	}
	return s + "."
}

// speak says a keyword in words.
func speak(m member) []string {
	words := map[string]string{"minimum": "At least", "maximum": "At most", "exclusiveMinimum": "Above", "exclusiveMaximum": "Below"}[m.key]
	if _, isMessage := m.value.(protoreflect.Message); words == "" || isMessage {
		return nil
	}
	return []string{fmt.Sprintf("%s %v.", words, m.value)}
}
