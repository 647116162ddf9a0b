package test

import (
	"context"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tenantry/internal/ids"
	"tenantry/internal/secrets"
	"tenantry/internal/systest"
)

// forger has a tenant's own signing key and a token of a live session: each
// forgery differs from a good token in one thing only.
type forger struct {
	key    ed25519.PrivateKey
	header map[string]any
	claims map[string]any
}

func newForger(t *testing.T, s *systest.System, tenantID, access string) forger {
	t.Helper()
	ctx := within(t, 30*time.Second)
	id, err := ids.ParseTenant(tenantID)
	require.NoError(t, err)
	ring, err := secrets.ParseKeyring(s.Setting("KEK_KEYS"))
	require.NoError(t, err)
	sealedKey, err := systest.Value[[]byte](ctx, s, "", `SELECT data_key FROM tenants WHERE id = $1`, tenantID)
	require.NoError(t, err)
	data, err := secrets.OpenDataKey(ring, id, sealedKey)
	require.NoError(t, err)
	f := forger{header: part(t, access, 0), claims: part(t, access, 1)}
	sealed, err := systest.Value[[]byte](ctx, s, "", `SELECT private_key FROM signing_keys WHERE id = $1::uuid`, f.header["kid"])
	require.NoError(t, err)
	seed, err := data.Open(sealed, "signing-key/"+f.header["kid"].(string))
	require.NoError(t, err)
	f.key = ed25519.NewKeyFromSeed(seed)
	return f
}

func part(t *testing.T, token string, n int) map[string]any {
	t.Helper()
	text, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[n])
	require.NoError(t, err)
	var out map[string]any
	require.NoError(t, json.Unmarshal(text, &out))
	return out
}

// but answers m with changes; nil takes a name away.
func but(m map[string]any, changes map[string]any) map[string]any {
	out := map[string]any{}
	maps.Copy(out, m)
	for k, v := range changes {
		if out[k] = v; v == nil {
			delete(out, k)
		}
	}
	return out
}

func unsigned(header, claims map[string]any) string {
	h, _ := json.Marshal(header)
	c, _ := json.Marshal(claims)
	return base64.RawURLEncoding.EncodeToString(h) + "." + base64.RawURLEncoding.EncodeToString(c)
}

func signedBy(key ed25519.PrivateKey, header, claims map[string]any) string {
	in := unsigned(header, claims)
	return in + "." + base64.RawURLEncoding.EncodeToString(ed25519.Sign(key, []byte(in)))
}

func hs256(secret []byte, header, claims map[string]any) string {
	in := unsigned(but(header, map[string]any{"alg": "HS256"}), claims)
	m := hmac.New(sha256.New, secret)
	m.Write([]byte(in))
	return in + "." + base64.RawURLEncoding.EncodeToString(m.Sum(nil))
}

// with signs a token whose header or claims differ.
func (f forger) with(header, claims map[string]any) string {
	return signedBy(f.key, but(f.header, header), but(f.claims, claims))
}

