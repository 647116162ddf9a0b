package pgadmin

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"

	"tenantry/internal/secrets"
)

// scramIterations is Postgres's own number. The passwords are random, so more
// rounds would guard nothing and cost every connect.
const scramIterations = 4096

// Verifier answers what Postgres keeps of a password, SCRAM-SHA-256 (RFC 5802,
// RFC 7677), in the form of pg_authid.rolpassword. Sent instead of the
// password, it keeps the password out of statements and server logs.
//
// The password must be printable ASCII: anything else would need SASLprep.
func Verifier(password string) (string, error) {
	return verifier(password, secrets.RandomBytes(16))
}

func verifier(password string, salt []byte) (string, error) {
	if password == "" {
		return "", errors.New("scram verifier: empty password")
	}
	for _, r := range password {
		if r < 0x20 || r > 0x7e {
			return "", errors.New("scram verifier: the password is not printable ASCII")
		}
	}
	salted, err := pbkdf2.Key(sha256.New, password, salt, scramIterations, sha256.Size)
	if err != nil {
		return "", fmt.Errorf("scram verifier: %w", err)
	}
	stored := sha256.Sum256(mac(salted, "Client Key"))
	b64 := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("SCRAM-SHA-256$%d:%s$%s:%s", scramIterations, b64(salt), b64(stored[:]), b64(mac(salted, "Server Key"))), nil
}

func mac(key []byte, text string) []byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte(text))
	return m.Sum(nil)
}

// NewPassword answers 256 random bits as text.
func NewPassword() string {
	return base64.RawURLEncoding.EncodeToString(secrets.RandomBytes(32))
}
