package main

// The addresses stand for the installation's own; the server puts those in.
const (
	centralURL = "https://tenantry.example"
	tenantURL  = "https://{slug}.tenantry.example"
)

var centralServer = object{{"url", centralURL}, {"description", "The central API: operators and inbound hooks."}}

const about = `Every call is served at the REST path below, as a Connect RPC (POST /{package}.{Service}/{Method}, the procedure is in x-tenantry) and over gRPC, from one schema and through one chain.

An organization answers at its own host, its slug below the base domain; operators use the bare base domain. A credential of one host is worth nothing at another.

Numbers of 64 bits are text in answers. Unknown fields of a body and unknown parameters of a query are refused by name, never ignored. A body is at most 1 MiB, as sent and decompressed.

Errors have one body, {"code", "message", "details"}; the ErrorInfo in the details holds the stable reason to act on. With Accept: application/problem+json they come as RFC 9457 problems.

A mutation that takes an Idempotency-Key can be repeated with the same key: it has one effect and the first answer is given again, marked Idempotency-Replayed. Changes of a versioned row need the version that they are based on, from the ETag, as If-Match.

A call that starts a workflow answers 202 with an operation, which can be read, waited for and cancelled.`

func (g *generator) document() object {
	paths := g.paths()
	return object{
		{"openapi", "3.1.0"},
		{"info", object{{"title", "Tenantry"}, {"version", "v1"}, {"summary", "The back office of a multi-tenant product."}, {"description", about}}},
		{"jsonSchemaDialect", "https://spec.openapis.org/oas/3.1/dialect/base"},
		{"servers", []any{object{
			{"url", tenantURL}, {"description", "One organization."},
			{"variables", object{{"slug", object{{"default", "acme"}, {"description", "The organization's slug."}}}}},
		}}},
		{"tags", g.tags()},
		{"paths", paths},
		{"components", object{
			{"schemas", append(g.schemas(), errorSchemas...)},
			{"headers", headers}, {"parameters", parameters}, {"examples", g.errorExamples()},
			{"securitySchemes", securitySchemes},
		}},
	}
}

func (g *generator) tags() []any {
	var out []any
	for _, s := range g.services {
		out = append(out, object{{"name", tag(s)}, {"description", comment(s)}})
	}
	return append(out, object{{"name", serverTag}, {"description", "What is no RPC: signed hooks, keys for verifying tokens, probes."}})
}

func text(description string, more ...member) object {
	return object{{"description", description}, {"schema", append(object{{"type", "string"}}, more...)}}
}

var headers = object{
	{"RequestId", text("Names this request in logs, errors and support tickets.", member{"minLength", 1}, member{"maxLength", 64})},
	{"ContentLanguage", text("The language of the messages (BCP 47).", member{"enum", []string{"en", "de", "fr", "es", "pt-BR", "ja"}})},
	{"RateLimit", text("What is left of the limit that is nearest (RateLimit header fields for HTTP): `\"principal\";r=98;t=1`.")},
	{"RateLimitPolicy", text("The limits that count this request: `\"principal\";q=100;w=1`.")},
	{"RetryAfter", object{{"description", "Seconds until it is worth trying again (RFC 9110); with 409 only while the first call with the same key still runs."}, {"schema", object{{"type", "integer"}, {"minimum", 0}}}}},
	{"WWWAuthenticate", text("The scheme that is wanted (RFC 6750).")},
	{"ETag", text("The version of the row, to be sent as If-Match: `\"3\"`.")},
	{"Location", text("Path of the operation that was started.", member{"pattern", "^/v1/operations/"})},
	{"IdempotencyReplayed", text("\"true\" when this is the answer to an earlier request with the same key.", member{"enum", []string{"true"}})},
}

