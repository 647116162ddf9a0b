package api

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"regexp"
	"time"

	"connectrpc.com/connect/v2"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"tenantry/api/edge"
	commonv1 "tenantry/api/gen/tenantry/common/v1"
	"tenantry/internal/apperr"
	"tenantry/internal/db"
	"tenantry/internal/replay"
	"tenantry/internal/secrets"
)

const (
	headerIdempotencyKey = "Idempotency-Key"
	headerReplayed       = "Idempotency-Replayed"
)

// saneKey is what a key may be: 1 to 255 visible ASCII characters, opaque.
var saneKey = regexp.MustCompile(`^[\x21-\x7e]{1,255}$`)

// mark is what a handler passes to a use case that changes something: the
// keyed call's mark, whose reply is the message that convert makes of the
// result; nil for a call without a key.
func mark[R any, M proto.Message](call *edge.Call, convert func(R) M) *db.Mark[R] {
	k := call.Keyed
	if k == nil {
		return nil
	}
	return &db.Mark[R]{Key: k.Key, Now: k.Now, Encode: func(r R) (reply []byte, err error) {
		k.Reply, err = proto.MarshalOptions{Deterministic: true}.Marshal(convert(r))
		if k.Reply == nil {
			k.Reply = []byte{} // an empty message is an answer
		}
		return k.Reply, err
	}}
}

// idempotent makes a call with an Idempotency-Key happen once. It stands
// innermost: the fingerprint is that of the decoded, valid message, so one
// call has one fingerprint at every door; what it sends passes the others.
func (s *Server) idempotent(next connect.ServerFunc) connect.ServerFunc {
	return func(ctx context.Context, spec connect.Spec, stream connect.ServerStream) error {
		call, m := edge.From(ctx), s.methods[spec.Procedure]
		key, err := idempotencyKey(ctx, m)
		if err != nil {
			return err
		}
		if key == "" {
			return next(ctx, spec, stream)
		}
		o := &onceStream{ServerStream: stream, ctx: ctx, s: s, call: call, method: m, key: key}
		err = next(ctx, spec, o)
		var again *db.ReplayError
		if errors.As(err, &again) {
			err = o.replay(again.Reply)
		}
		o.settle()
		return err
	}
}

// idempotencyKey answers the key of a call that may have one. It is refused
// where it would be a promise that nobody keeps.
func idempotencyKey(ctx context.Context, m *method) (string, error) {
	info, ok := connect.CallInfoForServerContext(ctx)
	if !ok || m.reads() {
		return "", nil
	}
	values := info.RequestHeader().Values(headerIdempotencyKey)
	if len(values) == 0 {
		return "", nil
	}
	if m.policy.GetIdempotency() != commonv1.Idempotency_IDEMPOTENCY_KEY {
		return "", apperr.New(apperr.Invalid, "IDEMPOTENCY_UNSUPPORTED", "Idempotency-Key: this call takes none, because its answer is a credential or it needs none. Leave the header out.")
	}
	if len(values) > 1 || !saneKey.MatchString(values[0]) {
		return "", apperr.New(apperr.Invalid, "IDEMPOTENCY_KEY_INVALID", "Idempotency-Key: must be one value of 1 to 255 visible ASCII characters, such as a UUID.")
	}
	return values[0], nil
}

// onceStream carries one keyed call.
type onceStream struct {
	connect.ServerStream
	ctx    context.Context
	s      *Server
	call   *edge.Call
	method *method
	key    string

	ticket *replay.Ticket
	kept   bool
}

// Receive names the call by its message and looks whether it has happened.
func (o *onceStream) Receive(msg any) error {
	if err := o.ServerStream.Receive(msg); err != nil {
		return err
	}
	m, ok := msg.(proto.Message)
	if !ok {
		return fmt.Errorf("%s: not a proto message", o.method.spec.Procedure)
	}
	owner, err := o.owner()
	if err != nil {
		return err
	}
	k, err := markKey(owner, o.call, o.method, o.key, m)
	if err != nil {
		return err
	}
	now := o.s.now()
	sealed, ticket, err := o.s.replays.Begin(o.ctx, k, o.s.timeout)
	if apperr.ReasonOf(err) == "IDEMPOTENCY_IN_FLIGHT" {
		// The lock may be a repetition's, or that of a process that has died since
		// it committed: once there is a mark, it answers.
		return o.answered(k, now, err)
	}
	if err != nil {
		return err
	}
	if sealed != nil {
		// What cannot be opened has not been written by us: the mark decides.
		if reply, err := owner.Open(sealed, replayPurpose); err == nil {
			return &db.ReplayError{Reply: reply}
		}
	}
	o.ticket, o.call.Keyed = ticket, &edge.Keyed{Key: k, Now: now}
	return nil
}

