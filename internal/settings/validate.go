package settings

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"tenantry/internal/apperr"
	"tenantry/internal/secrets"
)

// maxList bounds each list of the document.
const maxList = 100

// domain is a DNS name of two labels or more (RFC 1035), in lower case.
var domain = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// Validate names the first field that is out of bounds, as the requests that
// hold initial settings name it.
func (d Document) Validate() error { return d.check("settings.", "") }

// check is Validate with what stands before a field's name, and behind a
// list's: an update wraps its lists.
func (d Document) check(prefix, list string) error {
	bad := func(field, rule, message string) error { return apperr.InvalidField(prefix+field, rule, message) }
	if policies := []string{InviteOnly, Open, AllowList}; !slices.Contains(policies, d.RegistrationPolicy) {
		return bad("registration_policy", "enum.defined_only", "must be one of "+strings.Join(policies, ", "))
	}
	if d.RegistrationPolicy == AllowList && len(d.RegistrationDomains) == 0 {
		return bad("registration_domains"+list, "repeated.min_items", "must name at least one domain for the policy "+AllowList)
	}
	if err := checkList(d.RegistrationDomains, func(name string) bool { return len(name) <= 253 && domain.MatchString(name) }); err != nil {
		return bad("registration_domains"+list, "string.pattern", "must be at most 100 DNS names in lower case such as example.com, each once")
	}
	if !slices.Contains(Languages, d.Language) {
		return bad("language", "string.in", "must be one of "+strings.Join(Languages, ", "))
	}
	if _, err := time.LoadLocation(d.TimeZone); err != nil || d.TimeZone == "Local" || d.TimeZone == "" {
		return bad("time_zone", "string.iana_time_zone", "must be an IANA time zone such as Europe/Berlin")
	}
	if d.MaxUsers < 0 || d.MaxUsers > 1_000_000 {
		return bad("max_users", "int32.gte_lte", "must be 0 (no limit) to 1000000")
	}
	if err := validateOrigins(prefix+"allowed_origins"+list, d.AllowedOrigins); err != nil {
		return err
	}
	if err := checkList(d.PasswordWords, isWord); err != nil {
		return bad("password_words"+list, "string.len", "must be at most 100 words of 3 to 40 printable characters, each once")
	}
	if policies := []string{MFAOptional, MFARequired, MFARoles}; !slices.Contains(policies, d.MFAPolicy) {
		return bad("mfa_policy", "string.in", "must be one of "+strings.Join(policies, ", "))
	}
	if d.MFAPolicy == MFARoles && len(d.MFARoleIDs) == 0 {
		return bad("mfa_role_ids"+list, "repeated.min_items", "must name at least one role for the policy "+MFARoles)
	}
	if len(d.MFARoleIDs) > maxList {
		return bad("mfa_role_ids"+list, "repeated.max_items", "must be at most 100 roles")
	}
	if days := d.MFAGraceDays; days != nil && (*days < 0 || *days > maxMFAGraceDays) {
		return bad("mfa_grace_days", "int32.gte_lte", "must be 0 to 90 days")
	}
	if !isAppURL(d.AppURL) {
		return bad("app_url", "string.uri", "must be an absolute https URL without user or fragment (http only for localhost)")
	}
	return nil
}

func checkList(list []string, good func(string) bool) error {
	for i, v := range list {
		if i >= maxList || !good(v) || slices.Contains(list[:i], v) {
			return fmt.Errorf("entry %d", i)
		}
	}
	return nil
}

func isWord(w string) bool {
	n := utf8.RuneCountInString(w)
	return n >= 3 && n <= 40 && strings.TrimSpace(w) == w &&
		!strings.ContainsFunc(w, func(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) })
}

func isAppURL(raw string) bool {
	if raw == "" {
		return true
	}
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" || len(raw) > 300 {
		return false
	}
	local := u.Hostname() == "localhost" || u.Hostname() == "127.0.0.1"
	return u.Scheme == "https" || (u.Scheme == "http" && local)
}

// MayRegister reports whether an address may make itself an account (A1).
func (d Document) MayRegister(email string) bool {
	switch d.RegistrationPolicy {
	case Open:
		return true
	case AllowList:
		address := secrets.NormalizeEmail(email)
		return slices.Contains(d.RegistrationDomains, address[strings.LastIndexByte(address, '@')+1:])
	}
	return false
}