// TestAttack1_ForgedAccessTokensAreRandomBytes is attack 1 of the baseline.
// Each is answered like bytes that are no token at all.
//
// Proven against: exp that is optional.
func TestAttack1_ForgedAccessTokensAreRandomBytes(t *testing.T) {
	t.Parallel()
	s := shared(t)
	op, access := tenant(t, s, systest.NewOrder("forged"))
	other, foreign := tenant(t, s, systest.NewOrder("forger"))
	f, g := newForger(t, s, op.TenantID, access), newForger(t, s, other.TenantID, foreign)
	var asked atomic.Int64
	evil := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { asked.Add(1); w.WriteHeader(http.StatusNotFound) }))
	t.Cleanup(evil.Close)

	public := f.key.Public().(ed25519.PublicKey)
	evilPublic, evilKey, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	x := base64.RawURLEncoding.EncodeToString(public)
	jwk := map[string]any{"kty": "OKP", "crv": "Ed25519", "x": base64.RawURLEncoding.EncodeToString(evilPublic), "kid": f.header["kid"]}
	now := time.Now()
	forgeries := map[string]string{
		"alg none":                           unsigned(but(f.header, map[string]any{"alg": "none"}), f.claims) + ".",
		"alg NoNe":                           unsigned(but(f.header, map[string]any{"alg": "NoNe"}), f.claims) + ".",
		"alg none with a signature":          f.with(map[string]any{"alg": "none"}, nil),
		"no alg":                             f.with(map[string]any{"alg": nil}, nil),
		"HS256 with the public key":          hs256(public, f.header, f.claims),
		"HS256 with the key's text":          hs256([]byte(x), f.header, f.claims),
		"HS256 with the key's PEM":           hs256(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}), f.header, f.claims),
		"unknown kid":                        f.with(map[string]any{"kid": ids.New().String()}, nil),
		"no kid":                             f.with(map[string]any{"kid": nil}, nil),
		"kid is a path":                      f.with(map[string]any{"kid": "../../../dev/null"}, nil),
		"kid is SQL":                         f.with(map[string]any{"kid": "' OR 1=1 --"}, nil),
		"kid is a number":                    f.with(map[string]any{"kid": 1}, nil),
		"another tenant's token":             foreign,
		"another tenant's key, our claims":   signedBy(g.key, g.header, f.claims),
		"another tenant's key under our kid": signedBy(g.key, f.header, f.claims),
		"jku":                                signedBy(evilKey, but(f.header, map[string]any{"jku": evil.URL + "/jwks.json"}), f.claims),
		"jku with an unknown kid":            signedBy(evilKey, but(f.header, map[string]any{"jku": evil.URL, "kid": ids.New().String()}), f.claims),
		"x5u":                                signedBy(evilKey, but(f.header, map[string]any{"x5u": evil.URL}), f.claims),
		"jwk":                                signedBy(evilKey, but(f.header, map[string]any{"jwk": jwk}), f.claims),
		"no exp":                             f.with(nil, map[string]any{"exp": nil}),
		"exp is a text":                      f.with(nil, map[string]any{"exp": "tomorrow"}),
		"nbf in an hour":                     f.with(nil, map[string]any{"nbf": now.Add(time.Hour).Unix()}),
		"iat in an hour":                     f.with(nil, map[string]any{"iat": now.Add(time.Hour).Unix()}),
		"wrong iss":                          f.with(nil, map[string]any{"iss": s.TenantURL("forger", "")}),
		"no iss":                             f.with(nil, map[string]any{"iss": nil}),
		"wrong aud":                          f.with(nil, map[string]any{"aud": "another service"}),
		"no aud":                             f.with(nil, map[string]any{"aud": nil}),
		"wrong typ":                          f.with(map[string]any{"typ": "JWT"}, nil),
		"no typ":                             f.with(map[string]any{"typ": nil}, nil),
		"wrong tid":                          f.with(nil, map[string]any{"tid": other.TenantID}),
		"another's sid":                      f.with(nil, map[string]any{"sid": g.claims["sid"]}),
		"no session":                         f.with(nil, map[string]any{"sid": nil}),
		"another's sub":                      f.with(nil, map[string]any{"sub": g.claims["sub"]}),
		"an older revision":                  f.with(nil, map[string]any{"ver": 0}),
		"no auth_time":                       f.with(nil, map[string]any{"auth_time": nil}),
		"edited claims, the old signature":   edited(f, access),
		"a signature too short":              access[:len(access)-4],
		"a fourth part":                      access + ".x",
		"padded":                             access + "=",
		"4,000 dots":                         strings.Repeat(".", 4_000),
	}
	ctx := within(t, 2*time.Minute)
	random := answered(ctx, t, s, "forged", base64.RawURLEncoding.EncodeToString(secrets.RandomBytes(300)))
	require.Equal(t, "CREDENTIAL_INVALID", random.Reason(), random.String())
	for name, token := range forgeries {
		a := answered(ctx, t, s, "forged", token)
		require.Equal(t, http.StatusUnauthorized, a.Status, "%s: %s", name, a)
		require.Equal(t, same(t, random), same(t, a), name)
	}
	require.Zero(t, asked.Load(), "nobody asks a header where the keys are")

	expired := answered(ctx, t, s, "forged", f.with(nil, map[string]any{"exp": now.Add(-time.Minute).Unix(), "iat": now.Add(-time.Hour).Unix()}))
	require.Equal(t, "CREDENTIAL_EXPIRED", expired.Reason(), expired.String())
	long := answered(ctx, t, s, "forged", strings.Repeat(".", 16_000))
	require.Equal(t, "CREDENTIAL_INVALID", long.Reason(), "it is not looked at: %s", long)
	million := answered(ctx, t, s, "forged", strings.Repeat(".", 1_000_000))
	require.Equal(t, http.StatusRequestHeaderFieldsTooLarge, million.Status, million.String())

	// The controls: what is forged is forged by the one difference.
	require.Equal(t, http.StatusOK, answered(ctx, t, s, "forged", access).Status)
	require.Equal(t, http.StatusOK, answered(ctx, t, s, "forged", f.with(nil, nil)).Status)
	require.Equal(t, http.StatusOK, answered(ctx, t, s, "forger", foreign).Status)
}

// edited is a token that asks for the second level under its old signature.
func edited(f forger, access string) string {
	parts := strings.Split(access, ".")
	return unsigned(f.header, but(f.claims, map[string]any{"aal": 2})) + "." + parts[2]
}

// answered asks who the bearer of a token is.
func answered(ctx context.Context, t *testing.T, s *systest.System, slug, bearer string) systest.Answer {
	t.Helper()
	a, err := s.Do(ctx, systest.Request{Method: http.MethodGet, URL: s.TenantURL(slug, "/v1/me"), Header: http.Header{"Authorization": {"Bearer " + bearer}}})
	require.NoError(t, err)
	return a
}

