package main

const serverTag = "Server"

// staticPaths are what the server answers beside the RPCs.
func (g *generator) staticPaths() object {
	return object{
		{"/v1/hooks/provisioning/{source}", object{{"post", g.hook()}}},
		{"/.well-known/jwks.json", object{{"get", g.plain("server.GetKeys", "Keys that verify the organization's access tokens (RFC 7517)", object{
			{"type", "object"}, {"required", []string{"keys"}},
			{"properties", object{{"keys", object{{"type", "array"}, {"items", object{
				{"type", "object"}, {"required", []string{"kty", "crv", "kid", "use", "alg", "x"}},
				{"properties", object{
					{"kty", object{{"const", "OKP"}}}, {"crv", object{{"const", "Ed25519"}}}, {"kid", object{{"type", "string"}, {"format", "uuid"}}},
					{"use", object{{"const", "sig"}}}, {"alg", object{{"const", "EdDSA"}}}, {"x", object{{"type", "string"}}},
				}},
			}}}}}},
		}, object{{"keys", []any{object{
			{"kty", "OKP"}, {"crv", "Ed25519"}, {"kid", "0190b1c2-7d3e-7000-8000-000000000003"}, {"use", "sig"}, {"alg", "EdDSA"},
			{"x", "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
		}}}}, []string{"WRONG_HOST", "UNKNOWN_HOST", "METHOD_NOT_ALLOWED", "FLOOD"})}}},
		{"/openapi.json", object{{"get", g.plain("server.GetDocument", "This document", object{{"type", "object"}}, object{{"openapi", "3.1.0"}},
			[]string{"UNKNOWN_HOST", "UNKNOWN_PARAMETER", "FLOOD"})}}},
		{"/livez", object{{"get", g.plain("server.GetLiveness", "Whether the process runs", status, object{{"status", "ok"}}, nil)}}},
		{"/readyz", object{{"get", g.readiness()}}},
	}
}

var status = object{{"type", "object"}, {"required", []string{"status"}}, {"properties", object{
	{"status", object{{"type", "string"}}}, {"failing", object{{"type", "array"}, {"items", object{{"type", "string"}}}}},
}}}

func (g *generator) plain(id, summary string, schema, example object, reasons []string) object {
	responses := object{{"200", object{
		{"description", "Done."}, {"headers", object{{"X-Request-Id", ref("headers", "RequestId")}}},
		{"content", object{{"application/json", object{{"schema", schema}, {"example", example}}}}},
	}}}
	g.errorResponses(&responses, g.byStatus(reasons))
	return object{{"operationId", id}, {"tags", []string{serverTag}}, {"summary", summary}, {"security", []any{}}, {"responses", responses}}
}

func (g *generator) readiness() object {
	out := g.plain("server.GetReadiness", "Whether the process can serve", status, object{{"status", "ok"}}, nil)
	responses := out.get("responses").(object)
	responses.set("503", object{
		{"description", "Not ready; the parts that fail are named."},
		{"content", object{{"application/json", object{{"schema", status}, {"example", object{{"status", "not ready"}, {"failing", []string{"central"}}}}}}}},
	})
	out.replace("responses", responses)
	return out
}

// hook is the inbound provisioning hook. It takes the request of the RPC that
// makes tenants, signed.
func (g *generator) hook() object {
	header := func(name, about, example string) object {
		return object{
			{"name", name}, {"in", "header"}, {"required", true}, {"description", about}, {"schema", object{{"type", "string"}}}, {"example", example},
		}
	}
	out := object{
		{"operationId", "server.TakeHook"}, {"tags", []string{serverTag}}, {"summary", "Provision an organization by a signed message"},
		{"description", "Standard Webhooks: HMAC-SHA256 over id, timestamp and the bytes as sent, within five minutes. The same id and body get the same answer for 30 days; the same id with another body is refused."},
		{"servers", []any{centralServer}}, {"security", []any{}},
		{"parameters", []any{
			object{{"name", "source"}, {"in", "path"}, {"required", true}, {"schema", object{{"type", "string"}, {"pattern", "^[a-z][a-z0-9-]{1,39}$"}}}, {"example", "billing"}},
			header("webhook-id", "Names the message; repeats carry the same.", "msg_2b7c"),
			header("webhook-timestamp", "Unix seconds.", "1768469400"),
			header("webhook-signature", "One or more \"v1,{base64}\", separated by spaces.", "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4="),
		}},
	}
	responses := object{}
	for _, c := range g.calls {
		if c.desc.FullName() == "tenantry.tenants.v1.TenantService.CreateTenant" {
			create := g.operation(c)
			out.set("requestBody", create.get("requestBody"))
			taken := create.get("responses").(object).get("202").(object)
			taken.replace("headers", object{{"X-Request-Id", ref("headers", "RequestId")}, {"Location", ref("headers", "Location")}})
			responses.set("202", taken)
		}
	}
	reasons := []string{
		"INVALID_ARGUMENT", "WRONG_HOST", "FLOOD", "DEADLINE", "INTERNAL", "CENTRAL_UNREACHABLE", "UNSUPPORTED_MEDIA_TYPE", "BODY_TOO_LARGE", "LARGE_BODIES",
		"MALFORMED_BODY", "UNKNOWN_PARAMETER", "SLUG_TAKEN", "SLUG_RESERVED",
	}
	for name := range g.reasons {
		if len(name) > 5 && name[:5] == "HOOK_" && name != "HOOK_SOURCE_EXISTS" && name != "HOOK_SECRET_LIMIT" {
			reasons = append(reasons, name)
		}
	}
	g.errorResponses(&responses, g.byStatus(reasons))
	out.set("responses", responses)
	return out
}
