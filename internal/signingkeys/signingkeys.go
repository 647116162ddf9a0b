// Package signingkeys changes the keys that sign tenants' access tokens (A5).
//
// A scheduled change fails no request: the new key is published at once, in
// the directory of every process and in the JWKS, and signs only after [Lead];
// the one before verifies until the last token it signed has expired.
//
// An emergency change takes effect at once: the new key signs, all others are
// gone in the same central transaction, and every process that reaches the
// central database refuses their tokens within a second. Sessions survive,
// because refresh tokens are signed by nothing. What is not promised: a
// process that is cut off from the central database keeps its last view for a
// minute, as it does for everything the directory says.
package signingkeys

import (
	"context"
	"crypto/ed25519"
	"time"

	"github.com/google/uuid"

	"tenantry/internal/apperr"
	"tenantry/internal/audit"
	"tenantry/internal/clock"
	"tenantry/internal/db"
	"tenantry/internal/ids"
	"tenantry/internal/secrets"
	"tenantry/internal/tenants"
)

const (
	// Age is how old a signing key is when the nightly pass changes it.
	Age = 30 * 24 * time.Hour
	// Lead is how long a key is published before it signs: longer than the
	// directory serves a stale view and verifiers cache the JWKS (60 s each).
	Lead = 5 * time.Minute
	// linger is how long a key verifies after it has signed last: the life of
	// a token, and what clocks may differ by.
	linger = tenants.AccessTTL + 2*time.Minute
)

// Key is what operators see of a signing key.
type Key struct {
	// ID is the kid.
	ID          uuid.UUID
	CreatedAt   time.Time
	ActivatesAt time.Time
	// RetiredAt is when it signs no more, ExpiresAt when it verifies no more;
	// nil while no key follows it.
	RetiredAt *time.Time
	ExpiresAt *time.Time
}

// State says in one word what a key does now.
func (k Key) State(now time.Time) string {
	switch {
	case k.ExpiresAt != nil && !now.Before(*k.ExpiresAt):
		return "expired"
	case k.RetiredAt != nil && !now.Before(*k.RetiredAt):
		return "verifying"
	case now.Before(k.ActivatesAt):
		return "published"
	}
	return "signing"
}

// Requester is who asks for a change.
type Requester struct {
	Actor     audit.Actor
	RequestID string
}

// Service changes signing keys.
type Service struct {
	central *db.Central
	now     clock.Clock
}

// New makes the service.
func New(c *db.Central, now clock.Clock) *Service { return &Service{central: c, now: now} }

// List answers a tenant's keys in the order they become active.
func (s *Service) List(ctx context.Context, t ids.Tenant) ([]Key, error) {
	return db.InCentral(ctx, s.central, func(tx db.CentralTx) ([]Key, error) {
		if _, err := lockTenant(ctx, tx, t); err != nil {
			return nil, err
		}
		return list(ctx, tx, t)
	})
}

// Keep is the step of the nightly pass: it deletes keys that have expired and
// changes one that has signed for [Age].
func (s *Service) Keep(ctx context.Context, t ids.Tenant) error {
	_, err := db.InCentral(ctx, s.central, func(tx db.CentralTx) (struct{}, error) {
		row, err := lockTenant(ctx, tx, t)
		if err != nil {
			return struct{}{}, err
		}
		now := s.now()
		if err := deleteExpired(ctx, tx, t, now); err != nil {
			return struct{}{}, err
		}
		keys, err := list(ctx, tx, t)
		if err != nil || len(keys) > 0 && now.Sub(keys[len(keys)-1].ActivatesAt) < Age {
			return struct{}{}, err
		}
		_, err = s.schedule(ctx, tx, row, keys, Requester{Actor: audit.System})
		return struct{}{}, err
	})
	return err
}

// lockKeys answers a tenant and its keys, which nobody else changes until the
// transaction ends.
func lockKeys(ctx context.Context, tx db.CentralTx, t ids.Tenant) (lockedTenant, []Key, error) {
	row, err := lockTenant(ctx, tx, t)
	if err != nil {
		return row, nil, err
	}
	keys, err := list(ctx, tx, t)
	return row, keys, err
}

