package hooks

import (
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"tenantry/internal/apperr"
	"tenantry/internal/secrets"
)

var at = time.Unix(1_800_000_000, 0).UTC()

func signed(secret []byte, id string, ts time.Time, body string) Message {
	stamp := strconv.FormatInt(ts.Unix(), 10)
	return Message{ID: id, Timestamp: stamp, Signature: "v1," + Sign(secret, id, stamp, []byte(body)), Body: []byte(body)}
}

func TestSign_AgreesWithTheReferenceLibrary(t *testing.T) {
	t.Parallel()
	raw := secrets.RandomBytes(32)
	wh, err := standardwebhooks.NewWebhook(formatSecret(raw))
	require.NoError(t, err)
	want, err := wh.Sign("msg_1", at, []byte(`{"a":1}`))
	require.NoError(t, err)
	require.Equal(t, want, signed(raw, "msg_1", at, `{"a":1}`).Signature)
}

func TestSignedBy_RefusesEveryChange(t *testing.T) {
	t.Parallel()
	secret := secrets.RandomBytes(32)
	good := signed(secret, "msg_1", at, `{"slug":"acme"}`)
	require.True(t, good.signedBy(secret))

	many := good
	many.Signature = "v1a,AAAA v1,BBBB " + good.Signature
	require.True(t, many.signedBy(secret), "one of several entries is enough")

	for name, edit := range map[string]func(*Message){
		"re-serialized body": func(m *Message) { m.Body = []byte(`{"slug": "acme"}`) },
		"another id":         func(m *Message) { m.ID = "msg_2" },
		"another time":       func(m *Message) { m.Timestamp = "1800000001" },
		"another version":    func(m *Message) { m.Signature = "v2" + m.Signature[2:] },
		"no version":         func(m *Message) { m.Signature = m.Signature[3:] },
		"truncated":          func(m *Message) { m.Signature = m.Signature[:20] },
		"shifted boundary":   func(m *Message) { m.ID, m.Timestamp = "msg_1."+m.Timestamp[:2], m.Timestamp[2:] },
	} {
		m := good
		edit(&m)
		require.False(t, m.signedBy(secret), name)
	}
	require.False(t, good.signedBy(secrets.RandomBytes(32)), "a retired secret")
}

func TestCheck_RefusesStaleMissingAndMalformed(t *testing.T) {
	t.Parallel()
	secret := secrets.RandomBytes(32)
	for name, c := range map[string]struct {
		edit   func(*Message)
		reason string
	}{
		"six minutes old":    {func(m *Message) { m.Timestamp = "1799999640" }, "HOOK_TIMESTAMP_INVALID"},
		"six minutes ahead":  {func(m *Message) { m.Timestamp = "1800000360" }, "HOOK_TIMESTAMP_INVALID"},
		"overflowing":        {func(m *Message) { m.Timestamp = "9223372036854775807" }, "HOOK_TIMESTAMP_INVALID"},
		"not a number":       {func(m *Message) { m.Timestamp = "now" }, "HOOK_TIMESTAMP_INVALID"},
		"no id":              {func(m *Message) { m.ID = "" }, "HOOK_SIGNATURE_MISSING"},
		"no signature":       {func(m *Message) { m.Signature = "" }, "HOOK_SIGNATURE_MISSING"},
		"id with a line end": {func(m *Message) { m.ID = "a\nb" }, "INVALID_ARGUMENT"},
	} {
		m := signed(secret, "msg_1", at, "{}")
		c.edit(&m)
		require.Equal(t, c.reason, apperr.ReasonOf(m.check(at)), name)
	}
	require.NoError(t, signed(secret, "msg_1", at.Add(-4*time.Minute), "{}").check(at))
}
