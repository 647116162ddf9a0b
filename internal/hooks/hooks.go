// Package hooks is the inbound provisioning hook: sources, their secrets, and
// messages signed by the Standard Webhooks specification.
//
// A message is accepted once: its receipt keeps the answer for as long as
// receipts are kept, so a repetition, however late or parallel, gets the
// first answer and changes nothing.
package hooks

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"tenantry/internal/apperr"
	"tenantry/internal/audit"
	"tenantry/internal/clock"
	"tenantry/internal/db"
	"tenantry/internal/ids"
	"tenantry/internal/operations"
	"tenantry/internal/operators"
	"tenantry/internal/outbox"
	"tenantry/internal/secrets"
	"tenantry/internal/tenants"
)

// maxSecrets bounds the live secrets of a source, for rotation with overlap.
const maxSecrets = 5

var namePattern = regexp.MustCompile(`^[a-z][a-z0-9-]{1,39}$`)

// Source is an external system that may provision.
type Source struct {
	ID          uuid.UUID
	Name        string
	CallbackURL string
	CreatedAt   time.Time
	Secrets     []Secret
}

// Secret is a signing secret without its value.
type Secret struct {
	ID        uuid.UUID
	CreatedAt time.Time
	RetiredAt *time.Time
}

// Service manages sources and takes their messages.
type Service struct {
	central *db.Central
	now     clock.Clock
	bell    *outbox.Bell
}

// New makes the service.
func New(c *db.Central, now clock.Clock, bell *outbox.Bell) *Service {
	return &Service{central: c, now: now, bell: bell}
}

// CreateSource makes a source, its first secret ("whsec_…") and an operator
// key that reads only this source's operations. Both are answered once.
func (s *Service) CreateSource(ctx context.Context, name, callback string, actor audit.Actor, requestID string) (src Source, secret, operatorKey string, err error) {
	if err := validateSource(name, callback); err != nil {
		return Source{}, "", "", err
	}
	now := s.now()
	src = Source{ID: ids.New(), Name: name, CallbackURL: callback, CreatedAt: now}
	_, err = db.InCentral(ctx, s.central, func(tx db.CentralTx) (struct{}, error) {
		if err := insertSource(ctx, tx, src); err != nil {
			return struct{}{}, err
		}
		var meta Secret
		if meta, secret, err = addSecret(ctx, tx, src.ID, now); err != nil {
			return struct{}{}, err
		}
		src.Secrets = []Secret{meta}
		_, operatorKey, err = operators.CreateTx(ctx, tx, now, operators.CreateInput{
			Name: hookKeyName(name), Scopes: []string{"operations.read"}, ExpireDays: 400, Source: &src.ID,
		}, actor, requestID)
		if err != nil {
			return struct{}{}, err
		}
		return struct{}{}, s.audit(ctx, tx, "hook_source.created", "hook_source", src.ID, actor, requestID, map[string]any{"source": name})
	})
	return src, secret, operatorKey, err
}

// hookKeyName fits an operator key's name rule for every source name.
func hookKeyName(source string) string {
	name := "hook-" + source
	return name[:min(len(name), 40)]
}

func validateSource(name, callback string) error {
	if !namePattern.MatchString(name) {
		return apperr.InvalidField("source", "string.pattern", "must be 2 to 40 characters a-z, 0-9 and -, beginning with a letter")
	}
	if callback == "" {
		return nil
	}
	u, err := url.Parse(callback)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil {
		return apperr.InvalidField("callback_url", "string.uri", "must be an absolute https URL without user, or absent")
	}
	return nil
}

// AddSecret makes one more live secret of a source.
func (s *Service) AddSecret(ctx context.Context, name string, actor audit.Actor, requestID string) (meta Secret, secret string, err error) {
	_, err = db.InCentral(ctx, s.central, func(tx db.CentralTx) (struct{}, error) {
		src, err := lockSource(ctx, tx, name)
		if err != nil {
			return struct{}{}, err
		}
		n, err := liveSecrets(ctx, tx, src)
		if err != nil {
			return struct{}{}, err
		}
		if n >= maxSecrets {
			return struct{}{}, apperr.Newf(apperr.Precondition, "HOOK_SECRET_LIMIT", "The source has %d live secrets; retire one first.", n).
				WithParams("limit", strconv.Itoa(n))
		}
		if meta, secret, err = addSecret(ctx, tx, src, s.now()); err != nil {
			return struct{}{}, err
		}
		return struct{}{}, s.audit(ctx, tx, "hook_secret.added", "hook_secret", meta.ID, actor, requestID, map[string]any{"source": name})
	})
	return meta, secret, err
}

