package hooks

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"time"

	"tenantry/internal/apperr"
)

// Tolerance is how far a message's timestamp may be from now.
const Tolerance = 5 * time.Minute

// Message is a message as it arrived: the three headers of the Standard
// Webhooks specification and the raw body.
type Message struct {
	// ID is webhook-id, 1 to 128 printable characters.
	ID string
	// Timestamp is webhook-timestamp, Unix seconds.
	Timestamp string
	// Signature is webhook-signature: "v1,<base64>" entries between spaces.
	Signature string
	Body      []byte
}

// Verify answers the source whose live secret signed the message. Unknown
// sources are refused like wrong signatures.
func (s *Service) Verify(ctx context.Context, source string, m Message) (Source, error) {
	if err := m.check(s.now()); err != nil {
		return Source{}, err
	}
	src, keys, err := s.loadSecrets(ctx, source)
	if err != nil {
		return Source{}, err
	}
	valid := false
	for _, k := range keys {
		// Every secret is tried: which one matched must not show in the time.
		valid = m.signedBy(k) || valid
	}
	if !valid {
		return Source{}, apperr.New(apperr.Unauthenticated, "HOOK_SIGNATURE_INVALID",
			"webhook-signature: no entry matches the raw body under a live secret of this source. Sign \"{webhook-id}.{webhook-timestamp}.{body}\" over the bytes as sent.")
	}
	return src, nil
}

func (m Message) check(now time.Time) error {
	for name, v := range map[string]string{"webhook-id": m.ID, "webhook-timestamp": m.Timestamp, "webhook-signature": m.Signature} {
		if v == "" {
			return apperr.Newf(apperr.Unauthenticated, "HOOK_SIGNATURE_MISSING",
				"%s: the header is missing; webhook-id, webhook-timestamp and webhook-signature are required (Standard Webhooks).", name)
		}
	}
	if len(m.ID) > 128 || strings.ContainsFunc(m.ID, func(r rune) bool { return r < '!' || r > '~' }) {
		return apperr.InvalidField("webhook-id", "string.len", "must be 1 to 128 printable ASCII characters").WithParams("min_len", "1", "max_len", "128")
	}
	sec, err := strconv.ParseInt(m.Timestamp, 10, 64)
	if err != nil {
		return apperr.New(apperr.Unauthenticated, "HOOK_TIMESTAMP_INVALID", "webhook-timestamp: must be Unix seconds.")
	}
	if d := now.Sub(time.Unix(sec, 0)); d > Tolerance || d < -Tolerance {
		return apperr.Newf(apperr.Unauthenticated, "HOOK_TIMESTAMP_INVALID", "webhook-timestamp: must be within 5 minutes of now (%s).", now.Format(time.RFC3339))
	}
	return nil
}

func (m Message) signedBy(secret []byte) bool {
	want := Sign(secret, m.ID, m.Timestamp, m.Body)
	ok := false
	for _, entry := range strings.Fields(m.Signature) {
		version, sig, found := strings.Cut(entry, ",")
		if found && version == "v1" && hmac.Equal([]byte(sig), []byte(want)) {
			ok = true
		}
	}
	return ok
}

// Sign answers the base64 HMAC-SHA256 of a message (Standard Webhooks v1).
func Sign(secret []byte, id, timestamp string, body []byte) string {
	mac := hmac.New(sha256.New, secret)
	_, _ = fmt.Fprintf(mac, "%s.%s.", id, timestamp) // a hash never fails
	mac.Write(body)
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}
