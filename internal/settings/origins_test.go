package settings

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"tenantry/internal/apperr"
)

func TestDocument_TakesOnlyOriginsThatABrowserCanSend(t *testing.T) {
	t.Parallel()
	with := func(origins ...string) error {
		d := Document{AllowedOrigins: origins}.WithDefaults()
		return d.Validate()
	}
	require.NoError(t, with())
	require.NoError(t, with("https://app.acme.example", "https://app.acme.example:8443", "https://10.1.2.3", "https://[2001:db8::1]:8443",
		"http://localhost:5173", "http://app.localhost:3000", "http://127.0.0.1:8080", "http://[::1]:8080", "https://xn--mnchen-3ya.example"))
	for _, bad := range []string{
		"", "*", "null", "https://*", "https://*.acme.example", "https://", "app.acme.example", "//app.acme.example", "https:app.acme.example",
		"https://app.acme.example/", "https://app.acme.example/x", "https://app.acme.example?x", "https://app.acme.example#x", "https://app.acme.example.",
		"https://APP.acme.example", "HTTPS://app.acme.example", "https://user@app.acme.example", "https://user:x@app.acme.example",
		"https://app.acme.example:443", "http://localhost:80", "https://app.acme.example:", "https://app.acme.example:0", "https://app.acme.example:65536",
		"https://app.acme.example:08443", "http://app.acme.example", "http://10.1.2.3", "http://localhost.evil.example", "ftp://localhost",
		"https://a_b.example", "https://-a.example", "https://a..example", "https://m\u00fcnchen.example", "https://app.acme.example ", " https://app.acme.example",
		"https://[fe80::1%25eth0]", "https://[::ffff:127.0.0.1]", "https://[2001:DB8::1]", "https://app.acme.example,https://b.example",
		"https://app.acme.example\r\nX: y", "file://", "chrome-extension://abc", "javascript:alert(1)",
	} {
		err := with("https://good.example", bad)
		require.Equal(t, apperr.Invalid, apperr.KindOf(err), "%q", bad)
		e, _ := apperr.As(err)
		require.Equal(t, "settings.allowed_origins[1]", e.Fields[0].Path)
		require.Equal(t, "string.origin", e.Fields[0].Rule)
	}
	require.ErrorContains(t, with("https://a.example", "https://a.example"), "twice")
	var many []string
	for i := range maxOrigins + 1 {
		many = append(many, fmt.Sprintf("https://a%d.example", i))
	}
	require.NoError(t, with(many[:maxOrigins]...))
	require.ErrorContains(t, with(many...), "at most 20")
}
