package api

import (
	"net/http"

	"tenantry/api/edge"
	commonv1 "tenantry/api/gen/tenantry/common/v1"
)

// servePage serves a page that a mail links to. It takes the tenant's
// database like an RPC would.
func (s *Server) servePage(w http.ResponseWriter, r *http.Request) {
	call := edge.From(r.Context())
	through(call, doorPage, r.URL.Path)
	if !reading(r) && r.Method != http.MethodPost {
		s.failMethod(w, r, []string{http.MethodGet, http.MethodHead, http.MethodPost})
		return
	}
	if call.Central {
		s.fail(w, r, s.errWrongHost(false))
		return
	}
	err := s.usePage(w, r, call)
	if err != nil {
		// The log gets what the page does not say.
		status := statuses[s.failure(r.Context(), err).Code()]
		if call.HTTPStatus != 0 {
			status = call.HTTPStatus
		}
		s.pages.Trouble(w, r, status, answerable(r.Context(), err))
	}
}

func (s *Server) usePage(w http.ResponseWriter, r *http.Request, call *edge.Call) error {
	class := commonv1.RateClass_RATE_CLASS_READ
	if !reading(r) {
		class = commonv1.RateClass_RATE_CLASS_CREDENTIAL // a form redeems a token or hashes a password
	}
	err := s.limitAddress(w, r, class)
	if err != nil {
		return err
	}
	// Before the database: a client that sends slowly must not hold it.
	if err := s.pages.Read(w, r); err != nil {
		return err
	}
	if call.Lease, err = s.lease(call.Tenant); err != nil {
		return err
	}
	return s.pages.Serve(w, r)
}
