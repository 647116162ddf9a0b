package settings

import (
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"tenantry/internal/apperr"
)

// maxOrigins bounds AllowedOrigins: each is compared at every request of a page.
const maxOrigins = 20

var originHost = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$`)

// validateOrigins takes only what a browser can send: compared byte by byte,
// anything else would look allowed and never be.
func validateOrigins(field string, origins []string) error {
	if len(origins) > maxOrigins {
		return apperr.InvalidField(field, "repeated.max_items", fmt.Sprintf("must be at most %d origins", maxOrigins))
	}
	for i, o := range origins {
		path := fmt.Sprintf("%s[%d]", field, i)
		if !validOrigin(o) {
			return apperr.InvalidField(path, "string.origin",
				"must be an exact origin as browsers send it: https://host or https://host:port, lower case, nothing behind it, no wildcard, no default port (http only for localhost and loopback addresses)")
		}
		if slices.Index(origins, o) != i {
			return apperr.InvalidField(path, "repeated.unique", "must not be there twice")
		}
	}
	return nil
}

func validOrigin(o string) bool {
	u, err := url.Parse(o)
	if err != nil || len(o) > 255 || u.Scheme+"://"+u.Host != o || u.User != nil {
		return false
	}
	host, port := u.Hostname(), u.Port()
	ip, err := netip.ParseAddr(host)
	isIP := err == nil
	if isIP && (ip.Zone() != "" || ip.String() != host || ip.Is4In6()) {
		return false
	}
	if !isIP && (len(host) > 253 || !originHost.MatchString(host)) {
		return false
	}
	if strings.HasSuffix(u.Host, ":") || (port != "" && !validPort(u.Scheme, port)) {
		return false
	}
	local := host == "localhost" || strings.HasSuffix(host, ".localhost") || (isIP && ip.IsLoopback())
	return u.Scheme == "https" || (u.Scheme == "http" && local)
}

// validPort refuses the scheme's own port, which browsers leave out.
func validPort(scheme, port string) bool {
	n, err := strconv.Atoi(port)
	own := map[string]int{"https": 443, "http": 80}[scheme]
	return err == nil && n >= 1 && n <= 65535 && n != own && strconv.Itoa(n) == port
}
