// Package apikeys is the credentials of programs (A12): keys that belong to a
// person or to a service account, hashed, scoped, expiring, bound to networks
// if wanted.
//
// A key never does more than its scopes name and its owner may at that
// moment: both are read on every request, so demotion and deletion act on the
// next one. A key that is unknown, revoked, expired or wrong is answered
// alike. What issues a secret takes a person's session: a leaked key cannot
// make another.
package apikeys

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"tenantry/internal/apperr"
	"tenantry/internal/audit"
	"tenantry/internal/clock"
	"tenantry/internal/db"
	"tenantry/internal/ids"
	"tenantry/internal/notices"
	"tenantry/internal/rbac"
)

const (
	// DefaultExpiry is how long a key lives unless told otherwise.
	DefaultExpiry = 90 * 24 * time.Hour
	// maxKeys bounds the live keys of one owner.
	maxKeys = 50
	// maxAccounts bounds a tenant's service accounts.
	maxAccounts = 100
)

// Key is a key without its secret.
type Key struct {
	ID                uuid.UUID
	Name              string
	User              *uuid.UUID
	ServiceAccount    *uuid.UUID
	Scopes            []string
	Networks          []string
	CreatedAt         time.Time
	ExpiresAt         *time.Time
	LastUsedAt        *time.Time
	RevokedAt         *time.Time
	PreviousExpiresAt *time.Time
	Version           int64
}

// CreateInput asks for a key.
type CreateInput struct {
	Name       string
	Scopes     []string
	ExpireDays int
	Networks   []string
	// ServiceAccount is the owner; nil: the actor.
	ServiceAccount *uuid.UUID
}

// UpdateInput changes a key; nil leaves a part as it is.
type UpdateInput struct {
	ID       uuid.UUID
	Version  int64
	Name     *string
	Scopes   []string
	Networks *[]string
}

// RotateInput asks for a new secret.
type RotateInput struct {
	ID      uuid.UUID
	Version int64
	Overlap time.Duration
}

// Service manages keys and service accounts.
type Service struct{ now clock.Clock }

// New makes the service.
func New(now clock.Clock) *Service { return &Service{now: now} }

func checkScopes(scopes []string) error {
	for _, s := range scopes {
		if !slices.Contains(rbac.Permissions, s) {
			return apperr.InvalidField("scopes", "string.in", "must be of "+strings.Join(rbac.Permissions, ", "))
		}
	}
	if len(scopes) == 0 {
		return apperr.InvalidField("scopes", "repeated.min_items", "must name at least one of "+strings.Join(rbac.Permissions, ", "))
	}
	return nil
}

// canonical answers networks in one spelling; a bare address is a block of one.
func canonical(networks []string) ([]string, error) {
	out := []string{}
	for _, n := range networks {
		p, err := netip.ParsePrefix(n)
		if err != nil {
			a, aerr := netip.ParseAddr(n)
			if aerr != nil || a.Zone() != "" {
				return nil, apperr.InvalidField("allowed_networks", "string.cidr", `must be CIDR blocks or addresses such as "203.0.113.0/24" or "2001:db8::1"`)
			}
			p = netip.PrefixFrom(a, a.BitLen())
		}
		if p.Addr().Is4In6() {
			return nil, apperr.InvalidField("allowed_networks", "string.cidr", "must not be IPv4 addresses written as IPv6: write them as IPv4")
		}
		if text := p.Masked().String(); !slices.Contains(out, text) {
			out = append(out, text)
		}
	}
	return out, nil
}

// Create makes a key and answers its one showing.
func (s *Service) Create(ctx context.Context, l *db.Lease, in CreateInput, by rbac.Actor) (Key, string, error) {
	if err := checkScopes(in.Scopes); err != nil {
		return Key{}, "", err
	}
	networks, err := canonical(in.Networks)
	if err != nil {
		return Key{}, "", err
	}
	if err := by.CheckGrant(in.Scopes); err != nil {
		return Key{}, "", err
	}
	now := s.now()
	expiry := DefaultExpiry
	if in.ExpireDays > 0 {
		expiry = time.Duration(in.ExpireDays) * 24 * time.Hour
	}
	expires := now.Add(expiry)
	k := Key{
		ID: ids.New(), Name: in.Name, ServiceAccount: in.ServiceAccount, Scopes: sorted(in.Scopes), Networks: networks,
		CreatedAt: now, ExpiresAt: &expires, Version: 1,
	}
	if in.ServiceAccount == nil {
		u := by.User.UUID()
		k.User = &u
	}
	text, hash := mint(k.ID)
	_, err = db.InTenant(ctx, l, func(tx db.TenantTx) (struct{}, error) {
		if err := makeRoom(ctx, tx, k, now); err != nil {
			return struct{}{}, err
		}
		if err := by.StillIn(ctx, tx); err != nil {
			return struct{}{}, err
		}
		if err := insert(ctx, tx, k, hash, by.User); err != nil {
			return struct{}{}, err
		}
		// A key that acts for a person outlives their sessions: they are told.
		if k.User != nil {
			if err := notices.Write(ctx, tx, now, notices.KeyCreated, *k.User); err != nil {
				return struct{}{}, err
			}
		}
		return struct{}{}, s.audit(ctx, tx, by, "api_key.created", "api_key", k.ID, nil, facts(k))
	})
	return k, text, err
}

func sorted(list []string) []string {
	out := slices.Clone(list)
	slices.Sort(out)
	return slices.Compact(out)
}

