package auth

import (
	"crypto/sha256"
	"errors"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"

	"tenantry/internal/apperr"
	"tenantry/internal/clock"
	"tenantry/internal/ids"
	"tenantry/internal/tenants"
)

const (
	// accessTTL is the life of an access token.
	accessTTL = tenants.AccessTTL
	audience  = "tenantry"
	tokenType = "at+jwt" // RFC 9068
	// maxToken bounds what is looked at: ours are below a kilobyte.
	maxToken = 4096
	// maxVerified bounds the cache of verified tokens.
	maxVerified = 10_000
)

// Claims are a verified access token's.
type Claims struct {
	User     ids.User
	Session  ids.Session
	Version  int64
	AAL      int
	AuthTime time.Time

	kid     uuid.UUID
	expires time.Time
}

type accessClaims struct {
	jwt.RegisteredClaims
	SessionID string           `json:"sid"`
	TenantID  string           `json:"tid"`
	Version   int64            `json:"ver"`
	AAL       int              `json:"aal"`
	AMR       []string         `json:"amr"`
	AuthTime  *jwt.NumericDate `json:"auth_time"`
}

// tokens signs and verifies access tokens. Verified ones are remembered until
// they expire, under the hash of the text and the tenant: a signature check
// costs more than the rest of a small request.
type tokens struct {
	urls tenants.URLs
	now  clock.Clock

	mu       sync.Mutex
	verified map[[32]byte]Claims
}

func newTokens(urls tenants.URLs, now clock.Clock) *tokens {
	return &tokens{urls: urls, now: now, verified: map[[32]byte]Claims{}}
}

func (t *tokens) sign(e tenants.Entry, c Claims, amr []string) (string, error) {
	kid, key, err := e.Signer(t.now())
	if err != nil {
		return "", err
	}
	now := t.now()
	tok := jwt.NewWithClaims(jwt.SigningMethodEdDSA, accessClaims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer: t.urls.Tenant(e.Slug), Audience: jwt.ClaimStrings{audience}, Subject: c.User.String(), ID: ids.New().String(),
			IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(accessTTL)),
		},
		SessionID: c.Session.String(), TenantID: e.ID.String(), Version: c.Version, AAL: c.AAL, AMR: amr, AuthTime: jwt.NewNumericDate(c.AuthTime),
	})
	tok.Header["typ"] = tokenType
	tok.Header["kid"] = kid.String()
	return tok.SignedString(key)
}

func errToken(reason, message string) error {
	return apperr.New(apperr.Unauthenticated, reason, message)
}

// verify answers the claims of a token of this tenant, and one error for
// every other: another tenant's token is answered like random bytes.
func (t *tokens) verify(e tenants.Entry, text string) (Claims, error) {
	invalid := errToken("CREDENTIAL_INVALID", "The access token is not valid here.")
	if len(text) > maxToken {
		return Claims{}, invalid
	}
	id := sha256.Sum256([]byte(e.ID.String() + text))
	t.mu.Lock()
	c, hit := t.verified[id]
	t.mu.Unlock()
	if !hit {
		var err error
		if c, err = t.parse(e, text); err != nil {
			if errors.Is(err, jwt.ErrTokenExpired) && !errors.Is(err, jwt.ErrTokenSignatureInvalid) {
				return Claims{}, errToken("CREDENTIAL_EXPIRED", "The access token has expired. Log in again.")
			}
			return Claims{}, invalid
		}
		t.remember(id, c)
	}
	if !t.now().Before(c.expires) {
		return Claims{}, errToken("CREDENTIAL_EXPIRED", "The access token has expired. Log in again.")
	}
	// A key that has left the directory ends its tokens, remembered or not.
	if _, ok := e.Key(c.kid, t.now()); !ok {
		return Claims{}, invalid
	}
	return c, nil
}

// maxSkew is how far the clock of another process may be ahead. It lengthens
// no token's life: verify compares the end itself.
const maxSkew = 5 * time.Second

func (t *tokens) parse(e tenants.Entry, text string) (Claims, error) {
	var c accessClaims
	var kid uuid.UUID
	p := jwt.NewParser(jwt.WithValidMethods([]string{"EdDSA"}), jwt.WithIssuer(t.urls.Tenant(e.Slug)), jwt.WithAudience(audience),
		jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithLeeway(maxSkew), jwt.WithTimeFunc(t.now), jwt.WithStrictDecoding())
	_, err := p.ParseWithClaims(text, &c, func(tok *jwt.Token) (any, error) {
		if tok.Header["typ"] != tokenType {
			return nil, errors.New("typ")
		}
		text, _ := tok.Header["kid"].(string)
		id, err := uuid.Parse(text)
		if err != nil {
			return nil, errors.New("kid")
		}
		key, ok := e.Key(id, t.now())
		if !ok {
			return nil, errors.New("kid")
		}
		kid = id
		return key, nil
	})
	if err != nil {
		return Claims{}, err
	}
	return c.typed(e, kid)
}

func (c accessClaims) typed(e tenants.Entry, kid uuid.UUID) (Claims, error) {
	user, err1 := uuid.Parse(c.Subject)
	session, err2 := uuid.Parse(c.SessionID)
	if err1 != nil || err2 != nil || c.TenantID != e.ID.String() || c.AuthTime == nil {
		return Claims{}, errors.New("claims")
	}
	return Claims{
		User: ids.User(user), Session: ids.Session(session), Version: c.Version, AAL: c.AAL, AuthTime: c.AuthTime.Time,
		kid: kid, expires: c.ExpiresAt.Time,
	}, nil
}

func (t *tokens) remember(id [32]byte, c Claims) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.verified) >= maxVerified {
		now := t.now()
		for k, v := range t.verified {
			// Expired ones, and one in two of the others, in random order.
			if !now.Before(v.expires) || k[0]&1 == id[0]&1 {
				delete(t.verified, k)
			}
		}
	}
	t.verified[id] = c
}
