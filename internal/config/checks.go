package config

import (
	"log/slog"
	"net"
	"net/mail"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"tenantry/internal/ratelimit"
	"tenantry/internal/secrets"
)

// The bounds of TENANTRY_STICKY_TIMEOUT.
const (
	minSticky = 100 * time.Millisecond
	maxSticky = time.Minute
)

// hostName is RFC 1123, in lower case so that a Host header compares simply.
var hostName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$`)

var namespaceName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{1,62}$`)

func checkAny(string) string { return "" }

// checkBaseURL refuses what would be lost when paths are put behind it.
func checkBaseURL(named bool) func(string) string {
	return func(v string) string {
		u, err := url.Parse(v)
		switch {
		case err != nil || (u.Scheme != "http" && u.Scheme != "https"):
			return "is not an http or https URL"
		case u.Hostname() == "":
			return "has no host"
		case u.User != nil:
			return "holds a user or password"
		case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
			return "has a path, query or fragment"
		case u.Port() != "" && !validPort(u.Port()):
			return "has an impossible port"
		case named && isIP(u.Hostname()):
			return "is an IP address, below which no tenant can have a host name"
		case named && (len(u.Hostname()) > 200 || !hostName.MatchString(u.Hostname())):
			return "has a host that is not a lower-case host name"
		}
		return ""
	}
}

func isIP(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil
}

func validPort(text string) bool {
	n, err := strconv.Atoi(text)
	return err == nil && n >= 0 && n <= 65535
}

func checkListen(v string) string {
	_, port, err := net.SplitHostPort(v)
	if err != nil || !validPort(port) {
		return "is not host:port"
	}
	return ""
}

// Off stands for a listener that is not opened.
const Off = "off"

func checkMetrics(v string) string {
	if v == Off {
		return ""
	}
	return checkListen(v)
}

// checkNetworks refuses what would trust more than it seems to.
func checkNetworks(v string) string {
	for text := range strings.SplitSeq(v, ",") {
		p, err := netip.ParsePrefix(text)
		switch {
		case err != nil:
			return "holds something that is not a network in CIDR notation"
		case p.Bits() == 0:
			return "trusts every address"
		case p.Addr().Is4In6():
			return "holds an IPv4 network in IPv6 notation"
		case p != p.Masked():
			return "holds a network with bits behind its length"
		}
	}
	return ""
}

func checkRules(v string) string {
	var r ratelimit.Rules
	if r.UnmarshalText([]byte(v)) != nil {
		return "is not a list of one limit each for ip, tenant and principal"
	}
	return ""
}

func checkLoopback(v string) string {
	host, port, err := net.SplitHostPort(v)
	if err != nil || !validPort(port) {
		return "is not host:port"
	}
	ip, err := netip.ParseAddr(host)
	if host != "localhost" && (err != nil || !ip.IsLoopback()) {
		return "is not a loopback address"
	}
	return ""
}

func checkRemote(v string) string {
	host, port, err := net.SplitHostPort(v)
	if err != nil || host == "" || !validPort(port) || port == "0" || strings.ContainsAny(host, "/@ ") {
		return "is not host:port"
	}
	return ""
}

func checkToken(v string) string {
	if strings.ContainsAny(v, " \t\r\n") {
		return "holds white space"
	}
	if len(v) < 32 {
		return "is shorter than 32 characters"
	}
	return ""
}

func checkOrigins(v string) string {
	for _, o := range strings.Split(v, ",") {
		u, err := url.Parse(o)
		bad := err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil
		if bad || u.Scheme+"://"+u.Host != o {
			return "holds something that is not an origin (scheme://host[:port], lower case, nothing behind it)"
		}
	}
	return ""
}

func checkPostgres(v string) string {
	u, err := url.Parse(v)
	switch {
	case err != nil || (u.Scheme != "postgres" && u.Scheme != "postgresql"):
		return "is not a postgres:// URL"
	case u.User.Username() == "":
		return "has no user"
	case u.Host == "" && u.Query().Get("host") == "":
		return "has no host"
	case u.Port() != "" && !validPort(u.Port()):
		return "has an impossible port"
	case strings.Trim(u.Path, "/") == "":
		return "has no database"
	}
	return ""
}

func checkRedis(v string) string {
	u, err := url.Parse(v)
	if err != nil || (u.Scheme != "redis" && u.Scheme != "rediss") || u.Host == "" {
		return "is not a redis:// URL with a host"
	}
	if _, err := redis.ParseURL(v); err != nil {
		return "is not a redis:// URL that can be used"
	}
	return ""
}

func checkSMTP(v string) string {
	u, err := url.Parse(v)
	switch {
	case err != nil || (u.Scheme != "smtp" && u.Scheme != "smtps"):
		return "is not an smtp:// or smtps:// URL"
	case u.Hostname() == "" || u.Port() == "" || !validPort(u.Port()):
		return "has no host and port"
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		return "has something behind the port"
	}
	if u.User != nil {
		if password, set := u.User.Password(); !set || password == "" || u.User.Username() == "" {
			return "has a user without a password, or the other way round"
		}
	}
	return ""
}

func checkAddress(v string) string {
	a, err := mail.ParseAddress(v)
	if err != nil {
		return "is not an address"
	}
	if strings.ContainsAny(a.Name+a.Address, "\r\n") {
		return "holds a line break"
	}
	return ""
}

func checkNamespace(v string) string {
	if !namespaceName.MatchString(v) {
		return "is not the name of a namespace"
	}
	return ""
}

func checkKeys(v string) string {
	// ParseKeyring's errors name positions and ids; an id may be a key that
	// somebody put in its place.
	if _, err := secrets.ParseKeyring(v); err != nil {
		return "is not a list of keys with different ids"
	}
	return ""
}

func checkInt(low, high int) func(string) string {
	return func(v string) string {
		n, err := strconv.Atoi(v)
		if err != nil {
			return "is not a whole number"
		}
		if n < low || n > high {
			return "is out of range"
		}
		return ""
	}
}

func checkDuration(low, high time.Duration) func(string) string {
	return func(v string) string {
		d, err := time.ParseDuration(v)
		if err != nil {
			return "is not a duration"
		}
		if d < low || d > high {
			return "is out of range"
		}
		return ""
	}
}

func checkLevel(v string) string {
	var l slog.Level
	if l.UnmarshalText([]byte(v)) != nil {
		return "is not a level"
	}
	return ""
}

func checkOperatorKey(v string) string {
	if !strings.HasPrefix(v, "tnop_") || strings.ContainsAny(v, " \t\r\n") {
		return "is not an operator key"
	}
	return ""
}