// RetireSecret makes a secret worthless at once; repeated calls do nothing.
func (s *Service) RetireSecret(ctx context.Context, name string, id uuid.UUID, actor audit.Actor, requestID string, mark *db.Mark[struct{}]) error {
	_, err := db.InCentralOnce(ctx, s.central, mark, func(tx db.CentralTx) (struct{}, error) {
		src, err := lockSource(ctx, tx, name)
		if err != nil {
			return struct{}{}, err
		}
		changed, err := retire(ctx, tx, src, id, s.now())
		if err != nil || !changed {
			return struct{}{}, err
		}
		return struct{}{}, s.audit(ctx, tx, "hook_secret.retired", "hook_secret", id, actor, requestID, map[string]any{"source": name})
	})
	return err
}

func (s *Service) audit(ctx context.Context, tx db.CentralTx, action, kind string, id uuid.UUID, actor audit.Actor, requestID string, after map[string]any) error {
	return audit.Write(ctx, tx, s.now(), audit.Entry{
		Actor: actor, Action: action, TargetKind: kind, TargetID: id, RequestID: requestID, After: after,
	})
}

// Accept takes a verified message: receipt, reservation and start intent in
// one transaction. The same id and body answer as the first time; the same id
// with another body is refused.
func (s *Service) Accept(ctx context.Context, src Source, m Message, in tenants.ReserveInput, requestID string) (operations.Operation, error) {
	in.Settings = in.Settings.WithDefaults()
	if err := in.Validate(); err != nil {
		return operations.Operation{}, err
	}
	iid, key, err := s.central.Installation(ctx)
	if err != nil {
		return operations.Operation{}, err
	}
	r := receipt{id: ids.New(), source: src.ID, message: m.ID, bodyHash: bodyHash(key, m.Body), at: s.now()}
	a, err := db.InCentral(ctx, s.central, func(tx db.CentralTx) (answer, error) {
		return s.accept(ctx, tx, iid, r, in, tenants.Requester{Actor: audit.Hook(src.ID), RequestID: requestID, Source: &src.ID})
	})
	if err != nil {
		return operations.Operation{}, err
	}
	if a.refusal != nil {
		return operations.Operation{}, a.refusal
	}
	s.bell.Ring(ctx, ids.Tenant{})
	return a.op, nil
}

// answer is what a message got: an operation, or a refusal that is kept too.
type answer struct {
	op      operations.Operation
	refusal error
}

func (s *Service) accept(ctx context.Context, tx db.CentralTx, iid string, r receipt, in tenants.ReserveInput, by tenants.Requester) (answer, error) {
	// The claim waits for a parallel copy to commit, so there is one first.
	first, err := claimReceipt(ctx, tx, r)
	if err != nil {
		return answer{}, err
	}
	if !first {
		return repeated(ctx, tx, r)
	}
	op, err := tenants.ReserveTx(ctx, tx, iid, s.central.Keyring(), r.at, in, by)
	if apperr.ReasonOf(err) == "SLUG_TAKEN" {
		return answer{refusal: err}, finishReceipt(ctx, tx, r, nil, "SLUG_TAKEN")
	}
	if err != nil {
		return answer{}, err
	}
	return answer{op: op}, finishReceipt(ctx, tx, r, &op.ID, "")
}

func repeated(ctx context.Context, tx db.CentralTx, r receipt) (answer, error) {
	kept, err := loadReceipt(ctx, tx, r)
	if err != nil {
		return answer{}, err
	}
	if !hmac.Equal(kept.bodyHash, r.bodyHash) {
		return answer{}, apperr.New(apperr.AlreadyExists, "HOOK_MESSAGE_REUSED",
			"webhook-id: this id was used for another body; send a new id with a new body.")
	}
	if kept.refusal != "" {
		return answer{refusal: apperr.New(apperr.AlreadyExists, kept.refusal, "slug: is taken; choose another and send it under a new webhook-id.")}, nil
	}
	op, err := operations.Find(ctx, tx, kept.operation, nil)
	return answer{op: op}, err
}

// bodyHash is keyed: a plain hash of a body that holds an address could be
// guessed.
func bodyHash(key secrets.DataKey, body []byte) []byte {
	m := hmac.New(sha256.New, key.Derive("hook-body"))
	m.Write(body)
	return m.Sum(nil)
}

func formatSecret(raw []byte) string { return secretPrefix + base64.StdEncoding.EncodeToString(raw) }

const secretPrefix = "whsec_"

func parseSecret(text string) ([]byte, bool) {
	raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(text, secretPrefix))
	return raw, err == nil && len(raw) >= 24
}
