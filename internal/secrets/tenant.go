package secrets

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"strings"

	"github.com/google/uuid"
	"golang.org/x/text/unicode/norm"

	"tenantry/internal/ids"
)

// DataKey is a tenant's key: it seals what is the tenant's own and derives
// the keys of its HMACs and cursors. It lives sealed in the central database.
type DataKey struct {
	Key
	owner string
}

// NewDataKey makes a tenant's data key and its sealed form.
func NewDataKey(r *Keyring, t ids.Tenant) (DataKey, []byte, error) {
	return newOwnedKey(r, t.String())
}

// OpenDataKey opens a tenant's sealed data key.
func OpenDataKey(r *Keyring, t ids.Tenant, sealed []byte) (DataKey, error) {
	return openOwnedKey(r, t.String(), sealed)
}

// NewCentralKey makes the installation's own data key, for central rows.
func NewCentralKey(r *Keyring, installation string) (DataKey, []byte, error) {
	return newOwnedKey(r, "installation/"+installation)
}

// OpenCentralKey opens the installation's own data key.
func OpenCentralKey(r *Keyring, installation string, sealed []byte) (DataKey, error) {
	return openOwnedKey(r, "installation/"+installation, sealed)
}

func newOwnedKey(r *Keyring, owner string) (DataKey, []byte, error) {
	k, err := GenerateKey()
	if err != nil {
		return DataKey{}, nil, err
	}
	sealed, err := r.Seal(k.raw, "data-key/"+owner)
	if err != nil {
		return DataKey{}, nil, fmt.Errorf("seal data key: %w", err)
	}
	return DataKey{Key: k, owner: owner}, sealed, nil
}

func openOwnedKey(r *Keyring, owner string, sealed []byte) (DataKey, error) {
	raw, err := r.Open(sealed, "data-key/"+owner)
	if err != nil {
		return DataKey{}, fmt.Errorf("data key of %s: %w", owner, err)
	}
	k, err := NewKey(raw)
	return DataKey{Key: k, owner: owner}, err
}

// Seal encrypts plain for this owner and purpose ("role-password").
func (d DataKey) Seal(plain []byte, purpose string) ([]byte, error) {
	return d.Key.Seal(plain, d.owner+"/"+purpose)
}

// Open decrypts what Seal made for the same owner and purpose.
func (d DataKey) Open(sealed []byte, purpose string) ([]byte, error) {
	return d.Key.Open(sealed, d.owner+"/"+purpose)
}

// Derive answers a 32-byte key for one purpose (HKDF-SHA256, RFC 5869).
func (d DataKey) Derive(purpose string) []byte {
	out, err := hkdf.Key(sha256.New, d.raw, nil, "tenantry/"+d.owner+"/"+purpose, KeySize)
	if err != nil {
		panic(err) // only for lengths above 255 hashes
	}
	return out
}

// Subkey answers the derived key of a purpose as an AEAD.
func (d DataKey) Subkey(purpose string) (Key, error) { return NewKey(d.Derive(purpose)) }

// AddressHash is the keyed hash of a normalized address: how an address is
// found without being kept. It differs from tenant to tenant.
func (d DataKey) AddressHash(email string) []byte {
	m := hmac.New(sha256.New, d.Derive("address-hash"))
	m.Write([]byte(NormalizeEmail(email)))
	return m.Sum(nil)
}

// NormalizeEmail is the form under which addresses are unique: NFKC, lower
// case, no spaces around, no plus folding (U5).
func NormalizeEmail(email string) string {
	return strings.ToLower(norm.NFKC.String(strings.TrimSpace(email)))
}

// SubjectKey is a person's key: destroying it erases what it sealed.
type SubjectKey struct {
	// ID is the key's row in the tenant database.
	ID uuid.UUID
	Key
}

// NewSubjectKey makes a person's key and its form sealed under the tenant's.
func NewSubjectKey(d DataKey) (SubjectKey, []byte, error) {
	k, err := GenerateKey()
	if err != nil {
		return SubjectKey{}, nil, err
	}
	id := ids.New()
	sealed, err := d.Seal(k.raw, "subject-key/"+id.String())
	if err != nil {
		return SubjectKey{}, nil, fmt.Errorf("seal subject key: %w", err)
	}
	return SubjectKey{ID: id, Key: k}, sealed, nil
}

// OpenSubjectKey opens a person's sealed key.
func OpenSubjectKey(d DataKey, id uuid.UUID, sealed []byte) (SubjectKey, error) {
	raw, err := d.Open(sealed, "subject-key/"+id.String())
	if err != nil {
		return SubjectKey{}, fmt.Errorf("subject key %s: %w", id, err)
	}
	k, err := NewKey(raw)
	return SubjectKey{ID: id, Key: k}, err
}

// Seal encrypts a personal value for a purpose ("registration/email").
func (s SubjectKey) Seal(plain, purpose string) ([]byte, error) {
	return s.Key.Seal([]byte(plain), s.ID.String()+"/"+purpose)
}

// Open decrypts what Seal made for the same purpose.
func (s SubjectKey) Open(sealed []byte, purpose string) (string, error) {
	b, err := s.Key.Open(sealed, s.ID.String()+"/"+purpose)
	return string(b), err
}
