package auth

import "strings"

// browsers and systems are looked for in this order: most browsers claim to
// be others too.
var (
	browsers = []struct{ mark, name string }{
		{"Edg", "Edge"}, {"OPR/", "Opera"}, {"Firefox/", "Firefox"}, {"FxiOS/", "Firefox"}, {"Chrome/", "Chrome"}, {"CriOS/", "Chrome"},
		{"Safari/", "Safari"}, {"curl/", "curl"},
	}
	systems = []struct{ mark, name string }{
		{"iPhone", "iPhone"}, {"iPad", "iPad"}, {"Android", "Android"}, {"Windows", "Windows"}, {"Mac OS X", "macOS"}, {"CrOS", "ChromeOS"}, {"Linux", "Linux"},
	}
)

// DeviceLabel names a device for its owner ("Firefox, Linux"), coarsely: the
// rest of a User-Agent would tell people apart and is not kept. Empty for
// what says neither.
func DeviceLabel(userAgent string) string {
	var parts []string
	for _, list := range [][]struct{ mark, name string }{browsers, systems} {
		for _, known := range list {
			if strings.Contains(userAgent, known.mark) {
				parts = append(parts, known.name)
				break
			}
		}
	}
	return strings.Join(parts, ", ")
}
