package main

import (
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	commonv1 "tenantry/api/gen/tenantry/common/v1"
)

const exampleRequestID = "0190b1c2-7d3e-7000-8000-00000000abcd"

// edgeReasons are what the chain in front of an RPC may answer, and when.
var edgeReasons = []struct {
	reasons []string
	when    func(call) bool
}{
	{[]string{"INVALID_ARGUMENT", "UNKNOWN_HOST", "WRONG_HOST", "FLOOD", "RATE_LIMITED", "DEADLINE", "DRAINING", "INTERNAL", "CENTRAL_UNREACHABLE"},
		func(call) bool { return true }},
	{[]string{"UNSUPPORTED_MEDIA_TYPE", "BODY_TOO_LARGE", "LARGE_BODIES", "MALFORMED_BODY"}, func(c call) bool { return c.verb != "get" }},
	{[]string{"UNKNOWN_PARAMETER"}, func(call) bool { return true }},
	{[]string{"CREDENTIAL_MISSING", "CREDENTIAL_INVALID", "CREDENTIAL_EXPIRED"}, func(c call) bool { return !c.anonymous() }},
	{[]string{"CREDENTIAL_KIND", "ADDRESS_NOT_ALLOWED"}, func(c call) bool { return c.tenant() && !c.anonymous() }},
	{[]string{"PERMISSION_MISSING"}, func(c call) bool { return c.policy.GetPermission() != "" }},
	{[]string{"STEP_UP_REQUIRED"}, func(c call) bool { return c.policy.GetStepUp() }},
	{[]string{"SCOPE_MISSING"}, func(c call) bool { return c.policy.GetOperatorScope() != "" }},
	{[]string{"TENANT_NOT_ACTIVE", "TENANT_SUSPENDED", "TENANT_UNREACHABLE", "POOL_BUDGET", "SCHEMA_OUT_OF_RANGE"}, call.tenant},
	{[]string{"IDEMPOTENCY_KEY_INVALID", "IDEMPOTENCY_IN_FLIGHT", "IDEMPOTENCY_KEY_REUSED"}, call.keyed},
	{[]string{"IDEMPOTENCY_UNSUPPORTED"}, func(c call) bool { return !c.keyed() && c.verb != "get" }},
	{[]string{"VERSION_REQUIRED", "VERSION_CONFLICT"}, call.versioned},
}

func (c call) tenant() bool { return c.policy.GetHost() == commonv1.Host_HOST_TENANT }

func (c call) anonymous() bool {
	return slices.Contains(c.policy.GetCredentials(), commonv1.Credential_CREDENTIAL_NONE)
}

func (c call) keyed() bool {
	return c.policy.GetIdempotency() == commonv1.Idempotency_IDEMPOTENCY_KEY
}

// device reports whether the call tells known devices from strangers.
func (c call) device() bool {
	return c.tenant() && c.anonymous() && c.policy.GetRateClass() == commonv1.RateClass_RATE_CLASS_CREDENTIAL
}

// versioned reports whether the call changes a row under its optimistic lock.
func (c call) versioned() bool {
	return c.policy.GetRateClass() != commonv1.RateClass_RATE_CLASS_READ && c.desc.Input().Fields().ByName("version") != nil
}

func (c call) startsOperation() bool {
	return c.policy.GetRateClass() != commonv1.RateClass_RATE_CLASS_READ && c.desc.Output().FullName() == "tenantry.operations.v1.Operation"
}

// causesOf lists what a call may fail with, by status.
func (g *generator) causesOf(c call) map[int][]cause {
	var names []string
	for _, e := range edgeReasons {
		if e.when(c) {
			names = append(names, e.reasons...)
		}
	}
	for _, r := range c.policy.GetReasons() {
		names = append(names, r.String()[len("REASON_"):])
	}
	return g.byStatus(names)
}

func (g *generator) byStatus(names []string) map[int][]cause {
	out := map[int][]cause{}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		if len(g.causes[name]) == 0 && g.reasons[name] != nil {
			g.unused[name] = true
		}
		for _, cause := range g.causes[name] {
			out[cause.status] = append(out[cause.status], cause)
		}
	}
	return out
}

