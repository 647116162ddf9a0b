package worker

import (
	"errors"
	"fmt"
	"log/slog"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"google.golang.org/protobuf/proto"

	"tenantry/internal/secrets"
)

const (
	// payloadEncoding marks what Codec has sealed.
	payloadEncoding = "binary/tenantry-sealed"
	// payloadPurpose binds a ciphertext to histories: no other sealed value
	// opens as a payload. It names no workflow, because the codec server,
	// which serves the UI and the CLI, is not told one.
	payloadPurpose = "temporal-payload"
	// metadataKeyID repeats the key id of the ciphertext for people; it is
	// not trusted.
	metadataKeyID = "encryption-key-id"
)

// Codec seals payloads (P5). The first key of the ring encrypts, all decrypt,
// and the ciphertext names its key, so keys rotate while histories live. It
// reads nothing but its keys: it runs inside workflow tasks, under the
// deadlock detector.
type Codec struct{ ring *secrets.Keyring }

// NewCodec needs keys: there is no way to make one that passes plain text on.
func NewCodec(ring *secrets.Keyring) (*Codec, error) {
	if ring == nil || ring.Primary() == "" {
		return nil, errors.New("payload codec: no keys")
	}
	return &Codec{ring: ring}, nil
}

// Encode seals every payload whole, metadata included, or answers an error
// and no payload.
func (c *Codec) Encode(in []*commonpb.Payload) ([]*commonpb.Payload, error) {
	out := make([]*commonpb.Payload, len(in))
	for i, p := range in {
		plain, err := proto.Marshal(p)
		if err != nil {
			return nil, fmt.Errorf("encode payload: %w", err)
		}
		sealed, err := c.ring.Seal(plain, payloadPurpose)
		if err != nil {
			return nil, fmt.Errorf("seal payload: %w", err)
		}
		out[i] = &commonpb.Payload{
			Metadata: map[string][]byte{
				converter.MetadataEncoding: []byte(payloadEncoding),
				metadataKeyID:              []byte(c.ring.Primary()),
			},
			Data: sealed,
		}
	}
	return out, nil
}

// Decode opens what Encode sealed. Other payloads pass unchanged: an operator
// starts workflows from the CLI, which has no keys.
func (c *Codec) Decode(in []*commonpb.Payload) ([]*commonpb.Payload, error) {
	out := make([]*commonpb.Payload, len(in))
	for i, p := range in {
		if string(p.GetMetadata()[converter.MetadataEncoding]) != payloadEncoding {
			out[i] = p
			continue
		}
		plain, err := c.ring.Open(p.GetData(), payloadPurpose)
		if err != nil {
			return nil, fmt.Errorf("open payload: %w", err)
		}
		out[i] = &commonpb.Payload{}
		if err := proto.Unmarshal(plain, out[i]); err != nil {
			return nil, fmt.Errorf("decode payload: %w", err)
		}
	}
	return out, nil
}

// DataConverter is the default one behind the codec.
func (c *Codec) DataConverter() converter.DataConverter {
	return converter.NewCodecDataConverter(converter.GetDefaultDataConverter(), c)
}

// FailureConverter seals the text and the stack of errors too: a codec alone
// leaves them plain. The types of errors stay readable, so they are codes.
func (c *Codec) FailureConverter() converter.FailureConverter {
	return temporal.NewDefaultFailureConverter(temporal.DefaultFailureConverterOptions{
		DataConverter: c.DataConverter(), EncodeCommonAttributes: true,
	})
}

// ClientConfig says where Temporal is.
type ClientConfig struct {
	// Address is host:port of the frontend.
	Address   string
	Namespace string
	// Identity names this process in histories and at task queues; empty is
	// the SDK's process@host.
	Identity string
	Codec    *Codec
	Log      *slog.Logger
}

// NewClientOptions is the one way to talk to Temporal: sealed.
func NewClientOptions(c ClientConfig) (client.Options, error) {
	if c.Codec == nil {
		return client.Options{}, errors.New("temporal client: no payload codec")
	}
	return client.Options{
		HostPort: c.Address, Namespace: c.Namespace, Identity: c.Identity,
		Logger:        log.NewStructuredLogger(c.Log),
		DataConverter: c.Codec.DataConverter(), FailureConverter: c.Codec.FailureConverter(),
	}, nil
}

// Dial answers a client that connects when it is first used: neither the API
// nor the worker needs Temporal to start.
func Dial(c ClientConfig) (client.Client, error) {
	o, err := NewClientOptions(c)
	if err != nil {
		return nil, err
	}
	cl, err := client.NewLazyClient(o)
	if err != nil {
		return nil, fmt.Errorf("temporal client: %w", err)
	}
	return cl, nil
}
