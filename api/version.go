package api

import (
	"context"
	"regexp"
	"strconv"

	"connectrpc.com/connect/v2"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"tenantry/internal/apperr"
)

// etag is the strong entity tag of a version (RFC 9110, 8.8.3).
var etag = regexp.MustCompile(`^"([1-9][0-9]{0,18})"$`)

// versions carries the optimistic lock between headers and messages (U4): an
// If-Match fills the request's field version, the answer's field version is
// its ETag.
func (s *Server) versions(next connect.ServerFunc) connect.ServerFunc {
	return func(ctx context.Context, spec connect.Spec, stream connect.ServerStream) error {
		given, err := ifMatch(ctx, s.methods[spec.Procedure])
		if err != nil {
			return err
		}
		err = next(ctx, spec, versioned{stream, ctx, given})
		if e, ok := apperr.As(err); ok && given != 0 && e.Reason == "VERSION_CONFLICT" {
			return e.WithStatus(412)
		}
		return err
	}
}

// ifMatch answers the version of an If-Match; 0 for none.
func ifMatch(ctx context.Context, m *method) (int64, error) {
	info, ok := connect.CallInfoForServerContext(ctx)
	if !ok || m.reads() {
		return 0, nil
	}
	values := info.RequestHeader().Values("If-Match")
	if len(values) == 0 {
		return 0, nil
	}
	if versionField(m.desc.Input()) == nil {
		return 0, apperr.InvalidField("If-Match", "version.unsupported", "is not for this call: it changes nothing that has a version")
	}
	bad := apperr.InvalidField("If-Match", "version.etag", `must be the one ETag you have read, such as "7"`)
	found := etag.FindStringSubmatch(values[0])
	if len(values) > 1 || found == nil {
		return 0, bad
	}
	v, err := strconv.ParseInt(found[1], 10, 64)
	if err != nil {
		return 0, bad
	}
	return v, nil
}

func versionField(d protoreflect.MessageDescriptor) protoreflect.FieldDescriptor {
	f := d.Fields().ByName("version")
	if f == nil || f.Kind() != protoreflect.Int64Kind || f.IsList() {
		return nil
	}
	return f
}

type versioned struct {
	connect.ServerStream
	ctx   context.Context
	given int64
}

// Receive puts the header's version into the message.
func (v versioned) Receive(msg any) error {
	if err := v.ServerStream.Receive(msg); err != nil || v.given == 0 {
		return err
	}
	m := msg.(proto.Message).ProtoReflect()
	f := versionField(m.Descriptor())
	if in := m.Get(f).Int(); in != 0 && in != v.given {
		return apperr.InvalidField("version", "version.contradiction", "in the body differs from If-Match")
	}
	m.Set(f, protoreflect.ValueOfInt64(v.given))
	return nil
}

// Send adds the ETag of a message with a version.
func (v versioned) Send(msg any) error {
	info, ok := connect.CallInfoForServerContext(v.ctx)
	if m, isProto := msg.(proto.Message); ok && isProto {
		if f := versionField(m.ProtoReflect().Descriptor()); f != nil && m.ProtoReflect().Has(f) {
			info.ResponseHeader().Set("ETag", `"`+strconv.FormatInt(m.ProtoReflect().Get(f).Int(), 10)+`"`)
		}
	}
	return v.ServerStream.Send(msg)
}
