package main

import (
	"encoding/json"
	"errors"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"buf.build/go/protovalidate"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
)

// exampleTime is the moment of all examples, and exampleLater what comes after.
const exampleTime, exampleLater = "2026-01-15T09:30:00Z", "2026-02-14T09:30:00Z"

// samples are the values of fields by name, "Message.field" before "field". A
// new field needs none: what fits its rules is found. These read better.
var samples = map[string]string{
	"id": "0190b1c2-7d3e-7000-8000-000000000001", "email": "ada@acme.example", "owner_email": "ada@acme.example",
	"name": "Ada Lovelace", "Tenant.name": "Acme", "CreateTenantRequest.name": "Acme", "OperatorKey.name": "deploys",
	"CreateOperatorKeyRequest.name": "deploys", "Step.name": "create_database", "Step.state": "running", "Role.name": "support",
	"CreateRoleRequest.name": "support", "UpdateRoleRequest.name": "support", "ApiKey.name": "nightly import", "CreateApiKeyRequest.name": "nightly import",
	"ServiceAccount.name": "nightly-import", "CreateServiceAccountRequest.name": "nightly-import", "description": "Answers customers.",
	"slug": "acme", "password": "a quiet harbour at four in the morning", "token": "Zm9yLWV4YW1wbGUtb25seS1ub3QtYS1yZWFsLXRva2Vu",
	"access_token": "eyJhbGciOiJFZERTQSIsInR5cCI6ImF0K2p3dCJ9.e30.c2lnbmF0dXJl", "token_type": "Bearer",
	"secret": "whsec_Zm9yIGV4YW1wbGUgb25seSwgbm90IGEgc2VjcmV0ISE=", "key": "shown-once", "operator_key": "shown-once",
	"cursor": "", "next_cursor": "AQEAb3BhcXVl", "reason": "", "kind": "tenant.provision",
	"workflow_id": "tenant/0190b1c2-7d3e-7000-8000-000000000002/provision", "source": "billing",
	"callback_url": "https://billing.example/hooks/tenantry", "app_url": "https://app.acme.example", "url": "https://acme.tenantry.example",
	"language": "en", "time_zone": "Europe/Berlin", "registration_policy": "invite-only",
	"permissions": "users.read", "roles": "member", "scopes": "users.read", "OperatorKey.scopes": "tenants.read", "CreateOperatorKeyRequest.scopes": "tenants.read",
	"filter": "created_at=ge=2026-01-01T00:00:00Z", "ListUsersRequest.filter": "email==*@acme.example", "sort": "-created_at",
	"fields": "created_at", "ListUsersRequest.fields": "id,name,email", "include": "roles", "q": "ada", "locale": "en", "UserRole.name": "support",
	"allowed_networks": "203.0.113.0/24", "NetworkList.values": "203.0.113.0/24", "ScopeList.values": "users.read", "PermissionList.values": "users.read",
	"DomainList.values": "acme.example", "WordList.values": "acme", "registration_domains": "acme.example", "password_words": "acme",
	"UpdateApiKeyRequest.name": "nightly import", "UpdateServiceAccountRequest.name": "nightly-import",
	"allowed_ips": "203.0.113.0/24", "ip_prefix": "203.0.113.0/24", "origins": "https://app.acme.example", "domains": "acme.example",
	"prefix": "tk", "last_used_ip": "203.0.113.7",
}

// numbers are the same for numbers.
var numbers = map[string]int64{
	"limit": 20, "version": 3, "login_count": 12, "expires_in": 600, "expire_days": 90, "timeout_seconds": 10, "schema_version": 3, "max_users": 50,
}

// absent are what a living thing does not have yet, and what two pages of a
// list do not share.
var absent = []string{"revoke_time", "retire_time", "end_time", "delete_time", "suspend_time", "cursor", "read_mask", shownFields}

// shownFields is how a list tells the doors which fields it has read. JSON
// answers leave it out, and with it the other fields.
const shownFields = "shown_fields"

// generic are tried in this order where nothing above fits.
var generic = []string{
	"example", "Example text", "0190b1c2-7d3e-7000-8000-000000000002", "ada@acme.example", "https://acme.example", "acme.example",
	"users.read", "en", "member", "2026-01-15", "203.0.113.7", "203.0.113.0/24", "123456",
}