// same is what an answer tells, but for the request's own id.
func same(t *testing.T, a systest.Answer) string {
	t.Helper()
	var body map[string]any
	require.NoError(t, a.JSON(&body), a.String())
	details, _ := body["details"].([]any)
	body["details"] = slices.DeleteFunc(details, func(d any) bool { return strings.HasSuffix(d.(map[string]any)["type"].(string), "RequestInfo") })
	text, err := json.Marshal(body)
	require.NoError(t, err)
	return fmt.Sprint(a.Status, a.Header.Get("Www-Authenticate"), string(text))
}

// TestAttack2_ATokenOfOneSortIsWorthNothingAsAnother is attack 2 of the
// baseline: every token at every door but its own, as a bearer and in bodies.
// None is used up by it. A redemption that ignores the purpose is caught beside
// package onetime: here each door's own row refuses such a token too.
func TestAttack2_ATokenOfOneSortIsWorthNothingAsAnother(t *testing.T) {
	t.Parallel()
	s := shared(t)
	ctx := within(t, 2*time.Minute)
	o := systest.NewOrder("sorts").Open()
	op, access := tenant(t, s, o)
	held := signIn(ctx, t, s, o)

	mails := map[string]string{}
	register(t, s, o.Slug, "new@sorts.example")
	mails["verify"] = mailToken(ctx, t, s, "new@sorts.example", "/m/verify")
	a, err := s.Post(ctx, o.Slug, "/v1/invitations", access, map[string]any{"email": "guest@sorts.example"})
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, a.Status, a.String())
	mails["invitation"] = mailToken(ctx, t, s, "guest@sorts.example", "/m/invitation")

	database, err := systest.Value[string](ctx, s, "", `SELECT database_name FROM tenants WHERE id = $1`, op.TenantID)
	require.NoError(t, err)
	setFactor := func(on bool) {
		_, err := systest.Query[string](ctx, s, database, `UPDATE users SET second_factor = $2 WHERE email = $1 RETURNING id::text`, o.OwnerEmail, on)
		require.NoError(t, err)
	}
	setFactor(true) // the next login waits for its second factor
	a, err = s.Post(ctx, o.Slug, "/v1/auth/login", "", map[string]string{"email": o.OwnerEmail, "password": password})
	require.NoError(t, err)
	var pending struct {
		Challenge struct {
			Token string `json:"token"`
		} `json:"challenge"`
	}
	require.NoError(t, a.JSON(&pending))
	require.NotEmpty(t, pending.Challenge.Token, a.String())
	setFactor(false)

	sorts := map[string]string{"access": held.Access, "refresh": held.Refresh, "challenge": pending.Challenge.Token}
	maps.Copy(sorts, mails)
	doors := []struct {
		own, path, reason string
		body              func(token string) any
	}{
		{"refresh", "/v1/auth/refresh", "REFRESH_INVALID", func(v string) any { return map[string]string{"refresh_token": v} }},
		{"verify", "/v1/auth/verify-email", "TOKEN_INVALID", func(v string) any { return map[string]string{"token": v} }},
		{"invitation", "/v1/invitations:accept", "TOKEN_INVALID", func(v string) any {
			return map[string]string{"token": v, "name": "P", "password": password}
		}},
	}
	for sort, token := range sorts {
		if sort != "access" {
			a := answered(ctx, t, s, o.Slug, token)
			require.Equal(t, http.StatusUnauthorized, a.Status, "%s as a bearer: %s", sort, a)
			require.Equal(t, "CREDENTIAL_INVALID", a.Reason(), sort)
		}
		for _, door := range doors {
			if sort == door.own {
				continue
			}
			send := token
			if len(send) > 200 {
				send = send[:200] // longer is no token's length, and refused before
			}
			a, err := s.Post(ctx, o.Slug, door.path, "", door.body(send))
			require.NoError(t, err)
			require.Equal(t, door.reason, a.Reason(), "%s at %s: %s", sort, door.path, a)
			whole, err := s.Post(ctx, o.Slug, door.path, "", door.body(token))
			require.NoError(t, err)
			require.Contains(t, []int{http.StatusBadRequest, http.StatusUnauthorized}, whole.Status, "%s at %s: %s", sort, door.path, whole)
		}
	}
	// The controls: each still works at its own door.
	for _, door := range doors {
		a, err := s.Post(ctx, o.Slug, door.path, "", door.body(sorts[door.own]))
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, a.Status, "%s: %s", door.path, a)
	}
}

func signIn(ctx context.Context, t *testing.T, s *systest.System, o systest.Order) (out tokens) {
	t.Helper()
	a, err := s.Post(ctx, o.Slug, "/v1/auth/login", "", map[string]string{"email": o.OwnerEmail, "password": password})
	require.NoError(t, err)
	require.NoError(t, a.JSON(&out))
	require.NotEmpty(t, out.Refresh, a.String())
	return out
}

func mailToken(ctx context.Context, t *testing.T, s *systest.System, to, page string) string {
	t.Helper()
	link, err := s.Link(ctx, to, page)
	require.NoError(t, err)
	token, err := systest.Token(link)
	require.NoError(t, err)
	return token
}
