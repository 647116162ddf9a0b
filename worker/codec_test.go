package worker

import (
	"encoding/base64"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/converter"
	"google.golang.org/protobuf/proto"

	"tenantry/internal/secrets"
)

func ring(t *testing.T, keys ...string) *secrets.Keyring {
	t.Helper()
	text := ""
	for i, k := range keys {
		if i > 0 {
			text += ","
		}
		raw := make([]byte, secrets.KeySize)
		copy(raw, "key material of "+k)
		text += k + ":" + base64.StdEncoding.EncodeToString(raw)
	}
	r, err := secrets.ParseKeyring(text)
	require.NoError(t, err)
	return r
}

func newCodec(t *testing.T, keys ...string) *Codec {
	t.Helper()
	c, err := NewCodec(ring(t, keys...))
	require.NoError(t, err)
	return c
}

func plain(text string) *commonpb.Payload {
	return &commonpb.Payload{Metadata: map[string][]byte{converter.MetadataEncoding: []byte("json/plain")}, Data: []byte(text)}
}

func TestCodec_SealsDataAndMetadata(t *testing.T) {
	t.Parallel()
	c := newCodec(t, "k1")
	in := plain(`"ada@example.org"`)
	in.Metadata["messageType"] = []byte("secret.Type")
	out, err := c.Encode([]*commonpb.Payload{in})
	require.NoError(t, err)
	require.NotContains(t, out[0].String(), "ada@")
	require.NotContains(t, out[0].String(), "secret.Type")
	require.Equal(t, "k1", string(out[0].Metadata[metadataKeyID]))
	back, err := c.Decode(out)
	require.NoError(t, err)
	require.True(t, proto.Equal(in, back[0]))
}

func TestCodec_EncryptsWithTheFirstKeyAndDecryptsWithAll(t *testing.T) {
	t.Parallel()
	old, err := newCodec(t, "k1").Encode([]*commonpb.Payload{plain(`1`)})
	require.NoError(t, err)
	both := newCodec(t, "k2", "k1")
	back, err := both.Decode(old)
	require.NoError(t, err)
	require.Equal(t, `1`, string(back[0].Data))
	fresh, err := both.Encode(back)
	require.NoError(t, err)
	_, err = newCodec(t, "k2").Decode(fresh)
	require.NoError(t, err)
	_, err = newCodec(t, "k1").Decode(fresh)
	require.ErrorIs(t, err, secrets.ErrOpen)
}

func TestCodec_RefusesWrongKeysAndEditedBytes(t *testing.T) {
	t.Parallel()
	c := newCodec(t, "k1")
	out, err := c.Encode([]*commonpb.Payload{plain(`1`)})
	require.NoError(t, err)
	_, err = newCodec(t, "k9").Decode(out)
	require.ErrorIs(t, err, secrets.ErrOpen)
	out[0].Data[len(out[0].Data)-1] ^= 1
	_, err = c.Decode(out)
	require.ErrorIs(t, err, secrets.ErrOpen)
	foreign, err := ring(t, "k1").Seal([]byte("a data key"), "data-key/x")
	require.NoError(t, err)
	out[0].Data = foreign
	_, err = c.Decode(out)
	require.ErrorIs(t, err, secrets.ErrOpen)
}

func TestCodec_PassesPlainInputOfACLI(t *testing.T) {
	t.Parallel()
	var got struct {
		TenantID string `json:"tenant_id"`
	}
	err := newCodec(t, "k1").DataConverter().FromPayload(plain(`{"tenant_id":"t"}`), &got)
	require.NoError(t, err)
	require.Equal(t, "t", got.TenantID)
}

func TestCodec_FailsClosed(t *testing.T) {
	t.Parallel()
	_, err := NewCodec(nil)
	require.Error(t, err)
	_, err = NewCodec(&secrets.Keyring{})
	require.Error(t, err)
	_, err = NewClientOptions(ClientConfig{})
	require.Error(t, err)
	broken := &Codec{ring: &secrets.Keyring{}} // a key that cannot encrypt
	out, err := broken.Encode([]*commonpb.Payload{plain(`"ada"`)})
	require.Error(t, err)
	require.Nil(t, out)
	_, err = broken.DataConverter().ToPayload("ada")
	require.Error(t, err)
	require.Panics(t, func() { _ = broken.FailureConverter().ErrorToFailure(errors.New("ada")) })
}

func TestCodec_SealsTheTextOfFailures(t *testing.T) {
	t.Parallel()
	c := newCodec(t, "k1")
	f := c.FailureConverter().ErrorToFailure(errors.New("ada@example.org is taken"))
	require.NotContains(t, f.String(), "ada@")
	require.Equal(t, "ada@example.org is taken", c.FailureConverter().FailureToError(f).Error())
}
