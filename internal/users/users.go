// Package users reads the people of a tenant.
package users

import (
	"context"
	"fmt"
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
	size, err := p.Size()
	if err != nil {
		return page.Result[User]{}, err
	}
	after, err := p.After(l.Key, "users")
	if err != nil {
		return page.Result[User]{}, err
	}
	return db.InTenantRead(ctx, l, func(tx db.TenantTx) (page.Result[User], error) {
		rows, err := list(ctx, tx, after, size+1)
		if err != nil {
			return page.Result[User]{}, fmt.Errorf("list users: %w", err)
		}
		return page.Cut(rows, size, l.Key, "users", func(u User) page.Position {
			return page.Position{CreatedAt: u.CreatedAt, ID: u.ID.UUID()}
		})
	})
}