// Rotate begins a scheduled change and answers the key that will sign. One
// that has begun already is answered again: changes do not pile up.
func (s *Service) Rotate(ctx context.Context, t ids.Tenant, by Requester) (Key, error) {
	return db.InCentral(ctx, s.central, func(tx db.CentralTx) (Key, error) {
		row, keys, err := lockKeys(ctx, tx, t)
		if err != nil {
			return Key{}, err
		}
		if n := len(keys); n > 1 && s.now().Before(keys[n-1].ActivatesAt) {
			return keys[n-1], nil
		}
		return s.schedule(ctx, tx, row, keys, by)
	})
}

func (s *Service) schedule(ctx context.Context, tx db.CentralTx, t lockedTenant, keys []Key, by Requester) (Key, error) {
	now := s.now()
	k := Key{ID: ids.New(), CreatedAt: now, ActivatesAt: now.Add(Lead)}
	if len(keys) == 0 { // nothing signs: there is nothing to wait for
		k.ActivatesAt = now
	}
	if err := retire(ctx, tx, t.id, k.ActivatesAt, k.ActivatesAt.Add(linger)); err != nil {
		return Key{}, err
	}
	return k, s.make(ctx, tx, t, k, "signing_key.rotated", keys, by)
}

// Replace is the emergency change: the new key signs at once and no other
// verifies.
func (s *Service) Replace(ctx context.Context, t ids.Tenant, by Requester) (Key, error) {
	return db.InCentral(ctx, s.central, func(tx db.CentralTx) (Key, error) {
		row, keys, err := lockKeys(ctx, tx, t)
		if err != nil {
			return Key{}, err
		}
		if err := deleteAll(ctx, tx, t); err != nil {
			return Key{}, err
		}
		now := s.now()
		k := Key{ID: ids.New(), CreatedAt: now, ActivatesAt: now}
		return k, s.make(ctx, tx, row, k, "signing_key.replaced", keys, by)
	})
}

// make writes a new key and the audit row of its change.
func (s *Service) make(ctx context.Context, tx db.CentralTx, t lockedTenant, k Key, action string, before []Key, by Requester) error {
	data, err := secrets.OpenDataKey(s.central.Keyring(), t.id, t.dataKey)
	if err != nil {
		return err
	}
	seed := secrets.RandomBytes(ed25519.SeedSize)
	sealed, err := data.Seal(seed, tenants.SealSigningKey+"/"+k.ID.String())
	if err != nil {
		return err
	}
	public := ed25519.NewKeyFromSeed(seed).Public().(ed25519.PublicKey)
	if err := insert(ctx, tx, t.id, k, public, sealed); err != nil {
		return err
	}
	kids := make([]string, len(before))
	for i, b := range before {
		kids[i] = b.ID.String()
	}
	return audit.Write(ctx, tx, s.now(), audit.Entry{
		Actor: by.Actor, Action: action, TargetKind: "signing_key", TargetID: k.ID, TenantID: t.id, RequestID: by.RequestID,
		Before: map[string]any{"kids": kids}, After: map[string]any{"kid": k.ID.String(), "activates_at": k.ActivatesAt},
	})
}

// All answers every tenant that has keys, or is to have them: the walk of
// `keys rotate --all`, suspended tenants included.
func (s *Service) All(ctx context.Context) ([]ids.Tenant, error) {
	return db.InCentral(ctx, s.central, func(tx db.CentralTx) ([]ids.Tenant, error) { return withKeys(ctx, tx) })
}

// Find answers the tenant with a slug or an id.
func (s *Service) Find(ctx context.Context, text string) (ids.Tenant, error) {
	return db.InCentral(ctx, s.central, func(tx db.CentralTx) (ids.Tenant, error) { return find(ctx, tx, text) })
}

func errNotFound() error { return apperr.New(apperr.NotFound, "TENANT_NOT_FOUND", "No such tenant.") }
