// Package knock calls the RPCs of a running API through each of its doors, as
// a client would that has only the schema.
//
// A call has one of three outcomes. An [Answer] with a message: it was done. An
// [Answer] with a reason: the API has refused it. An error: nobody knows, the
// connection broke before the whole answer was read.
package knock

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"
	"connectrpc.com/connect/v2/connectproto"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// Door is one of the ways into an RPC.
type Door int

// The doors that every RPC has.
const (
	REST Door = iota
	ConnectJSON
	ConnectProto
	GRPC
)

// Doors lists them all.
var Doors = []Door{REST, ConnectJSON, ConnectProto, GRPC}

// String is the door's name in a report.
func (d Door) String() string {
	return []string{"REST", "Connect JSON", "Connect proto", "gRPC"}[d]
}

// Call is one call of an RPC.
type Call struct {
	Method protoreflect.MethodDescriptor
	In     proto.Message
	// Host is the name in the Host header, Bearer the credential.
	Host, Bearer string
	// Key is the Idempotency-Key, RequestID the X-Request-Id; both optional.
	Key, RequestID string
}

// Answer is what the API said.
type Answer struct {
	// Message is set for a call that was done.
	Message proto.Message
	// Status is that of HTTP; 0 for gRPC, which has none of its own.
	Status int
	// Code and Reason are set for a call that was refused.
	Code, Reason string
	RetryAfter   string
	Replayed     bool
}

// Client knocks at one address. Every call has a connection of its own, so
// that a fault of one is none of another.
type Client struct {
	addr string
	h1   *http.Client
}

// New makes a client of the API at host:port, whatever the hosts of its calls.
func New(addr string) *Client {
	return &Client{addr: addr, h1: &http.Client{
		Timeout:   40 * time.Second,
		Transport: &http.Transport{MaxIdleConnsPerHost: -1, DialContext: dialTo(addr)},
	}}
}

func dialTo(addr string) func(context.Context, string, string) (net.Conn, error) {
	d := &net.Dialer{Timeout: 5 * time.Second}
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		return d.DialContext(ctx, network, addr)
	}
}

// Knock makes a call through a door.
func (c *Client) Knock(ctx context.Context, d Door, k Call) (Answer, error) {
	switch d {
	case GRPC:
		return c.grpc(ctx, k)
	case ConnectProto:
		body, err := proto.Marshal(k.In)
		if err != nil {
			return Answer{}, err
		}
		return c.http(ctx, k, http.MethodPost, Procedure(k.Method), "application/proto", body, proto.Unmarshal)
	case ConnectJSON:
		body, err := protojson.Marshal(k.In)
		if err != nil {
			return Answer{}, err
		}
		return c.http(ctx, k, http.MethodPost, Procedure(k.Method), "application/json", body, readJSON)
	}
	verb, path, body, err := Request(k.Method, k.In)
	if err != nil {
		return Answer{}, err
	}
	contentType := ""
	if body != nil {
		contentType = "application/json"
	}
	return c.http(ctx, k, verb, path, contentType, body, readJSON)
}

var readJSON = protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal

func (c *Client) http(ctx context.Context, k Call, verb, path, contentType string, body []byte, read func([]byte, proto.Message) error) (Answer, error) {
	req, err := http.NewRequestWithContext(ctx, verb, "http://"+k.Host+path, bytes.NewReader(body))
	if err != nil {
		return Answer{}, err
	}
	for name, value := range k.headers() {
		req.Header.Set(name, value)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := c.h1.Do(req)
	if err != nil {
		return Answer{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 8<<20))
	if err != nil {
		return Answer{}, err
	}
	a := Answer{Status: resp.StatusCode, RetryAfter: resp.Header.Get("Retry-After"), Replayed: resp.Header.Get("Idempotency-Replayed") == "true"}
	if resp.StatusCode < http.StatusMultipleChoices {
		a.Message, err = newMessage(k.Method.Output())
		if err != nil {
			return Answer{}, err
		}
		return a, read(text, a.Message)
	}
	a.Code, a.Reason, err = refusal(text)
	return a, err
}

// refusal reads the body of an error (E2).
func refusal(text []byte) (code, reason string, err error) {
	var body struct {
		Code    string `json:"code"`
		Details []struct {
			Type  string `json:"type"`
			Debug struct {
				Reason string `json:"reason"`
			} `json:"debug"`
		} `json:"details"`
	}
	if err := json.Unmarshal(text, &body); err != nil {
		return "", "", fmt.Errorf("an error that is no JSON: %w in %.200q", err, text)
	}
	for _, d := range body.Details {
		if strings.HasSuffix(d.Type, "ErrorInfo") && d.Debug.Reason != "" {
			return body.Code, d.Debug.Reason, nil
		}
	}
	return "", "", fmt.Errorf("an error without a reason: %.200q", text)
}

func (c *Client) grpc(ctx context.Context, k Call) (Answer, error) {
	h2 := &http.Transport{Protocols: new(http.Protocols), DialContext: dialTo(c.addr)}
	h2.Protocols.SetUnencryptedHTTP2(true)
	defer h2.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(ctx, c.h1.Timeout)
	defer cancel()
	client := connect.NewClient(connecthttp.NewTransport(&http.Client{Transport: h2}, "http://"+k.Host, connecthttp.WithGRPC()))
	ctx, info := connect.NewClientContext(ctx)
	for name, value := range k.headers() {
		info.RequestHeader().Set(name, value)
	}
	out, err := newMessage(k.Method.Output())
	if err != nil {
		return Answer{}, err
	}
	err = client.CallUnary(ctx, connect.Spec{Procedure: Procedure(k.Method), StreamType: connect.StreamTypeUnary, Schema: k.Method}, k.In, out)
	a := Answer{Replayed: info.ResponseHeader().Get("Idempotency-Replayed") == "true" || info.ResponseTrailer().Get("Idempotency-Replayed") == "true"}
	if err == nil {
		a.Message = out
		return a, nil
	}
	var e *connect.Error
	if !errors.As(err, &e) {
		return Answer{}, err
	}
	for _, d := range e.Details() {
		m, derr := connectproto.UnmarshalErrorDetail(d)
		if derr != nil {
			return Answer{}, derr
		}
		switch m := m.(type) {
		case *errdetails.ErrorInfo:
			a.Code, a.Reason = e.Code().String(), m.GetReason()
		case *errdetails.RetryInfo:
			a.RetryAfter = m.GetRetryDelay().String()
		}
	}
	if a.Reason == "" {
		return Answer{}, err // the connection's, not the API's
	}
	return a, nil
}

func (k Call) headers() map[string]string {
	h := map[string]string{}
	for name, value := range map[string]string{"Idempotency-Key": k.Key, "X-Request-Id": k.RequestID} {
		if value != "" {
			h[name] = value
		}
	}
	if k.Bearer != "" {
		h["Authorization"] = "Bearer " + k.Bearer
	}
	return h
}

func newMessage(d protoreflect.MessageDescriptor) (proto.Message, error) {
	t, err := protoregistry.GlobalTypes.FindMessageByName(d.FullName())
	if err != nil {
		return nil, err
	}
	return t.New().Interface(), nil
}
