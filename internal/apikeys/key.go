package apikeys

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"strings"

	"github.com/google/uuid"

	"tenantry/internal/secrets"
)

const (
	// prefix lets scanners of leaked secrets know one of ours.
	prefix    = "tnk_"
	idLen     = 32
	secretLen = 43
	sumLen    = 8
)

// Presented is a key as a request brought it, whole but not yet believed.
type Presented struct {
	ID   uuid.UUID
	hash [sha256.Size]byte
}

// LooksLikeKey tells a key from an access token.
func LooksLikeKey(text string) bool { return strings.HasPrefix(text, prefix) }

// Parse reads "tnk_<id>_<secret><crc32>": the id in hex, 256 random bits in
// base64url, and the CRC-32 (IEEE) of all before it in hex. The sum keeps a
// mistyped key away from the database; it is no secret.
func Parse(text string) (Presented, bool) {
	rest, ok := strings.CutPrefix(text, prefix)
	if !ok || len(rest) != idLen+1+secretLen+sumLen || rest[idLen] != '_' {
		return Presented{}, false
	}
	body, sum := text[:len(text)-sumLen], text[len(text)-sumLen:]
	if sum != checksum(body) {
		return Presented{}, false
	}
	var p Presented
	if _, err := hex.Decode(p.ID[:], []byte(rest[:idLen])); err != nil {
		return Presented{}, false
	}
	secret, err := base64.RawURLEncoding.Strict().DecodeString(rest[idLen+1 : idLen+1+secretLen])
	if err != nil {
		return Presented{}, false
	}
	p.hash = sha256.Sum256(secret)
	return p, true
}

// mint answers a new secret's text and hash.
func mint(id uuid.UUID) (text string, hash []byte) {
	secret := secrets.RandomBytes(32)
	sum := sha256.Sum256(secret)
	body := prefix + hex.EncodeToString(id[:]) + "_" + base64.RawURLEncoding.EncodeToString(secret)
	return body + checksum(body), sum[:]
}

func checksum(body string) string { return fmt.Sprintf("%08x", crc32.ChecksumIEEE([]byte(body))) }
