package systest

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// Order is the body of the provisioning hook.
type Order struct {
	Slug       string         `json:"slug"`
	Name       string         `json:"name"`
	OwnerEmail string         `json:"owner_email"`
	Settings   map[string]any `json:"settings,omitempty"`
}

// NewOrder asks for a tenant whose owner lives at {slug}.example.
func NewOrder(slug string) Order {
	return Order{Slug: slug, Name: "Organization " + slug, OwnerEmail: "owner@" + slug + ".example"}
}

// Open lets everybody register at the tenant.
func (o Order) Open() Order {
	o.Settings = map[string]any{"registration_policy": "open"}
	return o
}

// Message is a hook message as it is sent; every part may be bent.
type Message struct {
	Source    string
	ID        string
	Timestamp string
	Signature string
	Body      []byte
	Header    http.Header
}

// NewMessageID answers a fresh message id.
func NewMessageID() string { return "msg_" + rand.Text() }

// Sign makes a message of the system's source over a body, dated at.
func (h HookSource) Sign(id string, at time.Time, body []byte) (Message, error) {
	signer, err := standardwebhooks.NewWebhook(h.Secret)
	if err != nil {
		return Message{}, fmt.Errorf("hook secret: %w", err)
	}
	signature, err := signer.Sign(id, at, body)
	return Message{
		Source: h.Source, ID: id, Timestamp: strconv.FormatInt(at.Unix(), 10), Signature: signature, Body: body,
		Header: http.Header{"Content-Type": {"application/json"}},
	}, err
}

// CreateHookSource makes a source through the command line.
func (s *System) CreateHookSource(ctx context.Context, name string) (HookSource, error) {
	out, err := s.Output(ctx, "hook", "create", "--name", name, "--json")
	if err != nil {
		return HookSource{}, err
	}
	var h HookSource
	if err := json.Unmarshal([]byte(out), &h); err != nil || h.Source == "" || h.Secret == "" || h.OperatorKey == "" {
		return HookSource{}, fmt.Errorf("tenantry hook create printed no source, secret or operator key: %w", err)
	}
	return h, nil
}

// Send posts a message as it is.
func (s *System) Send(ctx context.Context, m Message) (Answer, error) {
	header := m.Header.Clone()
	if header == nil {
		header = http.Header{}
	}
	for name, value := range map[string]string{"Webhook-Id": m.ID, "Webhook-Timestamp": m.Timestamp, "Webhook-Signature": m.Signature} {
		if value != "" {
			header.Set(name, value)
		}
	}
	return s.Do(ctx, Request{Method: http.MethodPost, URL: s.URL("/v1/hooks/provisioning/" + m.Source), Header: header, Body: m.Body})
}

// Order signs and sends an order under a fresh message id and answers the
// operation it was given.
func (s *System) Order(ctx context.Context, o Order) (Operation, error) {
	body, err := json.Marshal(o)
	if err != nil {
		return Operation{}, err
	}
	m, err := s.Hook.Sign(NewMessageID(), time.Now(), body)
	if err != nil {
		return Operation{}, err
	}
	a, err := s.Send(ctx, m)
	if err != nil {
		return Operation{}, err
	}
	return Accepted(a)
}

// Accepted reads the operation of a 202.
func Accepted(a Answer) (Operation, error) {
	if a.Status != http.StatusAccepted {
		return Operation{}, fmt.Errorf("not accepted: %s", a)
	}
	var op Operation
	if err := a.JSON(&op); err != nil {
		return op, err
	}
	if location := a.Header.Get("Location"); op.ID == "" || location != "/v1/operations/"+op.ID {
		return op, fmt.Errorf("Location is %q in %s", location, a)
	}
	return op, nil
}
