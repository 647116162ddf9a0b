package api

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	commonv1 "tenantry/api/gen/tenantry/common/v1"
	"tenantry/internal/ids"
)

// Every RPC, at every door: called well, called with nothing, called by
// nobody. The doors must not be told apart by what they answer and leave.
func TestParity_EveryDoorAnswersAlikeAndLeavesTheSame(t *testing.T) {
	t.Parallel()
	o := newOrganization(t)
	for _, procedure := range slices.Sorted(maps.Keys(o.server.methods)) {
		m := o.server.methods[procedure]
		prepare := scenes[string(m.desc.Name())]
		require.NotNil(t, prepare, "%s has no scene", procedure)
		empty := hollow(t, m)
		for _, c := range []struct {
			name, bearer string
			prepare      func(*testing.T, scene) proto.Message
			class        int
		}{
			{"well", o.credential(m), prepare, 2},
			{"empty", o.credential(m), func(*testing.T, scene) proto.Message { return empty }, 0},
			{"nobody", "", func(*testing.T, scene) proto.Message { return empty }, 0},
		} {
			o.compareDoors(t, m, c.name, c.bearer, c.prepare, c.class)
		}
	}
}

// hollow is a message with nothing in it but what a path must have.
func hollow(t *testing.T, m *method) proto.Message {
	t.Helper()
	out, err := newMessage(m.desc.Input())
	require.NoError(t, err)
	_, path := httpRule(proto.GetExtension(m.desc.Options(), annotations.E_Http).(*annotations.HttpRule))
	for _, name := range pathFields(path) {
		out.ProtoReflect().Set(m.desc.Input().Fields().ByName(name), protoreflect.ValueOfString("-"))
	}
	return out
}

// compareDoors calls one RPC at each door; class 0 takes what the first says.
func (o *organization) compareDoors(t *testing.T, m *method, what, bearer string, prepare func(*testing.T, scene) proto.Message, class int) {
	t.Helper()
	var first *left
	for i, d := range doorways {
		s := scene{o, "door" + strings.Repeat(string(rune('a'+i)), 3) + strings.ToLower(string(m.desc.Name())) + what}
		s.name = s.name[:min(len(s.name), 38)]
		k := knock{method: m, host: o.hostOf(m), bearer: bearer, msg: prepare(t, s), header: map[string]string{"X-Request-Id": ids.New().String()}}
		h, there := d.call(t, o.fake, k)
		if !there {
			continue
		}
		if undo := undos[string(m.desc.Name())]; undo != nil {
			undo(t, s)
		}
		name := fmt.Sprintf("%s, %s, at %s", m.spec.Procedure, what, d.name)
		now := left{h.class, masked(t, h.body), h.headers(), o.audited(t, m, k.header["X-Request-Id"])}
		if class != 0 {
			require.Equal(t, class, h.class, "%s: %v", name, h.body)
			o.requireAudit(t, m, now.audit, name)
		}
		if first == nil {
			first = &now
			continue
		}
		require.Equal(t, *first, now, name)
	}
}

// undos take back what an RPC has done to the caller that all scenes share.
var undos = map[string]func(*testing.T, scene){}

// left is what a call has left behind, in the terms that all doors share.
type left struct {
	class   int
	body    string
	headers map[string]string
	audit   []string
}

func (o *organization) hostOf(m *method) string {
	if m.policy.GetHost() == commonv1.Host_HOST_CENTRAL {
		return centralHost
	}
	return o.host
}

func (o *organization) credential(m *method) string {
	switch {
	case m.accepts(commonv1.Credential_CREDENTIAL_NONE):
		return ""
	case m.accepts(commonv1.Credential_CREDENTIAL_OPERATOR):
		return o.operator
	}
	return o.owner
}

// audited lists the rows that a request has written, at its host's database.
func (o *organization) audited(t *testing.T, m *method, request string) []string {
	t.Helper()
	query := o.sql(t).Query
	if m.policy.GetHost() == commonv1.Host_HOST_CENTRAL {
		query = o.in.Central.Pool().Query
	}
	rows, err := query(t.Context(), `SELECT actor_kind || ' ' || action FROM audit_log WHERE request_id = $1 ORDER BY at, id`, request)
	require.NoError(t, err)
	defer rows.Close()
	out := []string{}
	for rows.Next() {
		var text string
		require.NoError(t, rows.Scan(&text))
		out = append(out, text)
	}
	require.NoError(t, rows.Err())
	return out
}

