package auth

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"tenantry/internal/apperr"
	"tenantry/internal/ids"
	"tenantry/internal/tenants"
)

// forge makes tokens as an attacker or a misconfigured service would.
type forge struct {
	entry tenants.Entry
	kid   uuid.UUID
	key   ed25519.PrivateKey
	now   time.Time
}

func newForge(t *testing.T, slug string) forge {
	t.Helper()
	pub, key, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	f := forge{kid: ids.New(), key: key, now: time.Unix(1_800_000_000, 0).UTC()}
	f.entry = tenants.Entry{ID: ids.NewTenant(), Slug: slug, Keys: []tenants.SigningKey{{ID: f.kid, Key: pub}}}
	return f
}

func (f forge) header() map[string]any {
	return map[string]any{"alg": "EdDSA", "typ": "at+jwt", "kid": f.kid.String()}
}

func (f forge) claims() map[string]any {
	return map[string]any{
		"iss": "http://" + f.entry.Slug + ".localhost:8080", "aud": "tenantry", "sub": ids.New().String(), "sid": ids.New().String(),
		"tid": f.entry.ID.String(), "ver": 1, "aal": 1, "auth_time": f.now.Unix(), "iat": f.now.Unix(), "exp": f.now.Add(time.Minute).Unix(),
	}
}

func signing(h, c map[string]any) string {
	hb, _ := json.Marshal(h)
	cb, _ := json.Marshal(c)
	return base64.RawURLEncoding.EncodeToString(hb) + "." + base64.RawURLEncoding.EncodeToString(cb)
}

func (f forge) token(h, c map[string]any) string {
	in := signing(h, c)
	return in + "." + base64.RawURLEncoding.EncodeToString(ed25519.Sign(f.key, []byte(in)))
}

func (f forge) verify(text string) error {
	u := tenants.NewURLs(&url.URL{Scheme: "http", Host: "localhost:8080"})
	_, err := newTokens(u, func() time.Time { return f.now }).verify(f.entry, text)
	return err
}

func with(m map[string]any, key string, v any) map[string]any {
	if v == nil {
		delete(m, key)
	} else {
		m[key] = v
	}
	return m
}

func TestVerifyAccess_RefusesEveryForgery(t *testing.T) {
	t.Parallel()
	f, other := newForge(t, "acme"), newForge(t, "globex")
	require.NoError(t, f.verify(f.token(f.header(), f.claims())), "the control: a good token passes")

	hs256 := func() string {
		in := signing(with(f.header(), "alg", "HS256"), f.claims())
		m := hmac.New(sha256.New, f.entry.Keys[0].Key)
		m.Write([]byte(in))
		return in + "." + base64.RawURLEncoding.EncodeToString(m.Sum(nil))
	}
	for name, text := range map[string]string{
		"alg none":               signing(with(f.header(), "alg", "none"), f.claims()) + ".",
		"alg nOnE":               signing(with(f.header(), "alg", "nOnE"), f.claims()) + ".",
		"HS256 with public key":  hs256(),
		"unknown kid":            f.token(with(f.header(), "kid", ids.New().String()), f.claims()),
		"no kid":                 f.token(with(f.header(), "kid", nil), f.claims()),
		"kid is a path":          f.token(with(f.header(), "kid", "../../etc/passwd"), f.claims()),
		"foreign key, our kid":   other.token(with(other.header(), "kid", f.kid.String()), f.claims()),
		"another tenant's token": other.token(other.header(), other.claims()),
		"jku":                    other.token(with(other.header(), "jku", "http://evil.example/jwks"), f.claims()),
		"embedded jwk":           other.token(with(other.header(), "jwk", map[string]any{"kty": "OKP"}), f.claims()),
		"typ JWT":                f.token(with(f.header(), "typ", "JWT"), f.claims()),
		"no typ":                 f.token(with(f.header(), "typ", nil), f.claims()),
		"no exp":                 f.token(f.header(), with(f.claims(), "exp", nil)),
		"wrong issuer":           f.token(f.header(), with(f.claims(), "iss", "http://globex.localhost:8080")),
		"wrong audience":         f.token(f.header(), with(f.claims(), "aud", "other")),
		"no audience":            f.token(f.header(), with(f.claims(), "aud", nil)),
		"wrong tenant id":        f.token(f.header(), with(f.claims(), "tid", other.entry.ID.String())),
		"no session":             f.token(f.header(), with(f.claims(), "sid", nil)),
		"issued in the future":   f.token(f.header(), with(f.claims(), "iat", f.now.Add(10*time.Second).Unix())),
		"edited signature":       f.token(f.header(), f.claims())[:100] + "AAAA",
		"a million dots":         strings.Repeat(".", 1_000_000),
		"empty":                  "",
		"an operator key":        "tnop_" + strings.Repeat("0", 32) + "_" + strings.Repeat("A", 43),
	} {
		require.Equal(t, "CREDENTIAL_INVALID", apperr.ReasonOf(f.verify(text)), name)
	}
	require.NoError(t, f.verify(f.token(f.header(), with(f.claims(), "iat", f.now.Add(3*time.Second).Unix()))), "by a process whose clock is ahead")
	require.Equal(t, "CREDENTIAL_EXPIRED", apperr.ReasonOf(f.verify(f.token(f.header(), with(f.claims(), "exp", f.now.Add(-time.Second).Unix())))))
}

func TestVerifyAccess_RememberedTokensEndWithTheirKeyAndTime(t *testing.T) {
	t.Parallel()
	f := newForge(t, "acme")
	now := f.now
	u := tenants.NewURLs(&url.URL{Scheme: "http", Host: "localhost:8080"})
	ts := newTokens(u, func() time.Time { return now })
	text := f.token(f.header(), f.claims())
	_, err := ts.verify(f.entry, text)
	require.NoError(t, err)

	rotated := f.entry
	rotated.Keys = nil
	_, err = ts.verify(rotated, text)
	require.Equal(t, "CREDENTIAL_INVALID", apperr.ReasonOf(err), "a key that left the directory ends its tokens at once")

	now = now.Add(2 * time.Minute)
	_, err = ts.verify(f.entry, text)
	require.Equal(t, "CREDENTIAL_EXPIRED", apperr.ReasonOf(err))
}

func TestVerifyAccess_TheMemoryIsBounded(t *testing.T) {
	t.Parallel()
	ts := newTokens(tenants.URLs{}, func() time.Time { return time.Unix(0, 0) })
	for i := range maxVerified + 5000 {
		var id [32]byte
		id[0], id[1], id[2] = byte(i), byte(i>>8), byte(i>>16)
		ts.remember(id, Claims{expires: time.Unix(60, 0)})
	}
	require.LessOrEqual(t, len(ts.verified), maxVerified)
}
