package api

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"connectrpc.com/connect/v2"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"tenantry/internal/apperr"
)

// decoding gives errors of reading a message our reasons; the transports
// write them in their own words.
type decoding struct {
	connect.ServerStream
	method *method
}

// Receive decodes the message.
func (d decoding) Receive(msg any) error {
	err := d.ServerStream.Receive(msg)
	if err == nil {
		return nil
	}
	if _, ours := apperr.As(err); ours {
		return err
	}
	var e *connect.Error
	if !errors.As(err, &e) {
		return err
	}
	switch e.Code() {
	case connect.CodeCanceled:
		return errors.Join(context.Canceled, err)
	case connect.CodeDeadlineExceeded:
		return errors.Join(context.DeadlineExceeded, err)
	case connect.CodeResourceExhausted:
		return errTooLarge()
	default:
		return errMalformed(e, d.method.desc.Input())
	}
}

var (
	unknownField = regexp.MustCompile(`unknown field "((?:[^"\\]|\\.)*)"`)
	// codecPrefix is what connect and protojson put before the cause.
	codecPrefix = regexp.MustCompile(`^(?:[a-z_]+: )?(?:unmarshal message: )?(?:proto:[\s\x{00a0}]*)?`)
)

// errMalformed says where the body is wrong, and for an unknown field which
// ones there are. The text holds nothing but the caller's own input.
func errMalformed(err error, d protoreflect.MessageDescriptor) error {
	text := codecPrefix.ReplaceAllString(err.Error(), "")
	if found := unknownField.FindStringSubmatch(text); found != nil {
		name := clip(found[1], 60)
		e := apperr.Newf(apperr.Invalid, "MALFORMED_BODY", "Unknown field %q. Fields: %s.", name, orNone(fieldPaths(d, ""))).
			WithParams("allowed", orNone(fieldPaths(d, "")))
		e.Fields = []apperr.Field{{Path: name, Rule: "json.unknown_field", Message: "is not a field of " + string(d.Name())}}
		return e
	}
	return apperr.Newf(apperr.Invalid, "MALFORMED_BODY", "The body is not a valid %s: %s.", d.Name(), clip(text, 200))
}

func clip(s string, most int) string {
	s = strings.ToValidUTF8(strings.ReplaceAll(s, "\u00a0", " "), "�")
	if len([]rune(s)) > most {
		return string([]rune(s)[:most]) + "…"
	}
	return s
}

func orNone(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// fieldPaths lists a message's fields, dotted; well-known types are leaves.
func fieldPaths(d protoreflect.MessageDescriptor, prefix string) []string {
	var out []string
	for i := range d.Fields().Len() {
		f := d.Fields().Get(i)
		name := prefix + string(f.Name())
		sub := f.Message()
		if sub == nil || f.IsList() || f.IsMap() || strings.HasPrefix(string(sub.FullName()), "google.") || strings.Count(prefix, ".") > 3 {
			out = append(out, name)
			continue
		}
		out = append(out, fieldPaths(sub, name+".")...)
	}
	return out
}

// refuseNUL refuses texts that Postgres cannot hold, before any rule runs.
func (s *Server) refuseNUL(next connect.ServerFunc) connect.ServerFunc {
	return func(ctx context.Context, spec connect.Spec, stream connect.ServerStream) error {
		return next(ctx, spec, nulGuard{stream})
	}
}

type nulGuard struct{ connect.ServerStream }

// Receive refuses a message with a text that holds NUL or is not UTF-8.
func (g nulGuard) Receive(msg any) error {
	if err := g.ServerStream.Receive(msg); err != nil {
		return err
	}
	if m, ok := msg.(proto.Message); ok {
		return checkText(m.ProtoReflect(), "")
	}
	return nil
}

func checkText(m protoreflect.Message, prefix string) (err error) {
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		path := prefix + string(f.Name())
		switch {
		case f.IsMap(): // no request has one; its rules would come with it
		case f.IsList():
			for i := range v.List().Len() {
				if err = checkValue(f, v.List().Get(i), fmt.Sprintf("%s[%d]", path, i)); err != nil {
					return false
				}
			}
		default:
			err = checkValue(f, v, path)
		}
		return err == nil
	})
	return err
}

func checkValue(f protoreflect.FieldDescriptor, v protoreflect.Value, path string) error {
	switch f.Kind() {
	case protoreflect.StringKind:
		if text := v.String(); strings.ContainsRune(text, 0) || !utf8.ValidString(text) {
			return apperr.InvalidField(path, "string.text", "must be UTF-8 without the NUL character")
		}
	case protoreflect.MessageKind, protoreflect.GroupKind:
		return checkText(v.Message(), path+".")
	}
	return nil
}
