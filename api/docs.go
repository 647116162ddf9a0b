package api

import (
	"net/http"
	"slices"

	"tenantry/api/edge"
	"tenantry/api/openapi"
	"tenantry/api/pages"
)

const (
	docsPath     = "/docs"
	errorsPath   = "/docs/errors"
	documentPath = "/openapi.json"
)

// htmlPaths are the pages that mails link to, and those of the docs.
var htmlPaths = append(slices.Clone(pages.Paths), docsPath, errorsPath)

// serveDocs answers the API's description, at every host and to anybody: it
// says nothing that is not in the source. At a tenant's host it names that
// tenant's addresses.
func (s *Server) serveDocs(w http.ResponseWriter, r *http.Request) {
	if !reading(r) {
		s.failMethod(w, r, []string{http.MethodGet, http.MethodHead})
		return
	}
	slug := edge.From(r.Context()).Tenant.Slug
	if r.URL.Path == documentPath {
		if _, err := query(r.URL.RawQuery, nil); err != nil {
			s.fail(w, r, err)
			return
		}
		w.Header().Set("Content-Type", contentJSON)
		_, _ = w.Write(s.docs.JSON(slug)) // the client has left; nobody to tell
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", openapi.Policy)
	w.Header().Set("Referrer-Policy", "no-referrer")
	page := s.docs.Page(slug)
	if r.URL.Path == errorsPath {
		page = s.docs.Errors()
	}
	_, _ = w.Write(page) // as above
}