var parameters = object{
	{"IdempotencyKey", object{
		{"name", "Idempotency-Key"}, {"in", "header"}, {"required", false},
		{"description", "Makes the call safe to repeat: one key, one effect, one answer. Choose a new one, such as a UUID, for each intent."},
		{"schema", object{{"type", "string"}, {"pattern", `^[\x21-\x7e]{1,255}$`}}}, {"example", "5f3c1d9e-6a60-4b47-9d0c-0f4dbb1c9f7e"},
	}},
	{"IfMatch", object{
		{"name", "If-Match"}, {"in", "header"}, {"required", false},
		{"description", "The version that the change is based on, from the ETag. Needed here or as the body's version; 428 without, 412 when the row has moved on."},
		{"schema", object{{"type", "string"}, {"pattern", `^"[1-9][0-9]{0,18}"$`}}}, {"example", `"3"`},
	}},
	{"Device", object{
		{"name", "Tenantry-Device"}, {"in", "header"}, {"required", false},
		{"description", "The device_token of an earlier login here. It proves nothing and opens nothing: strangers' failures and a busy organization do not keep a known device out, and its logins send no notice of a new one. One that is not valid any more is ignored. Keep the newest."},
		{"schema", object{{"type", "string"}, {"maxLength", 200}}},
	}},
	{"RequestId", object{
		{"name", "X-Request-Id"}, {"in", "header"}, {"required", false}, {"description", "An id of your own for this request; one is made otherwise."},
		{"schema", object{{"type", "string"}, {"pattern", "^[A-Za-z0-9._-]{1,64}$"}}},
	}},
	{"AcceptLanguage", object{
		{"name", "Accept-Language"}, {"in", "header"}, {"required", false}, {"description", "Languages of the messages, best first: en, de, fr, es, pt-BR, ja."},
		{"schema", object{{"type", "string"}}}, {"example", "de, en;q=0.5"},
	}},
}

var securitySchemes = object{
	{"accessToken", object{{"type", "http"}, {"scheme", "bearer"}, {"bearerFormat", "JWT"}, {"description", "The access token that a login answers (RFC 9068), for people of one organization."}}},
	{"apiKey", object{{"type", "http"}, {"scheme", "bearer"}, {"bearerFormat", "API key"}, {"description", "An API key of one organization, with scopes of its own."}}},
	{"operatorKey", object{{"type", "http"}, {"scheme", "bearer"}, {"bearerFormat", "operator key"}, {"description", "An operator's key, at the central host only."}}},
}

var errorSchemas = object{
	{"Error", object{
		{"type", "object"}, {"description", "The body of every error over JSON, the same at the REST and Connect doors."},
		{"properties", object{
			{"code", object{{"type", "string"}, {"description", "The Connect code."}, {"enum", []string{
				"invalid_argument", "unauthenticated", "permission_denied", "not_found", "already_exists", "aborted", "failed_precondition",
				"resource_exhausted", "unavailable", "internal",
			}}}},
			{"message", object{{"type", "string"}, {"description", "For people: what was wrong and what is allowed."}}},
			{"details", object{{"type", "array"}, {"items", ref("schemas", "ErrorDetail")}}},
		}},
		{"required", []string{"code", "message", "details"}},
	}},
	{"ErrorDetail", object{
		{"type", "object"},
		{"description", "One google.rpc detail: ErrorInfo (reason), BadRequest (fields), RetryInfo, LocalizedMessage, RequestInfo."},
		{"properties", object{
			{"type", object{{"type", "string"}, {"description", "Full name of the message: google.rpc.ErrorInfo."}}},
			{"value", object{{"type", "string"}, {"contentEncoding", "base64"}, {"description", "The message in protobuf's binary form."}}},
			{"debug", object{{"type", "object"}, {"description", "The same message as JSON."}}},
		}},
		{"required", []string{"type", "value"}},
	}},
	{"Problem", object{
		{"type", "object"}, {"description", "The same error as an RFC 9457 problem, on Accept: application/problem+json."},
		{"properties", object{
			{"type", object{{"type", "string"}, {"format", "uri"}, {"description", "Where the reason is explained."}}},
			{"title", object{{"type", "string"}}},
			{"status", object{{"type", "integer"}, {"minimum", 400}, {"maximum", 599}}},
			{"detail", object{{"type", "string"}}},
			{"instance", object{{"type", "string"}, {"description", "The path of the request."}}},
			{"code", object{{"type", "string"}, {"description", "The Connect code."}}},
			{"reason", object{{"type", "string"}, {"description", "Stable and made for programs."}}},
			{"request_id", object{{"type", "string"}}},
			{"errors", object{{"type", "array"}, {"items", object{
				{"type", "object"}, {"required", []string{"field", "rule", "message"}},
				{"properties", object{{"field", object{{"type", "string"}}}, {"rule", object{{"type", "string"}}}, {"message", object{{"type", "string"}}}}},
			}}}},
			{"retry_after", object{{"type", "integer"}, {"description", "Seconds, as in Retry-After."}}},
		}},
		{"required", []string{"type", "title", "status", "detail", "code", "reason", "request_id"}},
		{"examples", []any{object{
			{"type", centralURL + "/docs/errors#SLUG_TAKEN"}, {"title", "This address is taken."}, {"status", 409}, {"detail", "slug: \"acme\" is taken; choose another."},
			{"instance", "/v1/tenants"}, {"code", "already_exists"}, {"reason", "SLUG_TAKEN"}, {"request_id", exampleRequestID},
		}}},
	}},
}
