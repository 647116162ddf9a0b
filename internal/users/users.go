// Package users reads the people of a tenant.
package users

import (
	"context"
	"time"

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
	LastLoginAt *time.Time
	LoginCount  int64
	Version     int64
}

// Service reads people.
type Service struct{}

// New makes the service.
func New() *Service { return &Service{} }

// List answers people in the order they were created.
func (s *Service) List(ctx context.Context, l *db.Lease, p page.Request) (page.Result[User], error) {
	return db.InTenantRead(ctx, l, func(tx db.TenantTx) (page.Result[User], error) {
		return page.Walk(p, l.Key, "users", func(after *page.Position, limit int) ([]User, error) {
			return list(ctx, tx, after, limit)
		}, func(u User) page.Position { return page.Position{CreatedAt: u.CreatedAt, ID: u.ID.UUID()} })
	})
}
