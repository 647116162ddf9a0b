package api

import (
	"slices"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"tenantry/internal/lists"
)

// listMessage has the fields that every list request has.
type listMessage interface {
	GetLimit() int32
	GetCursor() string
	GetFilter() string
	GetSort() string
	GetFields() string
}

// listRequest reads a list request, with include and q where it has them.
func listRequest(req listMessage) lists.Request {
	in := lists.Request{
		Limit: int(req.GetLimit()), Cursor: req.GetCursor(), Filter: req.GetFilter(), Sort: req.GetSort(), Fields: req.GetFields(),
	}
	if r, ok := req.(interface{ GetInclude() string }); ok {
		in.Include = r.GetInclude()
	}
	if r, ok := req.(interface{ GetQ() string }); ok {
		in.Search = r.GetQ()
	}
	return in
}

// shownField names, in an answer to a list, the fields that its items show.
const shownField = "shown_fields"

// messageNames are the fields of messages whose name differs from the one
// that filter, sort and fields have: those are the product's, these follow
// the style of protocol buffers (AIP-142).
var messageNames = map[string]string{
	"created_at": "create_time", "updated_at": "update_time", "deleted_at": "delete_time", "last_login_at": "last_login_time",
	"activated_at": "activate_time", "ended_at": "end_time", "expires_at": "expire_time", "accepted_at": "accept_time", "revoked_at": "revoke_time",
	"last_used_at": "last_used_time", "previous_expires_at": "previous_expire_time",
	"authenticated_at": "authenticate_time",
	"confirmed_at":     "confirm_time", "cancelled_at": "cancel_time",
}

// partial makes an answer hold what was asked for and no more, at every door:
// it clears the other fields of the items and notes which ones are shown, so
// that what is not shown differs from what is empty.
func partial[M proto.Message](resp M, in lists.Request, shown []string) M {
	if in.Fields == "" {
		return resp
	}
	m := resp.ProtoReflect()
	items := listedItems(m.Descriptor())
	all := items.Message().Fields()
	var names []protoreflect.Name
	list := m.Mutable(m.Descriptor().Fields().ByName(shownField)).List()
	for _, name := range shown {
		names = append(names, messageName(items.Message(), name))
		list.Append(protoreflect.ValueOfString(string(names[len(names)-1])))
	}
	for i := range m.Get(items).List().Len() {
		item := m.Get(items).List().Get(i).Message()
		for j := range all.Len() {
			if f := all.Get(j); !slices.Contains(names, f.Name()) {
				item.Clear(f)
			}
		}
	}
	return resp
}

// messageName answers the field of a message that a name of a list means.
func messageName(d protoreflect.MessageDescriptor, name string) protoreflect.Name {
	if f := d.Fields().ByName(protoreflect.Name(name)); f != nil {
		return f.Name()
	}
	if d.FullName() == "tenantry.hooks.v1.HookSource" && name == "name" {
		return "source"
	}
	return protoreflect.Name(messageNames[name])
}

// listedItems answers the field of a list's answer that holds the items.
func listedItems(d protoreflect.MessageDescriptor) protoreflect.FieldDescriptor {
	if d.Fields().ByName(shownField) == nil {
		return nil
	}
	for i := range d.Fields().Len() {
		if f := d.Fields().Get(i); f.IsList() && f.Message() != nil {
			return f
		}
	}
	return nil
}
