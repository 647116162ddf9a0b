// Package auth makes accounts and sessions: registration, verification,
// login, and the one query that says on every request who is calling.
//
// No answer of it tells whether an account exists: unknown, unverified and
// wrong cost the same work and read the same.
package auth

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/google/uuid"

	"tenantry/internal/clock"
	"tenantry/internal/db"
	"tenantry/internal/ids"
	"tenantry/internal/outbox"
	"tenantry/internal/tenants"
)

// Meta is what a request brings along for the record.
type Meta struct {
	RequestID string
	IP        netip.Addr
	UserAgent string
	// DeviceToken is what an earlier login gave the device; may be empty.
	DeviceToken string
}

// Principal is who is behind a request, as the database knows them now: a
// person by a session, or a person or service account by an API key.
type Principal struct {
	// User is zero for a service account.
	User ids.User
	// Session is zero for an API key.
	Session ids.Session
	// APIKey and ServiceAccount are zero for a session.
	APIKey         uuid.UUID
	ServiceAccount uuid.UUID

	Name   string
	Email  string
	Locale string
	// Roles are names, RoleIDs the same roles.
	Roles       []string
	RoleIDs     []uuid.UUID
	Permissions []string
	CreatedAt   time.Time
	UpdatedAt   time.Time
	LastLoginAt *time.Time
	LoginCount  int64
	Version     int64
	AuthTime    time.Time
	AAL         int
	// SecondFactor: the account can reach TwoFactors.
	SecondFactor bool
}

// Can reports whether the principal holds a permission.
func (p Principal) Can(permission string) bool { return slices.Contains(p.Permissions, permission) }

// Deps is what the service uses.
type Deps struct {
	Now    clock.Clock
	Hasher *Hasher
	URLs   tenants.URLs
	Bell   *outbox.Bell
}

// Service makes accounts and sessions.
type Service struct {
	now    clock.Clock
	hasher *Hasher
	tokens *tokens
	bell   *outbox.Bell
}

// New makes the service.
func New(d Deps) *Service {
	return &Service{now: d.Now, hasher: d.Hasher, tokens: newTokens(d.URLs, d.Now), bell: d.Bell}
}

// VerifyAccess answers the claims of an access token without any I/O.
func (s *Service) VerifyAccess(e tenants.Entry, token string) (Claims, error) {
	return s.tokens.verify(e, token)
}

// LoadPrincipal answers who is calling in one query, with no cache: a revoked
// session, a changed role and a deleted account act on the next request.
func (s *Service) LoadPrincipal(ctx context.Context, l *db.Lease, c Claims) (Principal, error) {
	return loadPrincipal(ctx, l, c, s.now())
}
