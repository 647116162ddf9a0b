package pages

import (
	"crypto/sha256"
	_ "embed" // the page's two parts
	"encoding/base64"
	"html/template"
	"net/http"
	"strings"
)

var (
	//go:embed page.html
	pageHTML string
	//go:embed page.css
	pageCSS string
)

// layout is the one page; the style is put in as it is, so its hash is known.
var layout = template.Must(template.New("page").Parse(strings.Replace(pageHTML, "/*style*/", pageCSS, 1)))

// policy allows the page its own style and forms to where they lead: no
// script, no image, no frame around it.
func policy(formAction string) string {
	return "default-src 'none'; style-src 'sha256-" + style + "'; form-action " + formAction + "; frame-ancestors 'none'; base-uri 'none'"
}

var style = styleHash()

func styleHash() string {
	sum := sha256.Sum256([]byte(pageCSS))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// headers are those of every page. The link holds a token: no page it leads
// to may learn it, and no cache or search engine may keep it.
func headers(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Security-Policy", policy("'self'"))
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Robots-Tag", "noindex, nofollow")
	h.Set("X-Content-Type-Options", "nosniff")
}