// example makes a message that keeps its rules, whole.
func (g *generator) example(m protoreflect.MessageDescriptor, request bool) *dynamicpb.Message {
	out := dynamicpb.NewMessage(m)
	g.fill(out, request, 0)
	if !request {
		return out
	}
	for _, path := range g.violations(out) { // fields that contradict each other
		top, _, _ := strings.Cut(path, ".")
		if f := m.Fields().ByName(protoreflect.Name(top)); f != nil {
			out.Clear(f)
		}
	}
	if left := g.violations(out); len(left) > 0 {
		g.fail(m, "no example fits its rules at %s: add one to examples.go, or an example to the rule", strings.Join(left, ", "))
	}
	return out
}

func (g *generator) fill(m *dynamicpb.Message, request bool, depth int) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if slices.Contains(absent, string(f.Name())) {
			continue
		}
		if one := f.ContainingOneof(); one != nil && !one.IsSynthetic() && m.WhichOneof(one) != nil {
			continue
		}
		switch {
		case f.IsMap():
		case f.IsList():
			if v, ok := g.value(m, f, request, depth); ok {
				m.Mutable(f).List().Append(v)
			}
		default:
			if v, ok := g.value(m, f, request, depth); ok {
				m.Set(f, v)
			}
		}
	}
}

func (g *generator) value(m *dynamicpb.Message, f protoreflect.FieldDescriptor, request bool, depth int) (protoreflect.Value, bool) {
	switch f.Kind() {
	case protoreflect.StringKind:
		return g.text(f)
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes([]byte("example")), true
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(!request), !request
	case protoreflect.EnumKind:
		return g.firstEnum(f)
	case protoreflect.FloatKind:
		return protoreflect.ValueOfFloat32(0.5), true
	case protoreflect.DoubleKind:
		return protoreflect.ValueOfFloat64(0.5), true
	case protoreflect.MessageKind, protoreflect.GroupKind:
		return g.messageValue(m, f, request, depth)
	}
	return g.number(f)
}

func (g *generator) messageValue(m *dynamicpb.Message, f protoreflect.FieldDescriptor, request bool, depth int) (protoreflect.Value, bool) {
	inner := dynamicpb.NewMessage(f.Message())
	if wellKnown(f.Message()) {
		text := map[protoreflect.Name]string{
			"Timestamp": `"` + exampleTime + `"`, "Duration": `"3600s"`, "FieldMask": `"name"`, "Struct": `{"plan":"team"}`,
			"StringValue": `"example"`, "BoolValue": "true", "Int32Value": "1",
		}[f.Message().Name()]
		if f.Name() == "expire_time" || f.Name() == "session_expire_time" {
			text = `"` + exampleLater + `"`
		}
		if text == "" {
			return protoreflect.Value{}, false
		}
		if err := protojson.Unmarshal([]byte(text), inner); err != nil {
			g.fail(f, "%v", err)
		}
		return protoreflect.ValueOfMessage(inner), true
	}
	if depth > 4 || f.Message() == m.Descriptor() {
		return protoreflect.Value{}, false
	}
	g.fill(inner, request, depth+1)
	return protoreflect.ValueOfMessage(inner), true
}

// text picks the first candidate that the field's own rules take.
func (g *generator) text(f protoreflect.FieldDescriptor) (protoreflect.Value, bool) {
	candidates := exampleRule(f)
	for _, key := range []string{string(f.Parent().Name()) + "." + string(f.Name()), string(f.Name())} {
		if s, ok := samples[key]; ok {
			candidates = append(candidates, s)
		}
	}
	if strings.HasSuffix(string(f.Name()), "_id") || strings.HasSuffix(string(f.Name()), "_ids") {
		candidates = append(candidates, "0190b1c2-7d3e-7000-8000-000000000002")
	}
	candidates = append(candidates, ruled(f)...)
	for _, s := range append(candidates, generic...) {
		if g.fits(f, protoreflect.ValueOfString(s)) {
			return protoreflect.ValueOfString(s), s != ""
		}
	}
	return protoreflect.Value{}, false
}

