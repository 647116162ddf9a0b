// Package users manages the people of a tenant: who they are, which roles
// they hold, and the end of their accounts.
//
// Deletion is soft (U5): the row stays, with its address taken and its roles,
// until it is purged; sessions and API keys end in the same transaction. A
// tenant always keeps one active owner (U8).
package users

import (
	"context"
	"time"

	"github.com/google/uuid"

	"tenantry/internal/clock"
	"tenantry/internal/db"
	"tenantry/internal/ids"
	"tenantry/internal/page"
)

// User is a person as lists show them.
type User struct {
	ID          ids.User
	Name        string
	Email       string
	CreatedAt   time.Time
	UpdatedAt   time.Time
	DeletedAt   *time.Time
	LastLoginAt *time.Time
	LoginCount  int64
	Version     int64
	Locale      string
	// Roles are there when they were asked for.
	Roles []Role
}

// Role is a role a person holds.
type Role struct {
	ID   uuid.UUID
	Name string
}

// Service manages people.
type Service struct{ now clock.Clock }

// New makes the service.
func New(now clock.Clock) *Service { return &Service{now: now} }

// List answers people in the order they were created.
func (s *Service) List(ctx context.Context, l *db.Lease, p page.Request) (page.Result[User], error) {
	return db.InTenantRead(ctx, l, func(tx db.TenantTx) (page.Result[User], error) {
		return page.Walk(p, l.Key, "users", func(after *page.Position, limit int) ([]User, error) {
			return list(ctx, tx, after, limit)
		}, func(u User) page.Position { return page.Position{CreatedAt: u.CreatedAt, ID: u.ID.UUID()} })
	})
}