// answered is the first call's answer when its mark is there, busy otherwise.
func (o *onceStream) answered(k db.MarkKey, now time.Time, busy error) error {
	look := func() ([]byte, error) { return db.TenantMark(o.ctx, o.call.Lease, k, now) }
	if o.call.Central {
		look = func() ([]byte, error) { return o.s.centralMark(o.ctx, k, now) }
	}
	reply, err := look()
	if err != nil {
		return err
	}
	if reply == nil {
		return busy
	}
	return &db.ReplayError{Reply: reply}
}

const replayPurpose = "idempotency-front"

// owner answers the key of whose call it is: another tenant's mark has
// another scope.
func (o *onceStream) owner() (secrets.DataKey, error) {
	if o.call.Central {
		return o.s.centralKey(o.ctx)
	}
	return o.call.Lease.Key, nil
}

// markKey is the digest of who called what with which key, and of the request.
func markKey(owner secrets.DataKey, call *edge.Call, m *method, key string, msg proto.Message) (db.MarkKey, error) {
	body, err := proto.MarshalOptions{Deterministic: true}.Marshal(msg)
	if err != nil {
		return db.MarkKey{}, fmt.Errorf("fingerprint: %w", err)
	}
	actor := call.Actor()
	secret := owner.Derive("idempotency")
	var k db.MarkKey
	copy(k.Scope[:], digest(secret, actor.Kind, actor.ID.String(), m.spec.Procedure, key))
	copy(k.Fingerprint[:], digest(secret, m.spec.Procedure, string(body)))
	return k, nil
}

// digest is the HMAC-SHA256 of parts that cannot run into each other.
func digest(secret []byte, parts ...string) []byte {
	h := hmac.New(sha256.New, secret)
	for _, p := range parts {
		_ = binary.Write(h, binary.BigEndian, uint64(len(p))) // a hash takes everything
		h.Write([]byte(p))
	}
	return h.Sum(nil)
}

// Send answers what the mark has stored, the first time too.
func (o *onceStream) Send(msg any) error {
	k := o.call.Keyed
	if k == nil || k.Reply == nil {
		return fmt.Errorf("%s: a keyed call was answered without its mark", o.method.spec.Procedure)
	}
	o.kept = true
	if o.ticket != nil {
		o.keep(k.Reply)
	}
	return o.send(k.Reply)
}

func (o *onceStream) keep(reply []byte) {
	owner, err := o.owner()
	if err != nil {
		return // the mark is there
	}
	if sealed, err := owner.Seal(reply, replayPurpose); err == nil {
		o.s.replays.Keep(o.ctx, o.ticket, sealed)
	}
}

// replay answers a call that had happened before.
func (o *onceStream) replay(reply []byte) error {
	if info, ok := connect.CallInfoForServerContext(o.ctx); ok {
		info.ResponseHeader().Set(headerReplayed, "true")
	}
	if o.ticket != nil {
		o.kept = true
		o.keep(reply)
	}
	return o.send(reply)
}

func (o *onceStream) send(reply []byte) error {
	msg, err := newMessage(o.method.desc.Output())
	if err != nil {
		return err
	}
	if err := proto.Unmarshal(reply, msg); err != nil {
		return fmt.Errorf("%s: stored reply: %w", o.method.spec.Procedure, err)
	}
	return o.ServerStream.Send(msg)
}

// settle gives the key back when the call did not end in an answer.
func (o *onceStream) settle() {
	if o.ticket != nil && !o.kept {
		o.s.replays.Drop(o.ctx, o.ticket)
	}
}

func newMessage(d protoreflect.MessageDescriptor) (proto.Message, error) {
	t, err := protoregistry.GlobalTypes.FindMessageByName(d.FullName())
	if err != nil {
		return nil, err
	}
	return t.New().Interface(), nil
}
