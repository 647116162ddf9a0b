package apikeys

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tenantry/internal/apperr"
	"tenantry/internal/auth"
	"tenantry/internal/db"
	"tenantry/internal/ids"
)

// usedEvery is how exactly the last use is kept: one write a minute and key.
const usedEvery = time.Minute

// principalSQL is the one query of a request with a key: the key, its owner if
// there still is one, and what the owner's roles allow now.
const principalSQL = `
	SELECT k.user_id, k.service_account_id, k.secret_hash, k.previous_hash, k.previous_expires_at, k.scopes, k.allowed_networks, k.last_used_at,
		coalesce(u.name, s.name), coalesce(u.email, ''), coalesce(u.version, s.version), coalesce(u.login_count, 0), u.last_login_at,
		coalesce(u.created_at, s.created_at), coalesce(u.updated_at, s.updated_at), coalesce(u.locale, ''),
		coalesce((SELECT json_agg(json_build_object('id', r.id, 'name', r.name, 'permissions', r.permissions) ORDER BY r.name) FROM roles r WHERE r.id IN (
			SELECT role_id FROM user_roles WHERE user_id = k.user_id
			UNION ALL SELECT role_id FROM service_account_roles WHERE service_account_id = k.service_account_id)), '[]')
	FROM api_keys k
	LEFT JOIN users u ON u.id = k.user_id AND u.deleted_at IS NULL
	LEFT JOIN service_accounts s ON s.id = k.service_account_id AND s.deleted_at IS NULL
	WHERE k.id = $1 AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > $2) AND (u.id IS NOT NULL OR s.id IS NOT NULL)`

// record is what the query answers beside the principal.
type record struct {
	user, account              *uuid.UUID
	hash, previous             []byte
	previousExpires, lastUsed  *time.Time
	scopes, networks, ownRoles []byte
}

// Authenticate answers for whom a key acts, with what it may do now.
func (s *Service) Authenticate(ctx context.Context, l *db.Lease, p Presented, ip netip.Addr) (auth.Principal, error) {
	var r record
	out, now := auth.Principal{APIKey: p.ID}, s.now()
	err := l.Database().QueryRow(ctx, principalSQL, p.ID, now).Scan(&r.user, &r.account, &r.hash, &r.previous, &r.previousExpires,
		&r.scopes, &r.networks, &r.lastUsed, &out.Name, &out.Email, &out.Version, &out.LoginCount, &out.LastLoginAt, &out.CreatedAt,
		&out.UpdatedAt, &out.Locale, &r.ownRoles)
	if errors.Is(err, pgx.ErrNoRows) {
		return auth.Principal{}, ErrKey()
	}
	if err != nil {
		return auth.Principal{}, db.Classify(fmt.Errorf("load API key: %w", err), "TENANT_UNREACHABLE")
	}
	if !r.opens(p, now) {
		return auth.Principal{}, ErrKey()
	}
	if err := r.allows(ip); err != nil {
		return auth.Principal{}, err
	}
	if r.user != nil {
		out.User = ids.User(*r.user)
	} else {
		out.ServiceAccount = *r.account
	}
	if err := r.narrow(&out); err != nil {
		return auth.Principal{}, err
	}
	return out, r.touch(ctx, l, p.ID, now)
}

// ErrKey is the one refusal of a key that does not open anything here.
func ErrKey() error {
	return apperr.New(apperr.Unauthenticated, "CREDENTIAL_INVALID", "The API key is not valid here.")
}

// opens compares both hashes always: which one matched takes no other time.
func (r record) opens(p Presented, now time.Time) bool {
	current := subtle.ConstantTimeCompare(p.hash[:], r.hash) == 1
	before := subtle.ConstantTimeCompare(p.hash[:], r.previous) == 1
	return current || (before && r.previousExpires != nil && now.Before(*r.previousExpires))
}

// allows refuses an address outside the key's networks. Whoever gets here has
// the secret, so saying why helps only them.
func (r record) allows(ip netip.Addr) error {
	var networks []string
	if err := json.Unmarshal(r.networks, &networks); err != nil {
		return fmt.Errorf("networks of API key: %w", err)
	}
	if len(networks) == 0 {
		return nil
	}
	for _, n := range networks {
		if p, err := netip.ParsePrefix(n); err == nil && ip.IsValid() && p.Contains(ip.Unmap()) {
			return nil
		}
	}
	return apperr.New(apperr.Forbidden, "ADDRESS_NOT_ALLOWED", "This key may not be used from your address; its allowed_networks say from where.")
}

// narrow leaves of the owner's permissions what the scopes name.
func (r record) narrow(p *auth.Principal) error {
	var scopes []string
	if err := json.Unmarshal(r.scopes, &scopes); err != nil {
		return fmt.Errorf("scopes of API key: %w", err)
	}
	if err := p.ReadRoles(r.ownRoles); err != nil {
		return err
	}
	p.Permissions = slices.DeleteFunc(p.Permissions, func(perm string) bool { return !slices.Contains(scopes, perm) })
	return nil
}

func (r record) touch(ctx context.Context, l *db.Lease, id uuid.UUID, now time.Time) error {
	if r.lastUsed != nil && now.Sub(*r.lastUsed) < usedEvery {
		return nil
	}
	_, err := l.Database().Exec(ctx, `UPDATE api_keys SET last_used_at = $2 WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < $2)`, id, now)
	return db.Classify(err, "TENANT_UNREACHABLE")
}
