package users

import (
	"context"

	"tenantry/internal/apikeys"
	"tenantry/internal/apperr"
	"tenantry/internal/auth"
	"tenantry/internal/db"
	"tenantry/internal/ids"
	"tenantry/internal/rbac"
	"tenantry/internal/recovery"
)

// Delete ends an account: from the commit on, no session, token or key of it
// opens anything.
func (s *Service) Delete(ctx context.Context, l *db.Lease, by rbac.Actor, id ids.User, version int64, mark *db.Mark[User]) (User, error) {
	return db.InTenantOnce(ctx, l, mark, func(tx db.TenantTx) (User, error) {
		if err := rbac.LockGrants(ctx, tx); err != nil {
			return User{}, err
		}
		u, held, err := lockActive(ctx, tx, id, version)
		if err != nil {
			return User{}, err
		}
		if err := by.CheckGrant(rbac.Union(held)); err != nil {
			return User{}, err
		}
		if holdsOwner(held) {
			if err := checkOtherOwner(ctx, tx, id); err != nil {
				return User{}, err
			}
		}
		now := s.now()
		if err := recovery.EndPending(ctx, tx, id, now); err != nil {
			return User{}, err
		}
		u.touch(now)
		u.DeletedAt = &now
		if err := saveDeleted(ctx, tx, u); err != nil {
			return User{}, err
		}
		sessions, err := auth.EndSessions(ctx, tx, id, ids.Session{}, now)
		if err != nil {
			return User{}, err
		}
		keys, err := apikeys.EndKeys(ctx, tx, id, now)
		if err != nil {
			return User{}, err
		}
		return u.holding(held), write(ctx, tx, now, by, "user.deleted", id, nil, map[string]any{"sessions_revoked": sessions, "api_keys_revoked": keys})
	})
}

// Restore brings a deleted account back, with its roles and password and
// without sessions and keys.
func (s *Service) Restore(ctx context.Context, l *db.Lease, by rbac.Actor, id ids.User, mark *db.Mark[User]) (User, error) {
	return db.InTenantOnce(ctx, l, mark, func(tx db.TenantTx) (User, error) {
		u, err := load(ctx, tx, id, true)
		if err != nil {
			return User{}, err
		}
		if u.DeletedAt == nil {
			return User{}, apperr.New(apperr.Precondition, "USER_NOT_DELETED", "This account is not deleted.")
		}
		held, err := rbac.OfUser(ctx, tx, id.UUID())
		if err != nil {
			return User{}, err
		}
		if err := by.CheckGrant(rbac.Union(held)); err != nil {
			return User{}, err
		}
		if err := auth.CheckLimit(ctx, tx); err != nil {
			return User{}, err
		}
		u.touch(s.now())
		u.DeletedAt = nil
		if err := saveRestored(ctx, tx, u); err != nil {
			return User{}, err
		}
		return u.holding(held), write(ctx, tx, u.UpdatedAt, by, "user.restored", id, nil, map[string]any{"roles": names(held)})
	})
}
