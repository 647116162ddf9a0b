package api

import (
	"net/http"
	"regexp"
	"strings"

	"tenantry/api/edge"
	commonv1 "tenantry/api/gen/tenantry/common/v1"
	tenantsv1 "tenantry/api/gen/tenantry/tenants/v1"
	"tenantry/internal/apperr"
	"tenantry/internal/hooks"
)

// hookPrefix is the inbound provisioning hook. It signs raw bytes, so it is no
// RPC and has no other doors.
const hookPrefix = "/v1/hooks/provisioning/"

var sourceName = regexp.MustCompile(`^[a-z][a-z0-9-]{1,39}$`)

// serveHook takes a signed message (Standard Webhooks) and answers 202 with
// the operation. Nothing of the body is looked at before its signature holds.
func (s *Server) serveHook(w http.ResponseWriter, r *http.Request) {
	through(edge.From(r.Context()), doorHook, "provisioning")
	if r.Method != http.MethodPost {
		s.failMethod(w, r, []string{http.MethodPost})
		return
	}
	if !edge.From(r.Context()).Central {
		s.fail(w, r, s.errWrongHost(true))
		return
	}
	if err := s.takeHook(w, r); err != nil {
		s.fail(w, r, err)
	}
}

func (s *Server) takeHook(w http.ResponseWriter, r *http.Request) error {
	if err := s.limitAddress(w, r, commonv1.RateClass_RATE_CLASS_WRITE); err != nil {
		return err
	}
	call, source := edge.From(r.Context()), strings.TrimPrefix(r.URL.Path, hookPrefix)
	if !sourceName.MatchString(source) {
		return apperr.New(apperr.NotFound, "UNKNOWN_PATH", "The hook is at "+hookPrefix+"{source}; a source is 2 to 40 characters a-z, 0-9 and -.")
	}
	if err := checkContent(r, contentJSON); err != nil {
		return err
	}
	if r.Header.Get("Content-Encoding") == "gzip" {
		return apperr.New(apperr.Invalid, "UNSUPPORTED_MEDIA_TYPE", "Content-Encoding: must be identity; the bytes as sent are signed.").
			WithParams("header", "Content-Encoding", "allowed", "identity").WithStatus(http.StatusUnsupportedMediaType)
	}
	if _, err := query(r.URL.RawQuery, nil); err != nil {
		return err
	}
	body, err := readBody(r)
	if err != nil {
		return err
	}
	m := hooks.Message{
		ID: r.Header.Get("webhook-id"), Timestamp: r.Header.Get("webhook-timestamp"),
		Signature: strings.Join(r.Header.Values("webhook-signature"), " "), Body: body,
	}
	src, err := s.verifyHook(r.Context(), source, m)
	if err != nil {
		return err
	}
	in, err := s.decodeHook(body)
	if err != nil {
		return err
	}
	op, err := s.acceptHook(r.Context(), src, m, reserveInput(in), call.RequestID)
	if err != nil {
		return err
	}
	answer := operationMessage(op)
	w.Header().Set("Location", operationPath(answer))
	s.writeMessage(w, r, http.StatusAccepted, answer)
	return nil
}

// decodeHook applies the rules of the RPC that makes tenants.
func (s *Server) decodeHook(body []byte) (*tenantsv1.CreateTenantRequest, error) {
	in := &tenantsv1.CreateTenantRequest{}
	if err := s.json.UnmarshalOptions.Unmarshal(body, in); err != nil {
		return nil, errMalformed(err, in.ProtoReflect().Descriptor())
	}
	if in.GetReserveOnly() {
		return nil, apperr.InvalidField("reserve_only", "hook.reserve_only", "is for operators; a hook provisions")
	}
	if err := checkText(in.ProtoReflect(), ""); err != nil {
		return nil, err
	}
	return in, s.validator.Validate(in)
}
