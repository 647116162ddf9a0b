package openapi

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // the page's parts
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"net/url"
	"slices"
	"strings"
)

var (
	//go:embed page.html
	pageHTML string
	//go:embed errors.html
	errorsHTML string
	//go:embed page.css
	pageCSS string
)

// The pages; the style is put in as it is, so its hash is known.
var (
	layout       = template.Must(template.New("page").Parse(strings.Replace(pageHTML, "/*style*/", pageCSS, 1)))
	errorsLayout = template.Must(template.New("errors").Parse(strings.Replace(errorsHTML, "/*style*/", pageCSS, 1)))
)

// Policy is the pages' Content-Security-Policy: its own style and nothing
// else, no script, no request to anywhere, no frame around it.
var Policy = "default-src 'none'; style-src 'sha256-" + styleHash() + "'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'"

func styleHash() string {
	sum := sha256.Sum256([]byte(pageCSS))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// view is what the page shows.
type view struct {
	Title, Version string
	About          []string
	Schemes        []scheme
	Groups         []*group
	Schemas        []schemaView
}

type scheme struct{ Name, Format, Text string }

type group struct {
	Name, Text string
	Operations []operationView
}

type operationView struct {
	ID, Verb, Path, Summary, Procedure string
	Text                               []string
	Credentials                        []string
	Idempotent, StepUp                 bool
	RateClass, Audit                   string
	Parameters                         []parameterView
	Body, BodySchema                   string
	Curl                               string
	Answers                            []answerView
	Errors                             []errorView
}

type parameterView struct {
	Name, In, Type, Limits, Text, Example string
	Required                              bool
}

type answerView struct{ Status, Text, Schema, Body, Headers string }

type errorView struct{ Status, Reason, Code, Text, Meaning string }

type schemaView struct {
	Name, Text string
	Fields     []parameterView
}

// The parts of the document that the page reads.
type doc struct {
	Info struct{ Title, Version, Description string }
	Tags []struct{ Name, Description string }
	// Paths keep the order of the document.
	Paths      ordered[ordered[operation]]
	Servers    []struct{ URL string }
	Components struct {
		Schemas         ordered[schema]
		Headers         map[string]struct{ Description string }
		Parameters      map[string]parameter
		Examples        ordered[errorExample]
		SecuritySchemes ordered[struct{ BearerFormat, Description string }]
	}
}

type errorExample struct {
	Summary string
	Status  int `json:"x-status"`
	Value   struct{ Code, Message string }
}

type operation struct {
	OperationID, Summary, Description string
	Tags                              []string
	Servers                           []struct{ URL string }
	Security                          []map[string][]string
	Parameters                        []parameter
	RequestBody                       struct{ Content map[string]content }
	Responses                         ordered[response]
	Notes                             notes `json:"x-tenantry"`
}

// notes are what the schema's policy says beyond OpenAPI's words.
type notes struct {
	Procedure, Idempotency string
	StepUp                 bool   `json:"step_up"`
	RateClass              string `json:"rate_class"`
	AuditAction            string `json:"audit_action"`
}

type parameter struct {
	Ref                   string `json:"$ref"`
	Name, In, Description string
	Required              bool
	Schema                schema
	Example               json.RawMessage
}

type content struct {
	Schema   schema
	Example  json.RawMessage
	Examples map[string]struct {
		Ref string `json:"$ref"`
	}
}

type response struct {
	Description string
	Headers     map[string]struct {
		Ref string `json:"$ref"`
	}
	Content map[string]content
}

// render makes the page of a document and the page of its errors.
func render(text []byte) (page, errors []byte, err error) {
	var d doc
	if err := json.Unmarshal(text, &d); err != nil {
		return nil, nil, err
	}
	var out, reasons bytes.Buffer
	if err := layout.Execute(&out, d.view()); err != nil {
		return nil, nil, err
	}
	err = errorsLayout.Execute(&reasons, d.reasons())
	return out.Bytes(), reasons.Bytes(), err
}

// reasons are all errors, one entry for each reason and status.
func (d *doc) reasons() []errorView {
	var out []errorView
	for _, e := range d.Components.Examples {
		reason, _, _ := strings.Cut(e.key, ".")
		out = append(out, errorView{fmt.Sprint(e.value.Status), reason, e.value.Value.Code, e.value.Value.Message, e.value.Summary})
	}
	return out
}

func (d *doc) view() view {
	v := view{Title: d.Info.Title, Version: d.Info.Version, About: paragraphs(d.Info.Description)}
	for _, s := range d.Components.SecuritySchemes {
		v.Schemes = append(v.Schemes, scheme{s.key, s.value.BearerFormat, s.value.Description})
	}
	byTag := map[string]*group{}
	for _, t := range d.Tags {
		byTag[t.Name] = &group{Name: t.Name, Text: t.Description}
		v.Groups = append(v.Groups, byTag[t.Name])
	}
	for _, path := range d.Paths {
		for _, verb := range path.value {
			for _, tag := range verb.value.Tags {
				if g := byTag[tag]; g != nil {
					g.Operations = append(g.Operations, d.operation(path.key, verb.key, verb.value))
				}
			}
		}
	}
	for _, s := range d.Components.Schemas {
		v.Schemas = append(v.Schemas, schemaView{s.key, s.value.Description, s.value.fields()})
	}
	return v
}

// paragraphs of a description, without the marks of its code spans.
func paragraphs(s string) []string {
	s = strings.ReplaceAll(s, "`", "")
	return slices.DeleteFunc(strings.Split(s, "\n\n"), func(p string) bool { return p == "" })
}

func (d *doc) operation(path, verb string, o operation) operationView {
	out := operationView{
		ID: o.OperationID, Verb: strings.ToUpper(verb), Path: path, Summary: o.Summary, Text: paragraphs(o.Description), Procedure: o.Notes.Procedure,
		Idempotent: o.Notes.Idempotency == "key", StepUp: o.Notes.StepUp, RateClass: o.Notes.RateClass, Audit: o.Notes.AuditAction,
	}
	for _, s := range o.Security {
		for name := range s {
			out.Credentials = append(out.Credentials, name)
		}
	}
	for i, p := range o.Parameters {
		if p.Ref != "" {
			p = d.Components.Parameters[last(p.Ref)]
			o.Parameters[i] = p
		}
		out.Parameters = append(out.Parameters, parameterView{
			Name: p.Name, In: p.In, Type: p.Schema.typeName(), Limits: p.Schema.limits(), Text: p.Description, Required: p.Required, Example: plain(p.Example),
		})
	}
	body := o.RequestBody.Content["application/json"]
	out.Body, out.BodySchema = pretty(body.Example), last(body.Schema.Ref)
	for _, r := range o.Responses {
		c := r.value.Content["application/json"]
		if r.key < "400" {
			out.Answers = append(out.Answers, answerView{r.key, strings.ReplaceAll(r.value.Description, "`", ""), last(c.Schema.Ref), pretty(c.Example), headerNames(r.value)})
			continue
		}
		for _, name := range sortedKeys(c.Examples) {
			e := d.Components.Examples.get(last(c.Examples[name].Ref))
			out.Errors = append(out.Errors, errorView{r.key, name, e.Value.Code, e.Value.Message, e.Summary})
		}
	}
	out.Curl = d.curl(path, verb, o, body)
	return out
}

func headerNames(r response) string { return strings.Join(sortedKeys(r.Headers), ", ") }

// curl is a command that makes the call of the examples.
func (d *doc) curl(path, verb string, o operation, body content) string {
	server := d.Servers[0].URL
	if len(o.Servers) > 0 {
		server = o.Servers[0].URL
	}
	for _, p := range o.Parameters {
		if p.In == "path" {
			path = strings.ReplaceAll(path, "{"+p.Name+"}", plain(p.Example))
		}
	}
	line := "curl "
	if verb != "get" {
		line += "-X " + strings.ToUpper(verb) + " "
	}
	parts := []string{line + "'" + server + path + queryOf(o) + "'"}
	if len(o.Security) > 0 {
		parts = append(parts, `-H "Authorization: Bearer $TOKEN"`)
	}
	for _, p := range o.Parameters {
		if p.In == "header" && len(p.Example) > 0 && p.Name != "Accept-Language" {
			parts = append(parts, fmt.Sprintf("-H '%s: %s'", p.Name, plain(p.Example)))
		}
	}
	if len(body.Example) > 0 {
		parts = append(parts, "-H 'Content-Type: application/json'", "-d '"+strings.ReplaceAll(string(body.Example), "'", `'\''`)+"'")
	}
	return strings.Join(parts, " \\\n  ")
}

func queryOf(o operation) string {
	var parts []string
	for _, p := range o.Parameters {
		if p.In == "query" && len(p.Example) > 0 {
			parts = append(parts, p.Name+"="+url.QueryEscape(plain(p.Example)))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return "?" + strings.Join(parts, "&")
}
