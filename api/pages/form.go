package pages

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"tenantry/api/edge"
	"tenantry/internal/apperr"
)

// formTTL is how long a form may lie open.
const formTTL = time.Hour

// readForm refuses a POST that did not come from our own form: another
// origin, or without the token that the form carried.
func (p *Pages) readForm(w http.ResponseWriter, r *http.Request) error {
	if base, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || base != "application/x-www-form-urlencoded" {
		return apperr.New(apperr.Invalid, "UNSUPPORTED_MEDIA_TYPE", "Content-Type: must be application/x-www-form-urlencoded.").
			WithParams("header", "Content-Type", "allowed", "application/x-www-form-urlencoded").WithStatus(http.StatusUnsupportedMediaType)
	}
	if !p.sameOrigin(r) {
		return apperr.New(apperr.Forbidden, "FORM_FOREIGN", "This form was sent from another site. Open the link of the mail and try again.")
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			return apperr.New(apperr.Invalid, "BODY_TOO_LARGE", "The form is too large.").WithStatus(http.StatusRequestEntityTooLarge)
		}
		if _, ok := apperr.As(err); ok {
			return err // no place for it
		}
		return apperr.New(apperr.Invalid, "MALFORMED_BODY", "The form cannot be read.")
	}
	if !p.validFormToken(r, r.PostForm.Get("token"), r.PostForm.Get("form_token")) {
		return apperr.New(apperr.Forbidden, "FORM_EXPIRED", "This form has been open for too long. Open the link of the mail and try again.")
	}
	return nil
}

// sameOrigin holds for our own pages. Under "Referrer-Policy: no-referrer"
// browsers send "Origin: null" with a form (Fetch standard, "append a request
// Origin header"), so Sec-Fetch-Site decides where it is sent: at https and
// at localhost. Elsewhere the Origin must be ours.
func (p *Pages) sameOrigin(r *http.Request) bool {
	origin, site := r.Header.Get("Origin"), r.Header.Get("Sec-Fetch-Site")
	ours := p.URLs.Tenant(edge.From(r.Context()).Tenant.Slug)
	if site != "" {
		return site == "same-origin" && (origin == "" || origin == "null" || origin == ours)
	}
	return origin == ours
}

// formToken binds a form to its page, the link it was opened with and an
// hour, under a key that only this tenant's forms use.
func (p *Pages) formToken(r *http.Request, token string) string {
	expires := strconv.FormatInt(p.Now().Add(formTTL).Unix(), 10)
	return expires + "." + base64.RawURLEncoding.EncodeToString(formMAC(r, token, expires))
}

func (p *Pages) validFormToken(r *http.Request, token, sent string) bool {
	expires, text, ok := strings.Cut(sent, ".")
	sum, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if !ok || err != nil || !hmac.Equal(sum, formMAC(r, token, expires)) {
		return false
	}
	at, err := strconv.ParseInt(expires, 10, 64)
	return err == nil && p.Now().Before(time.Unix(at, 0))
}

func formMAC(r *http.Request, token, expires string) []byte {
	m := hmac.New(sha256.New, edge.From(r.Context()).Tenant.DataKey().Derive("page-form"))
	for _, part := range []string{r.URL.Path, token, expires} {
		m.Write([]byte(strconv.Itoa(len(part)) + ":" + part)) // a hash never fails
	}
	return m.Sum(nil)
}
