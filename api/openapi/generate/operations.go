package main

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	commonv1 "tenantry/api/gen/tenantry/common/v1"
)

// schemes are the security schemes of the credentials.
var schemes = map[commonv1.Credential]string{
	commonv1.Credential_CREDENTIAL_USER: "accessToken", commonv1.Credential_CREDENTIAL_OPERATOR: "operatorKey",
	commonv1.Credential_CREDENTIAL_API_KEY: "apiKey",
}

// paths are all operations, by path in the order of the services.
func (g *generator) paths() object {
	var out object
	for _, c := range g.calls {
		item, _ := out.get(c.path).(object)
		item.set(c.verb, g.operation(c))
		out.replace(c.path, item)
	}
	for _, m := range g.staticPaths() {
		out.set(m.key, m.value)
	}
	return out
}

func (g *generator) operation(c call) object {
	sample := g.example(c.desc.Input(), true)
	text := comment(c.desc)
	out := object{{"operationId", operationID(c)}, {"tags", []string{tag(c.desc.Parent())}}}
	out.put("summary", firstSentence(text))
	out.put("description", strings.Join(append([]string{text}, g.access(c)...), "\n\n"))
	if !c.tenant() {
		out.set("servers", []any{centralServer})
	}
	out.set("security", g.security(c))
	out.put("parameters", g.parameters(c, sample))
	if fields := g.bodyFields(c); len(fields) > 0 {
		body := sample
		for i := range c.desc.Input().Fields().Len() {
			if f := c.desc.Input().Fields().Get(i); c.inPath(f) {
				body = proto2(body)
				body.Clear(f)
			}
		}
		out.set("requestBody", object{
			{"required", g.bodyNeeded(c)},
			{"content", object{{"application/json", object{
				{"schema", ref("schemas", g.names[c.desc.Input().FullName()])}, {"example", g.exampleJSON(body, true)},
			}}}},
		})
	}
	responses := object{g.success(c)}
	g.errorResponses(&responses, g.causesOf(c))
	out.set("responses", responses)
	out.set("x-tenantry", policyNotes(c))
	return out
}

// proto2 copies a message, so that the example keeps what the path binds.
func proto2(m *dynamicpb.Message) *dynamicpb.Message {
	out := dynamicpb.NewMessage(m.Descriptor())
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		out.Set(f, v)
		return true
	})
	return out
}

func (g *generator) bodyNeeded(c call) bool {
	needed := g.needed(c.desc.Input())
	return slices.ContainsFunc(g.bodyFields(c), func(f protoreflect.FieldDescriptor) bool { return needed[string(f.Name())] })
}

func (g *generator) success(c call) member {
	status, text := "200", "Done."
	headers := object{
		{"X-Request-Id", ref("headers", "RequestId")}, {"Content-Language", ref("headers", "ContentLanguage")},
		{"RateLimit", ref("headers", "RateLimit")}, {"RateLimit-Policy", ref("headers", "RateLimitPolicy")},
	}
	if answersVersion(c.desc.Output()) {
		headers.set("ETag", ref("headers", "ETag"))
	}
	if c.keyed() {
		headers.set("Idempotency-Replayed", ref("headers", "IdempotencyReplayed"))
	}
	if c.startsOperation() {
		status, text = "202", "Begun. Follow the operation at `Location`."
		headers.set("Location", ref("headers", "Location"))
	}
	return member{status, object{
		{"description", text}, {"headers", headers},
		{"content", object{{"application/json", object{
			{"schema", ref("schemas", g.names[c.desc.Output().FullName()])},
			{"example", g.exampleJSON(g.example(c.desc.Output(), false), false)},
		}}}},
	}}
}

// answersVersion reports whether an answer is one versioned row.
func answersVersion(m protoreflect.MessageDescriptor) bool {
	return m.Fields().ByName("version") != nil
}

