// Package operators is who may use the central API: hashed, expiring keys
// with scopes (A15).
//
// A key reads "tnop_<id>_<secret>": the id finds the row, the secret is 256
// random bits of which only the SHA-256 is kept. A key that is wrong, expired,
// revoked or unknown is answered alike.
package operators

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"tenantry/internal/apperr"
	"tenantry/internal/audit"
	"tenantry/internal/clock"
	"tenantry/internal/db"
	"tenantry/internal/ids"
	"tenantry/internal/secrets"
)

const prefix = "tnop_"

// Scopes an operator key may hold.
var Scopes = []string{"tenants.read", "tenants.write", "operations.read", "hooks.manage", "ops"}

// DefaultExpiry is how long a key lives unless told otherwise.
const DefaultExpiry = 90 * 24 * time.Hour

var validName = regexp.MustCompile(`^[a-z][a-z0-9-]{1,39}$`)

// Principal is an authenticated operator key.
type Principal struct {
	ID     uuid.UUID
	Name   string
	Scopes []string
	// Source binds the key to one hook source's operations.
	Source *uuid.UUID
}

// Has reports whether the key holds a scope; reading operations comes with
// reading tenants.
func (p Principal) Has(scope string) bool {
	if scope == "operations.read" && slices.Contains(p.Scopes, "tenants.read") {
		return true
	}
	return slices.Contains(p.Scopes, scope)
}

// Key is an operator key's row.
type Key struct {
	ID        uuid.UUID
	Name      string
	Scopes    []string
	CreatedAt time.Time
	ExpiresAt time.Time
	RevokedAt *time.Time
}

// CreateInput asks for a key.
type CreateInput struct {
	Name       string
	Scopes     []string
	ExpireDays int
	Source     *uuid.UUID
}

// Validate names the first field that is out of bounds.
func (in CreateInput) Validate() error {
	if !validName.MatchString(in.Name) {
		return apperr.InvalidField("name", "string.pattern", "must be 2 to 40 characters a-z, 0-9 and -, beginning with a letter")
	}
	if len(in.Scopes) == 0 {
		return apperr.InvalidField("scopes", "repeated.min_items", "must name at least one of "+strings.Join(Scopes, ", ")).WithParams("min_items", "1")
	}
	for _, s := range in.Scopes {
		if !slices.Contains(Scopes, s) {
			return apperr.InvalidField("scopes", "string.in", "must be of "+strings.Join(Scopes, ", ")).WithParams("in", strings.Join(Scopes, ", "))
		}
	}
	if in.ExpireDays < 0 || in.ExpireDays > 400 {
		return apperr.InvalidField("expire_days", "int32.gte_lte", "must be 1 to 400, or absent for 90").WithParams("gte", "1", "lte", "400")
	}
	return nil
}

// Service manages operator keys.
type Service struct {
	central *db.Central
	now     clock.Clock
}

// New makes the service.
func New(c *db.Central, now clock.Clock) *Service { return &Service{central: c, now: now} }

// Authenticate answers whose key this is.
func (s *Service) Authenticate(ctx context.Context, key string) (Principal, error) {
	refused := apperr.New(apperr.Unauthenticated, "CREDENTIAL_INVALID", "The operator key is not valid.")
	id, secret, ok := parse(key)
	if !ok {
		return Principal{}, refused
	}
	row, err := s.load(ctx, id)
	if errors.Is(err, errNoKey) {
		return Principal{}, refused
	}
	if err != nil {
		return Principal{}, err
	}
	hash := sha256.Sum256(secret)
	live := row.RevokedAt == nil && s.now().Before(row.ExpiresAt)
	if subtle.ConstantTimeCompare(hash[:], row.hash) != 1 || !live {
		return Principal{}, refused
	}
	return Principal{ID: row.ID, Name: row.Name, Scopes: row.Scopes, Source: row.source}, nil
}

// Create makes a key and answers its one showing.
func (s *Service) Create(ctx context.Context, in CreateInput, actor audit.Actor, requestID string) (Key, string, error) {
	type made struct {
		key  Key
		text string
	}
	m, err := db.InCentral(ctx, s.central, func(tx db.CentralTx) (made, error) {
		k, text, err := CreateTx(ctx, tx, s.now(), in, actor, requestID)
		return made{k, text}, err
	})
	return m.key, m.text, err
}

// CreateTx is Create inside another effect's transaction.
func CreateTx(ctx context.Context, tx db.CentralTx, now time.Time, in CreateInput, actor audit.Actor, requestID string) (Key, string, error) {
	if err := in.Validate(); err != nil {
		return Key{}, "", err
	}
	secret := secrets.RandomBytes(32)
	hash := sha256.Sum256(secret)
	expiry := DefaultExpiry
	if in.ExpireDays > 0 {
		expiry = time.Duration(in.ExpireDays) * 24 * time.Hour
	}
	k := Key{ID: ids.New(), Name: in.Name, Scopes: in.Scopes, CreatedAt: now, ExpiresAt: now.Add(expiry)}
	if err := insert(ctx, tx, k, hash[:], in.Source); err != nil {
		if db.IsUnique(err, "") {
			return Key{}, "", apperr.Newf(apperr.AlreadyExists, "OPERATOR_EXISTS", "There is an operator key named %q already.", in.Name)
		}
		return Key{}, "", err
	}
	err := audit.Write(ctx, tx, now, audit.Entry{
		Actor: actor, Action: "operator_key.created", TargetKind: "operator_key", TargetID: k.ID, RequestID: requestID,
		After: map[string]any{"name": k.Name, "scopes": k.Scopes},
	})
	return k, format(k.ID, secret), err
}

// Revoke ends a key on its next request; repeated calls do nothing.
func (s *Service) Revoke(ctx context.Context, id uuid.UUID, actor audit.Actor, requestID string, mark *db.Mark[struct{}]) error {
	_, err := db.InCentralOnce(ctx, s.central, mark, func(tx db.CentralTx) (struct{}, error) {
		changed, err := revoke(ctx, tx, id, s.now())
		if err != nil || !changed {
			return struct{}{}, err
		}
		return struct{}{}, audit.Write(ctx, tx, s.now(), audit.Entry{
			Actor: actor, Action: "operator_key.revoked", TargetKind: "operator_key", TargetID: id, RequestID: requestID,
		})
	})
	return err
}

func format(id uuid.UUID, secret []byte) string {
	return prefix + hex.EncodeToString(id[:]) + "_" + base64.RawURLEncoding.EncodeToString(secret)
}

func parse(key string) (uuid.UUID, []byte, bool) {
	rest, ok := strings.CutPrefix(key, prefix)
	if !ok || len(rest) != 32+1+43 || rest[32] != '_' {
		return uuid.Nil, nil, false
	}
	var id uuid.UUID
	if _, err := hex.Decode(id[:], []byte(rest[:32])); err != nil {
		return uuid.Nil, nil, false
	}
	secret, err := base64.RawURLEncoding.Strict().DecodeString(rest[33:])
	return id, secret, err == nil
}

// String keeps a principal's log line short and without its scopes.
func (p Principal) String() string { return fmt.Sprintf("operator %s", p.Name) }
