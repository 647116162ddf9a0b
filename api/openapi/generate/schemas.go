package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
)

// wellKnown are the messages that protojson writes in a form of their own.
func wellKnown(m protoreflect.MessageDescriptor) bool {
	return strings.HasPrefix(string(m.FullName()), "google.protobuf.")
}

// nameMessages gives every message its short name, and its module in front
// where two modules use one name.
func (g *generator) nameMessages() {
	all := map[protoreflect.FullName]bool{}
	maps.Copy(all, g.requests)
	maps.Copy(all, g.responses)
	count := map[string]int{}
	for full := range all {
		count[string(full.Name())]++
	}
	for full := range all {
		name := string(full.Name())
		if count[name] > 1 {
			name = title(strings.Split(string(full), ".")[1]) + name
		}
		g.names[full] = name
	}
}

func title(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// schemas are the components of all messages, sorted by name.
func (g *generator) schemas() object {
	found := map[string]protoreflect.MessageDescriptor{}
	var walk func(m protoreflect.MessageDescriptor)
	walk = func(m protoreflect.MessageDescriptor) {
		name, ours := g.names[m.FullName()]
		if !ours || found[name] != nil {
			return
		}
		found[name] = m
		for i := range m.Fields().Len() {
			f := m.Fields().Get(i)
			if f.IsMap() {
				f = f.MapValue()
			}
			if f.Message() != nil {
				walk(f.Message())
			}
		}
	}
	for _, c := range g.calls {
		walk(c.desc.Input())
		walk(c.desc.Output())
	}
	inputs := g.inputs()
	var out object
	for _, name := range slices.Sorted(maps.Keys(found)) {
		m := found[name]
		c, isInput := inputs[m.FullName()]
		if isInput && (!c.body || len(g.bodyFields(c)) == 0) {
			continue // its fields are parameters
		}
		out.set(name, g.message(m, c))
	}
	return out
}

// inputs are the requests with their call; one that several calls share has
// the path of the first, and they bind the same fields.
func (g *generator) inputs() map[protoreflect.FullName]call {
	out := map[protoreflect.FullName]call{}
	for _, c := range g.calls {
		full := c.desc.Input().FullName()
		if before, twice := out[full]; twice && slices.Compare(pathNames(before.path), pathNames(c.path)) != 0 {
			g.fail(c.desc, "shares its request with %s, whose path binds other fields", before.desc.FullName())
		}
		out[full] = c
	}
	return out
}

func pathNames(path string) []string {
	var out []string
	for part := range strings.SplitSeq(path, "{") {
		if name, _, ok := strings.Cut(part, "}"); ok {
			out = append(out, name)
		}
	}
	return out
}

// bodyFields are the fields of a request that the path does not bind.
func (g *generator) bodyFields(c call) []protoreflect.FieldDescriptor {
	var out []protoreflect.FieldDescriptor
	for i := range c.desc.Input().Fields().Len() {
		if f := c.desc.Input().Fields().Get(i); c.body && !c.inPath(f) {
			out = append(out, f)
		}
	}
	return out
}

// message is the schema of a message as protojson writes and reads it. c is
// the call whose body it is, if it is one.
func (g *generator) message(m protoreflect.MessageDescriptor, c call) object {
	out := object{{"type", "object"}}
	out.put("description", comment(m))
	asked := g.requests[m.FullName()]
	needed := map[string]bool{}
	if asked {
		needed = g.needed(m)
	}
	var properties object
	var required []string
	for i := range m.Fields().Len() {
		f := m.Fields().Get(i)
		if (c.desc != nil && c.inPath(f)) || f.Name() == shownFields {
			continue
		}
		name := string(f.Name())
		properties.set(name, g.field(f))
		// What has no presence is always written.
		if (asked && needed[name]) || (!asked && !f.HasPresence() && !g.partial[m.FullName()]) {
			required = append(required, name)
		}
	}
	out.put("properties", properties)
	out.put("required", required)
	if !g.responses[m.FullName()] {
		out.set("additionalProperties", false) // refused, not ignored
	}
	return out
}

// needed asks the validator which fields an empty message lacks, so that every
// kind of rule counts. A version may come as If-Match.
func (g *generator) needed(m protoreflect.MessageDescriptor) map[string]bool {
	out := map[string]bool{}
	for _, path := range g.violations(dynamicpb.NewMessage(m)) {
		if !strings.Contains(path, ".") && path != "version" {
			out[path] = true
		}
	}
	return out
}

func (g *generator) field(f protoreflect.FieldDescriptor) object {
	rules, _ := proto.GetExtension(f.Options(), validate.E_Field).(*validate.FieldRules)
	var out object
	switch {
	case f.IsMap():
		out = object{{"type", "object"}, {"additionalProperties", g.single(f.MapValue())}}
	case f.IsList():
		out = object{{"type", "array"}, {"items", g.single(f)}}
	default:
		out = g.single(f)
	}
	text := comment(f)
	if limits, extra := g.limits(f, rules); len(limits) > 0 || extra != "" {
		for _, l := range limits {
			out.replace(l.key, merge(out.get(l.key), l.value))
		}
		text = strings.TrimSpace(text + " " + extra)
	}
	out.put("description", text)
	return out
}

// merge lays the limits of items over their type.
func merge(old, add any) any {
	base, ok1 := old.(object)
	over, ok2 := add.(object)
	if !ok1 || !ok2 {
		return add
	}
	for _, m := range over {
		base.replace(m.key, m.value)
	}
	return base
}

// single is the schema of one value of a field.
func (g *generator) single(f protoreflect.FieldDescriptor) object {
	switch f.Kind() {
	case protoreflect.BoolKind:
		return object{{"type", "boolean"}}
	case protoreflect.StringKind:
		return object{{"type", "string"}}
	case protoreflect.BytesKind:
		return object{{"type", "string"}, {"contentEncoding", "base64"}}
	case protoreflect.EnumKind:
		return g.enum(f.Enum())
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		return object{{"type", "integer"}, {"format", "int32"}}
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return object{{"type", "integer"}, {"format", "int64"}, {"minimum", 0}}
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind, protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		// JSON's numbers end at 2^53 in many readers, so protojson writes text.
		return object{{"type", "string"}, {"format", "int64"}, {"pattern", "^-?[0-9]+$"}}
	case protoreflect.FloatKind, protoreflect.DoubleKind:
		return object{{"type", "number"}}
	case protoreflect.MessageKind, protoreflect.GroupKind:
		if wellKnown(f.Message()) {
			return g.wellKnownSchema(f)
		}
		return ref("schemas", g.names[f.Message().FullName()])
	}
	g.fail(f, "no schema for %s", f.Kind())
	return nil
}

func (g *generator) wellKnownSchema(f protoreflect.FieldDescriptor) object {
	switch name := f.Message().Name(); name {
	case "Timestamp":
		return object{{"type", "string"}, {"format", "date-time"}}
	case "Duration":
		return object{{"type", "string"}, {"pattern", `^-?[0-9]+(\.[0-9]{1,9})?s$`}}
	case "FieldMask":
		return object{{"type", "string"}}
	case "Struct", "Any", "Empty":
		return object{{"type", "object"}}
	case "Value":
		return object{}
	case "ListValue":
		return object{{"type", "array"}}
	case "StringValue":
		return object{{"type", "string"}}
	case "BoolValue":
		return object{{"type", "boolean"}}
	case "Int32Value":
		return object{{"type", "integer"}, {"format", "int32"}}
	default:
		g.fail(f, "no schema for google.protobuf.%s: add it to schemas.go", name)
		return nil
	}
}

func (g *generator) enum(e protoreflect.EnumDescriptor) object {
	var names []string
	var text []string
	for i := range e.Values().Len() {
		v := e.Values().Get(i)
		names = append(names, string(v.Name()))
		if c := comment(v); c != "" {
			text = append(text, fmt.Sprintf("%s: %s", v.Name(), c))
		}
	}
	out := object{{"type", "string"}, {"enum", names}}
	out.put("description", strings.Join(append([]string{comment(e)}, text...), "\n\n"))
	return out
}