// errorResponses adds a response per status, each reason with its example.
func (g *generator) errorResponses(out *object, byStatus map[int][]cause) {
	for _, status := range slices.Sorted(maps.Keys(byStatus)) {
		var names []string
		var bodies object
		for _, c := range byStatus[status] {
			name := g.exampleName(c)
			names = append(names, "`"+c.reason+"`")
			bodies.set(c.reason, ref("examples", name))
		}
		headers := object{{"X-Request-Id", ref("headers", "RequestId")}, {"Content-Language", ref("headers", "ContentLanguage")}}
		switch status {
		case http.StatusTooManyRequests, http.StatusServiceUnavailable, http.StatusConflict:
			headers.set("Retry-After", ref("headers", "RetryAfter"))
		case http.StatusUnauthorized:
			headers.set("WWW-Authenticate", ref("headers", "WWWAuthenticate"))
		}
		out.set(strconv.Itoa(status), object{
			{"description", fmt.Sprintf("%s: %s.", http.StatusText(status), join(names))},
			{"headers", headers},
			{"content", object{
				{"application/json", object{{"schema", ref("schemas", "Error")}, {"examples", bodies}}},
				{"application/problem+json", object{{"schema", ref("schemas", "Problem")}}},
			}},
		})
	}
}

func join(names []string) string {
	out := ""
	for i, n := range names {
		switch {
		case i > 0 && i == len(names)-1:
			out += " or "
		case i > 0:
			out += ", "
		}
		out += n
	}
	return out
}

// exampleName is the component of a cause; a reason with two statuses has two.
func (g *generator) exampleName(c cause) string {
	g.used[c] = true
	if len(g.causes[c.reason]) > 1 {
		return fmt.Sprintf("%s.%d", c.reason, c.status)
	}
	return c.reason
}

// errorExamples are the bodies of every cause; the page of errors shows those
// too that no call declares.
func (g *generator) errorExamples() object {
	for name := range g.reasons {
		for _, c := range g.causes[name] {
			g.used[c] = true
		}
	}
	used := slices.SortedFunc(maps.Keys(g.used), func(a, b cause) int {
		if a.reason == b.reason {
			return a.status - b.status
		}
		if a.reason < b.reason {
			return -1
		}
		return 1
	})
	var out object
	for _, c := range used {
		example := object{}
		example.put("summary", comment(g.reasons[c.reason]))
		example.set("x-status", c.status)
		example.set("value", g.errorBody(c))
		out.set(g.exampleName(c), example)
	}
	return out
}

func (c cause) text() string {
	switch {
	case c.reason == "INVALID_ARGUMENT":
		return "email: must be a valid email address"
	case c.message == "": // put together where it is answered
		return strings.ReplaceAll(strings.ToLower(c.reason), "_", " ")
	}
	return c.message
}

func (g *generator) errorBody(c cause) object {
	details := []any{g.detail(&errdetails.ErrorInfo{Reason: c.reason, Domain: "tenantry"})}
	if c.reason == "INVALID_ARGUMENT" {
		details = append(details, g.detail(&errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{
			{Field: "email", Description: "must be a valid email address", Reason: "string.email"},
		}}))
	}
	if c.status == http.StatusTooManyRequests || c.status == http.StatusServiceUnavailable {
		details = append(details, g.detail(&errdetails.RetryInfo{RetryDelay: durationpb.New(1e9)}))
	}
	details = append(details, g.detail(&errdetails.RequestInfo{RequestId: exampleRequestID}))
	return object{{"code", c.code}, {"message", c.text()}, {"details", details}}
}

func (g *generator) detail(m proto.Message) object {
	value, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		g.errs = append(g.errs, err)
	}
	debug, err := protojson.Marshal(m)
	if err != nil {
		g.errs = append(g.errs, err)
	}
	return object{
		{"type", string(m.ProtoReflect().Descriptor().FullName())},
		{"value", base64.RawStdEncoding.EncodeToString(value)}, {"debug", raw(debug)},
	}
}
