package factors

import (
	"context"

	"tenantry/internal/apperr"
	"tenantry/internal/audit"
	"tenantry/internal/auth"
	"tenantry/internal/db"
	"tenantry/internal/ids"
	"tenantry/internal/notices"
)

// Disable takes a person's factor away, as they ask. A short password stays
// behind no factor at all, so it must be changed before (A10).
func (s *Service) Disable(ctx context.Context, l *db.Lease, user ids.User, m auth.Meta) error {
	_, err := db.InTenant(ctx, l, func(tx db.TenantTx) (struct{}, error) {
		a, err := lockAccount(ctx, tx, user.UUID())
		if err != nil {
			return struct{}{}, err
		}
		if err := mayDisable(ctx, tx, a); err != nil {
			return struct{}{}, err
		}
		if err := remove(ctx, tx, a); err != nil {
			return struct{}{}, err
		}
		if err := s.clear(ctx, tx, a.id); err != nil {
			return struct{}{}, err
		}
		if err := notices.Write(ctx, tx, s.now(), notices.FactorRemoved, a.id); err != nil {
			return struct{}{}, err
		}
		return struct{}{}, s.audit(ctx, tx, audit.User(user), "factor.removed", a.id, m.RequestID, nil)
	})
	s.ring(ctx, l, err)
	return err
}

func mayDisable(ctx context.Context, tx db.TenantTx, a account) error {
	if !a.secondFactor {
		return errMissing()
	}
	if a.passwordShort {
		return apperr.Newf(apperr.Precondition, "FACTOR_PASSWORD_SHORT",
			"The password is good only beside a second factor. Change it for one of at least %d characters first.", auth.MinPassword)
	}
	required, _, err := auth.FactorRequired(ctx, tx, a.id)
	if err == nil && required {
		err = apperr.New(apperr.Precondition, "FACTOR_REQUIRED", "The organization, or one of your roles, requires the second factor.")
	}
	return err
}

// RegenerateCodes makes ten codes in the place of those before.
func (s *Service) RegenerateCodes(ctx context.Context, l *db.Lease, user ids.User, m auth.Meta) ([]string, error) {
	// Whoever has no factor costs no hashes.
	have, err := db.InTenantRead(ctx, l, func(tx db.TenantTx) (Status, error) { return status(ctx, tx, user.UUID()) })
	if err == nil && have.EnabledAt == nil {
		err = errMissing()
	}
	if err != nil {
		return nil, err
	}
	codes, err := s.makeCodes(ctx)
	if err != nil {
		return nil, err
	}
	_, err = db.InTenant(ctx, l, func(tx db.TenantTx) (struct{}, error) {
		a, err := lockAccount(ctx, tx, user.UUID())
		if err != nil {
			return struct{}{}, err
		}
		if !a.secondFactor {
			return struct{}{}, errMissing()
		}
		if err := replaceCodes(ctx, tx, a.id, codes, s.now()); err != nil {
			return struct{}{}, err
		}
		if err := notices.Write(ctx, tx, s.now(), notices.BackupCodesMade, a.id); err != nil {
			return struct{}{}, err
		}
		return struct{}{}, s.audit(ctx, tx, audit.User(user), "backup_codes.made", a.id, m.RequestID, nil)
	})
	s.ring(ctx, l, err)
	if err != nil {
		return nil, err
	}
	return shown(codes), nil
}
