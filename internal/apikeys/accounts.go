package apikeys

import (
	"context"
	"time"

	"github.com/google/uuid"

	"tenantry/internal/apperr"
	"tenantry/internal/db"
	"tenantry/internal/ids"
	"tenantry/internal/rbac"
)

// Account is a service account: a principal that is no person.
type Account struct {
	ID          uuid.UUID
	Name        string
	Description string
	Roles       []uuid.UUID
	CreatedAt   time.Time
	UpdatedAt   time.Time
	Version     int64
}

// AccountInput asks for a service account.
type AccountInput struct {
	Name        string
	Description string
	Roles       []uuid.UUID
}

// AccountUpdate changes a service account; nil leaves a part as it is.
type AccountUpdate struct {
	ID          uuid.UUID
	Version     int64
	Name        *string
	Description *string
	Roles       *[]uuid.UUID
}

// CreateAccount makes a service account. Its roles are never above whoever
// grants them.
func (s *Service) CreateAccount(ctx context.Context, l *db.Lease, in AccountInput, by rbac.Actor, m *db.Mark[Account]) (Account, error) {
	return db.InTenantOnce(ctx, l, m, func(tx db.TenantTx) (Account, error) {
		now := s.now()
		if err := grantable(ctx, tx, in.Roles, by); err != nil {
			return Account{}, err
		}
		a := Account{ID: ids.New(), Name: in.Name, Description: in.Description, Roles: in.Roles, CreatedAt: now, UpdatedAt: now, Version: 1}
		if err := insertAccount(ctx, tx, a); err != nil {
			return Account{}, err
		}
		return a, s.audit(ctx, tx, by, "service_account.created", "service_account", a.ID, nil, map[string]any{"name": a.Name, "role_ids": a.Roles})
	})
}

func grantable(ctx context.Context, tx db.TenantTx, roles []uuid.UUID, by rbac.Actor) error {
	permissions, err := rbac.PermissionsOf(ctx, tx, roles)
	if err != nil {
		return err
	}
	return by.CheckGrant(permissions)
}

// GetAccount answers a service account.
func (s *Service) GetAccount(ctx context.Context, l *db.Lease, id uuid.UUID) (Account, error) {
	return db.InTenantRead(ctx, l, func(tx db.TenantTx) (Account, error) { return findAccount(ctx, tx, id, false) })
}

// UpdateAccount changes a service account. Whoever changes one must hold all
// that it may, before and after.
func (s *Service) UpdateAccount(ctx context.Context, l *db.Lease, in AccountUpdate, by rbac.Actor, m *db.Mark[Account]) (Account, error) {
	return db.InTenantOnce(ctx, l, m, func(tx db.TenantTx) (Account, error) {
		a, err := s.lockAccount(ctx, tx, in.ID, in.Version, by)
		if err != nil {
			return Account{}, err
		}
		before := map[string]any{"name": a.Name, "role_ids": a.Roles}
		if in.Name != nil {
			a.Name = *in.Name
		}
		if in.Description != nil {
			a.Description = *in.Description
		}
		if in.Roles != nil {
			if err := grantable(ctx, tx, *in.Roles, by); err != nil {
				return Account{}, err
			}
			a.Roles = *in.Roles
		}
		a.Version, a.UpdatedAt = a.Version+1, s.now()
		if err := updateAccount(ctx, tx, a, in.Roles != nil); err != nil {
			return Account{}, err
		}
		return a, s.audit(ctx, tx, by, "service_account.updated", "service_account", a.ID, before, map[string]any{"name": a.Name, "role_ids": a.Roles})
	})
}

func (s *Service) lockAccount(ctx context.Context, tx db.TenantTx, id uuid.UUID, version int64, by rbac.Actor) (Account, error) {
	a, err := findAccount(ctx, tx, id, true)
	if err != nil {
		return Account{}, err
	}
	if err := grantable(ctx, tx, a.Roles, by); err != nil {
		return Account{}, err
	}
	return a, apperr.CheckVersion(version, a.Version)
}

// DeleteAccount ends a service account; its keys end with it.
func (s *Service) DeleteAccount(ctx context.Context, l *db.Lease, id uuid.UUID, version int64, by rbac.Actor, m *db.Mark[Account]) (Account, error) {
	return db.InTenantOnce(ctx, l, m, func(tx db.TenantTx) (Account, error) {
		a, err := s.lockAccount(ctx, tx, id, version, by)
		if err != nil {
			return Account{}, err
		}
		a.Version, a.UpdatedAt, a.Roles = a.Version+1, s.now(), nil
		if err := deleteAccount(ctx, tx, a); err != nil {
			return Account{}, err
		}
		return a, s.audit(ctx, tx, by, "service_account.deleted", "service_account", a.ID, nil, nil)
	})
}
