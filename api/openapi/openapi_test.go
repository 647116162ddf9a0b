package openapi

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"html"
	"regexp"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"

	commonv1 "tenantry/api/gen/tenantry/common/v1"
)

const (
	central = "https://api.acme-cloud.example:8443"
	tenant  = "https://{slug}.api.acme-cloud.example:8443"
)

func documents(t *testing.T) *Documents {
	t.Helper()
	d, err := New(central, tenant)
	require.NoError(t, err)
	return d
}

func TestDocument_IsValidOpenAPI31WithValidExamples(t *testing.T) {
	t.Parallel()
	for _, slug := range []string{"", "globex"} {
		doc, err := openapi3.NewLoader().LoadFromData(documents(t).JSON(slug))
		require.NoError(t, err)
		require.Equal(t, "3.1.0", doc.OpenAPI)
		require.NoError(t, doc.Validate(t.Context(), openapi3.EnableExamplesValidation(), openapi3.EnableSchemaPatternValidation()))
	}
}

func TestDocument_NamesTheInstallationsOwnAddresses(t *testing.T) {
	t.Parallel()
	d := documents(t)
	type servers []struct {
		URL       string
		Variables map[string]struct{ Default string }
	}
	read := func(slug string) (at servers, central servers) {
		var doc struct {
			Servers servers
			Paths   map[string]map[string]struct{ Servers servers }
		}
		require.NoError(t, json.Unmarshal(d.JSON(slug), &doc))
		return doc.Servers, doc.Paths["/v1/tenants"]["post"].Servers
	}
	for slug, shown := range map[string]string{"": "acme", "globex": "globex"} {
		at, ofOperators := read(slug)
		require.Equal(t, tenant, at[0].URL)
		require.Equal(t, shown, at[0].Variables["slug"].Default)
		require.Equal(t, central, ofOperators[0].URL)
		require.NotContains(t, string(d.JSON(slug)), "tenantry.example/v1", "the placeholder")
	}
}

func TestPage_LoadsNothingAndRunsNothing(t *testing.T) {
	t.Parallel()
	d := documents(t)
	for _, page := range []string{string(d.Page("globex")), string(d.Errors())} {
		requireInert(t, page)
	}
}

func requireInert(t *testing.T, page string) {
	t.Helper()
	style := regexp.MustCompile(`(?s)<style>(.*?)</style>`).FindAllStringSubmatch(page, -1)
	require.Len(t, style, 1)
	sum := sha256.Sum256([]byte(style[0][1]))
	require.Contains(t, Policy, "style-src 'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'")
	require.Contains(t, Policy, "default-src 'none'")
	require.NotContains(t, Policy, "unsafe")
	for _, banned := range []string{"<script", "<link", "<img", "<iframe", "<form", " src=", "style=", "@import", "url(", " onload", " onclick", "javascript:"} {
		require.False(t, strings.Contains(strings.ToLower(page), banned), banned)
	}
	for _, target := range regexp.MustCompile(`href="([^"]*)"`).FindAllStringSubmatch(page, -1) {
		require.Regexp(t, `^(#|/openapi\.json$|/docs(/errors)?$)`, target[1])
		if id, local := strings.CutPrefix(target[1], "#"); local {
			require.True(t, strings.Contains(page, `id="`+id+`"`), "%s leads nowhere", id)
		}
	}
}

func TestPage_ShowsEveryOperationAndSchema(t *testing.T) {
	t.Parallel()
	d := documents(t)
	page := html.UnescapeString(string(d.Page("")))
	holds := func(s string) { require.True(t, strings.Contains(page, s), s) }
	var doc doc
	require.NoError(t, json.Unmarshal(d.JSON(""), &doc))
	shown := 0
	for _, path := range doc.Paths {
		for _, verb := range path.value {
			holds(`id="` + verb.value.OperationID + `"`)
			shown++
		}
	}
	require.Greater(t, shown, 20)
	for _, s := range doc.Components.Schemas {
		holds(`id="schema-` + s.key + `"`)
	}
	for _, scheme := range doc.Components.SecuritySchemes {
		holds(scheme.value.Description)
	}
	holds("{slug}.api.acme-cloud.example:8443/v1/me")
	page = string(d.Page("globex"))
	holds("https://globex.api.acme-cloud.example:8443/v1/me")
	require.False(t, strings.Contains(page, "{slug}"))
}

func TestErrorsPage_ExplainsEveryReasonOnce(t *testing.T) {
	t.Parallel()
	page := string(documents(t).Errors())
	reasons := commonv1.Reason(0).Descriptor().Values()
	explained := 0
	for i := range reasons.Len() {
		explained += strings.Count(page, ` id="`+strings.TrimPrefix(string(reasons.Get(i).Name()), "REASON_")+`"`)
	}
	require.Equal(t, strings.Count(page, " id="), explained)
	require.Greater(t, explained, 30)
}
