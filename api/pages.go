package api

import (
	"net/http"

	"tenantry/api/edge"
)

// servePage serves a page that a mail links to. It takes the tenant's
// database like an RPC would.
func (s *Server) servePage(w http.ResponseWriter, r *http.Request) {
	call := edge.From(r.Context())
	if !reading(r) && r.Method != http.MethodPost {
		s.failMethod(w, r, []string{http.MethodGet, http.MethodHead, http.MethodPost})
		return
	}
	if call.Central {
		s.fail(w, r, s.errWrongHost(false))
		return
	}
	lease, err := s.lease(r.Context(), call.Tenant)
	if err == nil {
		defer lease.Release()
		call.Lease = lease
		err = s.pages.Serve(w, r)
	}
	if err != nil {
		// The log gets what the page does not say.
		status := statuses[s.failure(r.Context(), err).Code()]
		if call.HTTPStatus != 0 {
			status = call.HTTPStatus
		}
		s.pages.Trouble(w, r, status, answerable(r.Context(), err))
	}
}
