// Package openapi is the description of the API: the OpenAPI 3.1 document,
// which ./generate writes from the schema, and the page that shows it. Both
// are in the binary, need nothing from elsewhere, and name the installation's
// own addresses. They say nothing that is not in the source.
package openapi

import (
	"bytes"
	_ "embed" // the document and the page's parts
	"encoding/json"
	"fmt"
)

//go:embed openapi.json
var document []byte

// What stands in the document for the addresses of an installation.
const (
	placeholderCentral = "https://tenantry.example"
	placeholderTenant  = "https://{slug}.tenantry.example"
	placeholderSlug    = `"default":"acme"`
)

// Documents are the document and its page for one installation.
type Documents struct {
	json, page, errors []byte
}

// New prepares both for the addresses of the central API and of tenants; the
// latter holds "{slug}".
func New(central, tenant string) (*Documents, error) {
	var compact bytes.Buffer
	if err := json.Compact(&compact, document); err != nil {
		return nil, fmt.Errorf("openapi.json: %w", err)
	}
	text := bytes.ReplaceAll(compact.Bytes(), []byte(placeholderTenant), []byte(tenant))
	text = bytes.ReplaceAll(text, []byte(placeholderCentral), []byte(central))
	page, errs, err := render(text)
	if err != nil {
		return nil, fmt.Errorf("docs page: %w", err)
	}
	return &Documents{json: text, page: page, errors: errs}, nil
}

// JSON is the document. At a tenant's host it names that tenant.
func (d *Documents) JSON(slug string) []byte {
	if slug == "" {
		return d.json
	}
	return bytes.Replace(d.json, []byte(placeholderSlug), []byte(`"default":"`+slug+`"`), 1)
}

// Page is the document as HTML. At a tenant's host its commands name that
// tenant.
func (d *Documents) Page(slug string) []byte {
	if slug == "" {
		return d.page
	}
	return bytes.ReplaceAll(d.page, []byte("{slug}"), []byte(slug))
}

// Errors is the page that explains every reason; a problem's type leads there.
func (d *Documents) Errors() []byte { return d.errors }