// requireAudit compares the rows of a call that went well with its policy.
func (o *organization) requireAudit(t *testing.T, m *method, rows []string, name string) {
	t.Helper()
	action := m.policy.GetAuditAction()
	if action == "" {
		require.Empty(t, rows, name)
		return
	}
	require.True(t, slices.ContainsFunc(rows, func(row string) bool { return strings.HasSuffix(row, " "+action) }), "%s: %q is not in %q", name, action, rows)
}

// Every RPC that declares a key keeps it, and those that do not refuse it.
func TestParity_EveryKeyedRPCAnswersItsRepetition(t *testing.T) {
	t.Parallel()
	o := newOrganization(t)
	for _, procedure := range slices.Sorted(maps.Keys(o.server.methods)) {
		m := o.server.methods[procedure]
		if m.reads() || m.policy.GetIdempotency() != commonv1.Idempotency_IDEMPOTENCY_KEY {
			continue
		}
		k := knock{
			method: m, host: o.hostOf(m), bearer: o.credential(m), header: map[string]string{"Idempotency-Key": "key-of-" + string(m.desc.Name())},
			msg: scenes[string(m.desc.Name())](t, scene{o, "doorkey" + strings.ToLower(string(m.desc.Name()))}),
		}
		first, _ := knockREST(t, o.fake, k)
		require.Equal(t, 2, first.class, "%s: %v", procedure, first.body)
		for _, d := range doorways {
			again, there := d.call(t, o.fake, k)
			if !there {
				continue
			}
			require.Equal(t, first.body, again.body, "%s at %s", procedure, d.name)
			require.Equal(t, "true", again.header.Get("Idempotency-Replayed"), "%s at %s", procedure, d.name)
			require.Equal(t, first.header.Get("Etag"), again.header.Get("Etag"))
			require.Equal(t, first.header.Get("Location"), again.header.Get("Location"))
		}
	}
	require.Equal(t, http.StatusOK, o.as(t, o.owner, "GET", "/v1/me", "").status)
}

// The nil UUID means "none" behind the doors; before them it is a mistake.
func TestParity_NoRPCTakesTheNilUUID(t *testing.T) {
	t.Parallel()
	o := newOrganization(t)
	asked := 0
	for _, procedure := range slices.Sorted(maps.Keys(o.server.methods)) {
		m := o.server.methods[procedure]
		msg := scenes[string(m.desc.Name())](t, scene{o, "nobody" + strings.ToLower(string(m.desc.Name()))})
		for _, set := range idsIn(msg.ProtoReflect()) {
			restore := set(uuid.Nil.String())
			h, there := knockREST(t, o.fake, knock{method: m, host: o.hostOf(m), bearer: o.credential(m), msg: msg})
			restore()
			require.True(t, there, procedure)
			require.Equal(t, 4, h.class, "%s: %v", procedure, h.body)
			require.Contains(t, masked(t, h.body), "INVALID_ARGUMENT", procedure)
			asked++
		}
	}
	require.Greater(t, asked, 30)
}

// idsIn answers a setter for each UUID of a message, wherever it is; what a
// setter answers takes it back.
func idsIn(m protoreflect.Message) (setters []func(string) (restore func())) {
	is := func(v protoreflect.Value) bool {
		text, ok := v.Interface().(string)
		return ok && len(text) == 36 && uuid.Validate(text) == nil
	}
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.IsList() && f.Kind() == protoreflect.StringKind:
			for i := range v.List().Len() {
				if was := v.List().Get(i); is(was) {
					setters = append(setters, func(id string) func() {
						v.List().Set(i, protoreflect.ValueOfString(id))
						return func() { v.List().Set(i, was) }
					})
				}
			}
		case f.Message() != nil && !f.IsList() && !f.IsMap():
			setters = append(setters, idsIn(v.Message())...)
		case is(v):
			setters = append(setters, func(id string) func() {
				m.Set(f, protoreflect.ValueOfString(id))
				return func() { m.Set(f, v) }
			})
		}
		return true
	})
	return setters
}
