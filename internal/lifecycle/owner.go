package lifecycle

import (
	"context"

	"tenantry/internal/db"
	"tenantry/internal/invitations"
	"tenantry/internal/operations"
)

// InviteOwner writes the invitation in the tenant's database, then wipes the
// address and ends the operation. The invitation bears the operation's id, so
// a run that died between the two writes no second one.
func (s *Service) InviteOwner(ctx context.Context, c Call) error {
	type wish struct {
		email string
		ended bool
	}
	w, err := db.InCentral(ctx, s.central, func(tx db.CentralTx) (w wish, err error) {
		op, err := find(ctx, tx, c)
		if err != nil || op.Ended() {
			return wish{ended: true}, err
		}
		row, err := readTenant(ctx, tx, c.Tenant)
		if err != nil {
			return w, err
		}
		w.email, err = ownerEmail(s.central.Keyring(), row)
		return w, err
	})
	if err != nil || w.ended {
		return err
	}
	lease, err := s.router.Lease(ctx, c.Tenant)
	if err != nil {
		return err
	}
	_, err = db.InTenant(ctx, lease, func(tx db.TenantTx) (struct{}, error) {
		return struct{}{}, invitations.InviteOwnerAgain(ctx, tx, c.Operation.UUID(), w.email, s.now())
	})
	if err != nil {
		return err
	}
	s.bell.Ring(ctx, c.Tenant)
	return s.concludeInvitation(ctx, c)
}

func (s *Service) concludeInvitation(ctx context.Context, c Call) error {
	_, err := db.InCentral(ctx, s.central, func(tx db.CentralTx) (struct{}, error) {
		op, err := lockCall(ctx, tx, c)
		// Ended: the address in the row, if there is one, is another call's.
		if err != nil || op.Ended() {
			return struct{}{}, err
		}
		if err := wipeOwnerEmail(ctx, tx, c.Tenant); err != nil {
			return struct{}{}, err
		}
		return struct{}{}, s.end(ctx, tx, op, operations.Succeeded, "", "tenant.owner_invited", map[string]any{})
	})
	return err
}