// parameters are the path's, the query's and the headers.
func (g *generator) parameters(c call, sample *dynamicpb.Message) []any {
	var out []any
	fields := c.desc.Input().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		switch {
		case c.inPath(f):
			out = append(out, g.parameter(f, "path", true, sample))
		case !c.body && f.Message() == nil:
			out = append(out, g.parameter(f, "query", g.needed(c.desc.Input())[string(f.Name())], sample))
		}
	}
	if c.versioned() {
		out = append(out, ref("parameters", "IfMatch"))
	}
	if c.keyed() {
		out = append(out, ref("parameters", "IdempotencyKey"))
	}
	if c.device() {
		out = append(out, ref("parameters", "Device"))
	}
	return append(out, ref("parameters", "RequestId"), ref("parameters", "AcceptLanguage"))
}

func (g *generator) parameter(f protoreflect.FieldDescriptor, in string, required bool, sample *dynamicpb.Message) object {
	schema := g.field(f)
	if inText(f) {
		schema = object{{"type", "integer"}, {"format", "int64"}}
	}
	var description any
	schema = slices.DeleteFunc(slices.Clone(schema), func(m member) bool {
		if m.key == "description" {
			description = m.value
		}
		return m.key == "description"
	})
	out := object{{"name", string(f.Name())}, {"in", in}, {"required", required}}
	out.put("description", description)
	out.set("schema", schema)
	if sample.Has(f) {
		var all map[string]json.RawMessage
		if err := json.Unmarshal(g.exampleJSON(sample, true), &all); err == nil {
			example := all[string(f.Name())]
			if inText(f) {
				example = bytes.Trim(example, `"`)
			}
			out.set("example", example)
		}
	}
	return out
}

func (g *generator) security(c call) []any {
	out := []any{}
	for _, credential := range c.policy.GetCredentials() {
		if credential == commonv1.Credential_CREDENTIAL_NONE {
			continue
		}
		name := schemes[credential]
		if name == "" {
			g.fail(c.desc, "the credential %s is new here: give it a security scheme in operations.go", credential)
		}
		out = append(out, object{{name, []string{}}})
	}
	return out
}

// access says in words who may call.
func (g *generator) access(c call) []string {
	var out []string
	switch {
	case c.anonymous():
		out = append(out, "Takes no credential.")
	case c.policy.GetPermission() != "":
		out = append(out, "Needs the permission `"+c.policy.GetPermission()+"`.")
	case c.policy.GetOperatorScope() != "":
		out = append(out, "Needs an operator key with the scope `"+c.policy.GetOperatorScope()+"`.")
	default:
		out = append(out, "For whoever has a credential, about their own data.")
	}
	if c.policy.GetStepUp() {
		out = append(out, "Authentication must be recent.")
	}
	return out
}

func policyNotes(c call) object {
	p := c.policy
	var credentials []string
	for _, credential := range p.GetCredentials() {
		credentials = append(credentials, lower(credential.String(), "CREDENTIAL_"))
	}
	out := object{
		{"procedure", "/" + string(c.desc.Parent().FullName()) + "/" + string(c.desc.Name())},
		{"host", lower(p.GetHost().String(), "HOST_")}, {"credentials", credentials},
	}
	out.put("permission", p.GetPermission())
	out.put("operator_scope", p.GetOperatorScope())
	out.put("step_up", p.GetStepUp())
	out.set("rate_class", lower(p.GetRateClass().String(), "RATE_CLASS_"))
	out.set("idempotency", lower(p.GetIdempotency().String(), "IDEMPOTENCY_"))
	out.put("audit_action", p.GetAuditAction())
	return out
}

func lower(s, prefix string) string { return strings.ToLower(strings.TrimPrefix(s, prefix)) }

// operationID is "users.GetMe": the module keeps names of RPCs apart.
func operationID(c call) string {
	return strings.Split(string(c.desc.FullName()), ".")[1] + "." + string(c.desc.Name())
}

func tag(d protoreflect.Descriptor) string { return strings.TrimSuffix(string(d.Name()), "Service") }

func firstSentence(s string) string {
	if i := strings.Index(s, ". "); i >= 0 {
		s = s[:i+1]
	}
	s, _, _ = strings.Cut(s, "\n")
	return strings.TrimSuffix(strings.TrimSuffix(s, "."), ":")
}