// facts are what the audit log shows of a key; its name is free text.
func facts(k Key) map[string]any {
	return map[string]any{"scopes": k.Scopes, "allowed_networks": len(k.Networks), "service_account_id": k.ServiceAccount, "user_id": k.User}
}

func (s *Service) audit(ctx context.Context, tx db.TenantTx, by rbac.Actor, action, kind string, id uuid.UUID, before, after map[string]any) error {
	return audit.Write(ctx, tx, s.now(), audit.Entry{
		Actor: by.Actor, Action: action, TargetKind: kind, TargetID: id, TenantID: tx.Tenant(), RequestID: by.RequestID, Before: before, After: after,
	})
}

// Get answers a key.
func (s *Service) Get(ctx context.Context, l *db.Lease, id uuid.UUID) (Key, error) {
	return db.InTenantRead(ctx, l, func(tx db.TenantTx) (Key, error) { return find(ctx, tx, id, false) })
}

// Update changes a key.
func (s *Service) Update(ctx context.Context, l *db.Lease, in UpdateInput, by rbac.Actor, m *db.Mark[Key]) (Key, error) {
	return db.InTenantOnce(ctx, l, m, func(tx db.TenantTx) (Key, error) {
		k, err := s.mine(ctx, tx, in.ID, in.Version, by)
		if err != nil {
			return Key{}, err
		}
		before := k
		if in.Name != nil {
			k.Name = *in.Name
		}
		if in.Scopes != nil {
			if err := checkScopes(in.Scopes); err != nil {
				return Key{}, err
			}
			if err := by.CheckGrant(in.Scopes); err != nil {
				return Key{}, err
			}
			k.Scopes = sorted(in.Scopes)
		}
		if in.Networks != nil {
			if k.Networks, err = canonical(*in.Networks); err != nil {
				return Key{}, err
			}
		}
		k.Version++
		if err := update(ctx, tx, k, s.now()); err != nil {
			return Key{}, err
		}
		if !before.same(k) {
			if err := s.tellChanged(ctx, tx, k); err != nil {
				return Key{}, err
			}
		}
		return k, s.audit(ctx, tx, by, "api_key.updated", "api_key", k.ID, facts(before), facts(k))
	})
}

// same reports whether an update from k to other has changed nothing.
func (k Key) same(other Key) bool {
	return k.Name == other.Name && slices.Equal(k.Scopes, other.Scopes) && slices.Equal(k.Networks, other.Networks)
}

// tellChanged tells the person for whom a key acts that it does more, from
// elsewhere or for somebody else now.
func (s *Service) tellChanged(ctx context.Context, tx db.TenantTx, k Key) error {
	if k.User == nil {
		return nil
	}
	return notices.Write(ctx, tx, s.now(), notices.KeyChanged, *k.User)
}

// mine locks a live key that the actor may change: what a key may do is never
// above whoever changes it, and a person's key is that person's.
func (s *Service) mine(ctx context.Context, tx db.TenantTx, id uuid.UUID, version int64, by rbac.Actor) (Key, error) {
	k, err := find(ctx, tx, id, true)
	if err != nil {
		return Key{}, err
	}
	if k.User != nil && *k.User != by.User.UUID() {
		return Key{}, apperr.New(apperr.Forbidden, "GRANT_ABOVE_OWN", "This key belongs to another person: you may revoke it, not change it.")
	}
	if err := by.CheckGrant(k.Scopes); err != nil {
		return Key{}, err
	}
	if k.RevokedAt != nil {
		return Key{}, apperr.New(apperr.Precondition, "API_KEY_REVOKED", "This key is revoked. Make a new one.")
	}
	return k, apperr.CheckVersion(version, k.Version)
}

// Rotate gives a key a new secret and answers its one showing; the one before
// works until the overlap ends.
func (s *Service) Rotate(ctx context.Context, l *db.Lease, in RotateInput, by rbac.Actor) (Key, string, error) {
	var text string
	k, err := db.InTenant(ctx, l, func(tx db.TenantTx) (Key, error) {
		k, err := s.mine(ctx, tx, in.ID, in.Version, by)
		if err != nil {
			return Key{}, err
		}
		var hash []byte
		text, hash = mint(k.ID)
		k.Version, k.PreviousExpiresAt = k.Version+1, nil
		if in.Overlap > 0 {
			until := s.now().Add(in.Overlap)
			k.PreviousExpiresAt = &until
		}
		if err := rotate(ctx, tx, k, hash, s.now()); err != nil {
			return Key{}, err
		}
		if err := s.tellChanged(ctx, tx, k); err != nil {
			return Key{}, err
		}
		return k, s.audit(ctx, tx, by, "api_key.rotated", "api_key", k.ID, nil, map[string]any{"overlap_seconds": int(in.Overlap.Seconds())})
	})
	return k, text, err
}

// Revoke ends a key; a repetition changes nothing.
func (s *Service) Revoke(ctx context.Context, l *db.Lease, id uuid.UUID, by rbac.Actor, m *db.Mark[Key]) (Key, error) {
	return db.InTenantOnce(ctx, l, m, func(tx db.TenantTx) (Key, error) {
		k, err := find(ctx, tx, id, true)
		if err != nil || k.RevokedAt != nil {
			return k, err
		}
		now := s.now()
		k.RevokedAt, k.PreviousExpiresAt, k.Version = &now, nil, k.Version+1
		if err := revoke(ctx, tx, k); err != nil {
			return Key{}, err
		}
		return k, s.audit(ctx, tx, by, "api_key.revoked", "api_key", k.ID, nil, nil)
	})
}
