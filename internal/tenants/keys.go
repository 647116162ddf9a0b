package tenants

import (
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// SigningKey signs a tenant's access tokens from a moment on, and verifies
// them before and after it: a key is published before it signs, so that
// nobody meets a token whose key they cannot know yet (package signingkeys).
type SigningKey struct {
	// ID is the kid.
	ID  uuid.UUID
	Key ed25519.PublicKey
	// ActivatesAt is when it begins to sign.
	ActivatesAt time.Time
	// ExpiresAt is when it verifies no more; nil while nothing follows it.
	ExpiresAt *time.Time

	sealed []byte
}

func (k SigningKey) live(now time.Time) bool { return k.ExpiresAt == nil || now.Before(*k.ExpiresAt) }

// Key answers the verifying key with an id, unless it has expired.
func (e Entry) Key(id uuid.UUID, now time.Time) (ed25519.PublicKey, bool) {
	for _, k := range e.Keys {
		if k.ID == id && k.live(now) {
			return k.Key, true
		}
	}
	return nil, false
}

// LiveKeys are the keys that verify now, those that will sign included.
func (e Entry) LiveKeys(now time.Time) []SigningKey {
	var out []SigningKey
	for _, k := range e.Keys {
		if k.live(now) {
			out = append(out, k)
		}
	}
	return out
}

// Signer opens the key that signs new tokens: the youngest that is active. A
// process whose clock is behind may find the only key in its future; it signs
// with that rather than not at all.
func (e Entry) Signer(now time.Time) (uuid.UUID, ed25519.PrivateKey, error) {
	var signer *SigningKey
	for i := range e.Keys { // in the order they become active
		if k := &e.Keys[i]; k.live(now) && (signer == nil || !k.ActivatesAt.After(now)) {
			signer = k
		}
	}
	if signer == nil {
		return uuid.Nil, nil, fmt.Errorf("tenant %s has no signing key", e.ID)
	}
	seed, err := e.key.Open(signer.sealed, SealSigningKey+"/"+signer.ID.String())
	if err != nil {
		return uuid.Nil, nil, fmt.Errorf("signing key of tenant %s: %w", e.ID, err)
	}
	return signer.ID, ed25519.NewKeyFromSeed(seed), nil
}

// readKeys takes the keys as the directory's query answers them.
func (e *Entry) readKeys(text []byte) error {
	var rows []struct {
		ID        uuid.UUID
		Pub       string
		Priv      string
		Activates time.Time
		Expires   *time.Time
	}
	if err := json.Unmarshal(text, &rows); err != nil {
		return fmt.Errorf("signing keys of tenant %s: %w", e.ID, err)
	}
	for _, r := range rows {
		pub, err := decodePG(r.Pub)
		if err != nil || len(pub) != ed25519.PublicKeySize {
			return fmt.Errorf("signing key %s: bad public half", r.ID)
		}
		priv, err := decodePG(r.Priv)
		if err != nil {
			return fmt.Errorf("signing key %s: bad private half", r.ID)
		}
		e.Keys = append(e.Keys, SigningKey{ID: r.ID, Key: pub, ActivatesAt: r.Activates, ExpiresAt: r.Expires, sealed: priv})
	}
	return nil
}
