// Package secrets is the key hierarchy: key-encryption keys from the
// configuration, one data key per tenant, one subject key per person.
//
// Every ciphertext is bound to its purpose and owner by associated data, so a
// value moved to another row, tenant or column does not open. Losing a key
// loses what it sealed, which is how erasure works: destroying a subject key
// is the erasure of everything sealed under it.
package secrets

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/tink-crypto/tink-go/v2/aead/subtle"
)

// KeySize is the length of every key in bytes.
const KeySize = 32

// ErrOpen is the one error of a ciphertext that does not open: wrong key,
// wrong owner, edited bytes. It tells nothing more on purpose.
var ErrOpen = errors.New("secrets: ciphertext does not open")

// Key is one symmetric key (XChaCha20-Poly1305).
type Key struct {
	raw  []byte
	aead *subtle.XChaCha20Poly1305
}

// NewKey wraps 32 bytes.
func NewKey(raw []byte) (Key, error) {
	if len(raw) != KeySize {
		return Key{}, fmt.Errorf("secrets: key of %d bytes, want %d", len(raw), KeySize)
	}
	a, err := subtle.NewXChaCha20Poly1305(raw)
	if err != nil {
		return Key{}, fmt.Errorf("secrets: new key: %w", err)
	}
	return Key{raw: append([]byte(nil), raw...), aead: a}, nil
}

// GenerateKey makes a random key.
func GenerateKey() (Key, error) {
	return NewKey(RandomBytes(KeySize))
}

// RandomBytes answers n bytes from the system's generator.
func RandomBytes(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails since Go 1.24: it aborts the process instead
	return b
}

// Seal encrypts plain, bound to ad.
func (k Key) Seal(plain []byte, ad string) ([]byte, error) {
	if k.aead == nil {
		return nil, errors.New("secrets: seal with no key")
	}
	return k.aead.Encrypt(plain, []byte(ad))
}

// Open decrypts what Seal made with the same ad.
func (k Key) Open(sealed []byte, ad string) ([]byte, error) {
	if k.aead == nil {
		return nil, errors.New("secrets: open with no key")
	}
	p, err := k.aead.Decrypt(sealed, []byte(ad))
	if err != nil {
		return nil, ErrOpen
	}
	return p, nil
}

// Keyring is several keys with ids: the first encrypts, all decrypt.
type Keyring struct {
	primary string
	keys    map[string]Key
}

// ParseKeyring reads "id:base64[,id:base64…]", each key 32 bytes in standard
// base64, each id 1 to 16 characters of a-z, 0-9 and "-". Errors name the
// position and never the key.
func ParseKeyring(text string) (*Keyring, error) {
	r := &Keyring{keys: map[string]Key{}}
	for i, part := range strings.Split(text, ",") {
		id, enc, ok := strings.Cut(strings.TrimSpace(part), ":")
		if !ok || !validKeyID(id) {
			return nil, fmt.Errorf("key %d: want id:base64, the id 1 to 16 characters of a-z, 0-9 and -", i+1)
		}
		raw, err := base64.StdEncoding.DecodeString(enc)
		if err != nil || len(raw) != KeySize {
			return nil, fmt.Errorf("key %q: want %d bytes in standard base64", id, KeySize)
		}
		if _, dup := r.keys[id]; dup {
			return nil, fmt.Errorf("key %q: listed twice", id)
		}
		k, err := NewKey(raw)
		if err != nil {
			return nil, err
		}
		r.keys[id] = k
		if r.primary == "" {
			r.primary = id
		}
	}
	return r, nil
}

func validKeyID(id string) bool {
	if id == "" || len(id) > 16 {
		return false
	}
	return strings.Trim(id, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// Primary is the id of the key that encrypts.
func (r *Keyring) Primary() string { return r.primary }

// Seal encrypts under the first key; the result carries its id.
func (r *Keyring) Seal(plain []byte, ad string) ([]byte, error) {
	ct, err := r.keys[r.primary].Seal(plain, ad)
	if err != nil {
		return nil, err
	}
	return append(append([]byte{byte(len(r.primary))}, r.primary...), ct...), nil
}

// Open decrypts with whichever key the ciphertext names.
func (r *Keyring) Open(sealed []byte, ad string) ([]byte, error) {
	if len(sealed) < 2 || len(sealed) < 1+int(sealed[0]) {
		return nil, ErrOpen
	}
	n := int(sealed[0])
	k, ok := r.keys[string(sealed[1:1+n])]
	if !ok {
		return nil, ErrOpen
	}
	return k.Open(sealed[1+n:], ad)
}

// MAC answers the HMAC-SHA256 of msg under the named key; false when the ring
// does not hold it.
func (r *Keyring) MAC(id string, msg []byte) ([]byte, bool) {
	k, ok := r.keys[id]
	if !ok {
		return nil, false
	}
	m := hmac.New(sha256.New, k.raw)
	m.Write(msg)
	return m.Sum(nil), true
}