func (g *generator) number(f protoreflect.FieldDescriptor) (protoreflect.Value, bool) {
	var candidates []int64
	if n, ok := numbers[string(f.Name())]; ok {
		candidates = append(candidates, n)
	}
	for _, n := range append(candidates, 1, 10, 100, 1000, 0) {
		v := numeric(f, n)
		if g.fits(f, v) {
			return v, n != 0
		}
	}
	return protoreflect.Value{}, false
}

func numeric(f protoreflect.FieldDescriptor, n int64) protoreflect.Value {
	switch f.Kind() {
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		return protoreflect.ValueOfInt32(int32(n))
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return protoreflect.ValueOfUint32(uint32(n))
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return protoreflect.ValueOfUint64(uint64(n))
	}
	return protoreflect.ValueOfInt64(n)
}

func (g *generator) firstEnum(f protoreflect.FieldDescriptor) (protoreflect.Value, bool) {
	for i := range f.Enum().Values().Len() {
		v := protoreflect.ValueOfEnum(f.Enum().Values().Get(i).Number())
		if v.Enum() != 0 && g.fits(f, v) {
			return v, true
		}
	}
	return protoreflect.Value{}, false
}

// fits tries a value in a message that holds nothing else.
func (g *generator) fits(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
	m := dynamicpb.NewMessage(f.ContainingMessage())
	if f.IsList() {
		m.Mutable(f).List().Append(v)
	} else {
		m.Set(f, v)
	}
	return !slices.Contains(g.violations(m), string(f.Name()))
}

// violations are the paths that a message breaks a rule at, indexes left out.
func (g *generator) violations(m proto.Message) []string {
	err := g.validator.Validate(m)
	var found *protovalidate.ValidationError
	if err != nil && !errors.As(err, &found) {
		g.errs = append(g.errs, err)
		return nil
	}
	var out []string
	if found != nil {
		for _, v := range found.Violations {
			out = append(out, index.ReplaceAllString(protovalidate.FieldPathString(v.Proto.GetField()), ""))
		}
	}
	return out
}

var index = regexp.MustCompile(`\[[^\]]*\]`)

func stringRules(f protoreflect.FieldDescriptor) *validate.StringRules {
	rules, _ := proto.GetExtension(f.Options(), validate.E_Field).(*validate.FieldRules)
	if f.IsList() {
		return rules.GetRepeated().GetItems().GetString()
	}
	return rules.GetString()
}

// exampleRule is what the schema itself gives as an example.
func exampleRule(f protoreflect.FieldDescriptor) []string { return stringRules(f).GetExample() }

// ruled are values that follow from the rules: one that is listed, one that
// the pattern takes.
func ruled(f protoreflect.FieldDescriptor) []string {
	rules := stringRules(f)
	out := slices.DeleteFunc(slices.Clone(rules.GetIn()), func(s string) bool { return s == "" })
	if rules.GetPattern() != "" {
		if re, err := syntax.Parse(rules.GetPattern(), syntax.Perl); err == nil {
			out = append(out, shortest(re.Simplify()))
		}
	}
	if rules.GetMinLen() > 0 {
		out = append(out, strings.Repeat("x", int(rules.GetMinLen())))
	}
	return out
}

// shortest is a short text that a pattern takes.
func shortest(re *syntax.Regexp) string {
	switch re.Op {
	case syntax.OpLiteral:
		return string(re.Rune)
	case syntax.OpCharClass:
		return string(re.Rune[0])
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return "x"
	case syntax.OpCapture, syntax.OpPlus, syntax.OpAlternate:
		return shortest(re.Sub[0])
	case syntax.OpRepeat:
		return strings.Repeat(shortest(re.Sub[0]), re.Min)
	case syntax.OpConcat:
		out := ""
		for _, sub := range re.Sub {
			out += shortest(sub)
		}
		return out
	}
	return ""
}

// exampleJSON is how a door writes the message; a request leaves out what is
// at its default.
func (g *generator) exampleJSON(m *dynamicpb.Message, request bool) json.RawMessage {
	text, err := protojson.MarshalOptions{UseProtoNames: true, EmitDefaultValues: !request}.Marshal(m)
	if err != nil {
		g.fail(m.Descriptor(), "%v", err)
		return json.RawMessage("{}")
	}
	return raw(text)
}
