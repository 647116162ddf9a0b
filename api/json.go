package api

import (
	"bytes"
	"context"
	"io"
	"slices"

	"connectrpc.com/connect/v2/connectproto"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// jsonDoor is the JSON of every door: it refuses unknown fields and deep
// nesting, keeps the names of the schema, shows values that are at their
// default, and leaves out what a list was not asked for.
type jsonDoor struct{ *connectproto.JSONCodec }

func jsonCodec() jsonDoor {
	c := connectproto.NewJSONCodec()
	c.MarshalOptions = protojson.MarshalOptions{UseProtoNames: true, EmitDefaultValues: true}
	c.UnmarshalOptions = protojson.UnmarshalOptions{DiscardUnknown: false, RecursionLimit: maxDepth}
	return jsonDoor{c}
}

// Marshal writes a message.
func (c jsonDoor) Marshal(m proto.Message) ([]byte, error) {
	text, err := c.MarshalOptions.Marshal(m)
	if err != nil {
		return nil, err
	}
	items := listedItems(m.ProtoReflect().Descriptor())
	if items == nil {
		return text, nil
	}
	shown := m.ProtoReflect().Get(m.ProtoReflect().Descriptor().Fields().ByName(shownField)).List()
	var names []string
	for i := range shown.Len() {
		names = append(names, shown.Get(i).String())
	}
	return prune(text, string(items.Name()), names), nil
}

// MarshalWrite writes a message at the RPC doors.
func (c jsonDoor) MarshalWrite(ctx context.Context, dst io.Writer, msg any) error {
	m, ok := msg.(proto.Message)
	if !ok || listedItems(m.ProtoReflect().Descriptor()) == nil {
		return c.JSONCodec.MarshalWrite(ctx, dst, msg)
	}
	text, err := c.Marshal(m)
	if err == nil {
		_, err = dst.Write(text)
	}
	return err
}

// prune leaves shown_fields out of a list's JSON, and of each item what it
// does not name; no names mean everything.
func prune(text []byte, items string, shown []string) []byte {
	return keepMembers(text, func(name string, value []byte) []byte {
		switch {
		case name == shownField:
			return nil
		case name == items && len(shown) > 0:
			return array(value, func(item []byte) []byte {
				return keepMembers(item, func(name string, value []byte) []byte {
					if slices.Contains(shown, name) {
						return value
					}
					return nil
				})
			})
		}
		return value
	})
}

// keepMembers writes an object again with the members that keep answers; nil drops
// one. The text is what protojson writes: valid, names without escapes.
func keepMembers(text []byte, keep func(name string, value []byte) []byte) []byte {
	out := append(make([]byte, 0, len(text)), '{')
	for i := space(text, 1); text[i] == '"' || text[i] == ','; i = space(text, i) {
		if text[i] == ',' {
			i = space(text, i+1)
		}
		end := valueEnd(text, i)
		name := text[i:end]
		i = space(text, space(text, end)+1) // the colon
		end = valueEnd(text, i)
		if value := keep(string(name[1:len(name)-1]), text[i:end]); value != nil {
			if len(out) > 1 {
				out = append(out, ',')
			}
			out = append(append(append(out, name...), ':'), value...)
		}
		i = end
	}
	return append(out, '}')
}

// array writes an array again with each element changed.
func array(text []byte, change func([]byte) []byte) []byte {
	out := append(make([]byte, 0, len(text)), '[')
	for i := space(text, 1); text[i] != ']'; i = space(text, i) {
		if text[i] == ',' {
			i = space(text, i+1)
		}
		end := valueEnd(text, i)
		if len(out) > 1 {
			out = append(out, ',')
		}
		out, i = append(out, change(text[i:end])...), end
	}
	return append(out, ']')
}

func space(text []byte, i int) int {
	for bytes.IndexByte([]byte(" \t\r\n"), text[i]) >= 0 {
		i++
	}
	return i
}

// valueEnd answers where the value that begins at i ends.
func valueEnd(text []byte, i int) int {
	depth, quoted := 0, false
	for ; i < len(text); i++ {
		switch c := text[i]; {
		case quoted:
			if c == '\\' {
				i++
			} else if c == '"' {
				quoted = false
			}
		case c == '"':
			quoted = true
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			if depth--; depth < 0 {
				return i
			}
		case depth == 0 && (c == ',' || c == ':'):
			return i
		}
	}
	return i
}
