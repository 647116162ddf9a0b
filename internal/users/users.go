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
	"tenantry/internal/lists"
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
	// Roles is nil when they were not loaded.
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

// List answers people in the order they were created, if no other is asked.
func (s *Service) List(ctx context.Context, l *db.Lease, in lists.Request) (lists.Result[User], error) {
	q, err := List.Parse(in, l.Key)
	if err != nil {
		return lists.Result[User]{}, err
	}
	return db.InTenantRead(ctx, l, func(tx db.TenantTx) (lists.Result[User], error) { return list(ctx, tx, q) })
}
