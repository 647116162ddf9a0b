package recovery

import (
	"context"

	"tenantry/internal/attempts"
	"tenantry/internal/audit"
	"tenantry/internal/auth"
	"tenantry/internal/db"
	"tenantry/internal/ids"
	"tenantry/internal/onetime"
	"tenantry/internal/outbox"
	"tenantry/internal/rbac"
	"tenantry/internal/subjects"
)

// Asked is the empty result of a change that now waits for its mail.
type Asked struct{}

// ChangeEmail asks for another address. Whatever the address, the answer is
// the same: what its mailbox gets, the worker decides. A change that waited
// before is cancelled.
func (s *Service) ChangeEmail(ctx context.Context, l *db.Lease, by rbac.Actor, email string, mark *db.Mark[Asked]) error {
	if err := auth.CheckEmail(email); err != nil {
		return err
	}
	_, err := db.InTenantOnce(ctx, l, mark, func(tx db.TenantTx) (Asked, error) {
		now := s.Now()
		a, err := self(ctx, tx, by.User)
		if err != nil {
			return Asked{}, err
		}
		if err := by.StillIn(ctx, tx); err != nil {
			return Asked{}, err
		}
		if err := cancelChanges(ctx, tx, a.id, now); err != nil {
			return Asked{}, err
		}
		k, err := subjects.Key(ctx, tx, a.subjectKey)
		if err != nil {
			return Asked{}, err
		}
		c := change{id: ids.New(), user: a.id, at: now, expires: now.Add(changeTTL)}
		if c.oldEmail, err = k.Seal(a.email, sealOld); err != nil {
			return Asked{}, err
		}
		if c.newEmail, err = k.Seal(email, sealNew); err != nil {
			return Asked{}, err
		}
		if err := insertChange(ctx, tx, c); err != nil {
			return Asked{}, err
		}
		if err := outbox.Mail(ctx, tx, now, outbox.MailIntent{Template: MailEmailChange, Tenant: l.Tenant, SubjectID: c.id}); err != nil {
			return Asked{}, err
		}
		return Asked{}, audit.Write(ctx, tx, now, audit.Entry{
			Actor: by.Actor, Action: "user.email_change_requested", TargetKind: "user", TargetID: a.id, TenantID: l.Tenant, RequestID: by.RequestID,
			After: map[string]any{"change_id": c.id},
		})
	})
	s.ring(ctx, l, err)
	return err
}

// ConfirmEmailChange gives the account its new address. Its sessions go on;
// the old address gets a mail with a link that takes it back.
func (s *Service) ConfirmEmailChange(ctx context.Context, l *db.Lease, token string, m auth.Meta) error {
	_, err := db.InTenant(ctx, l, func(tx db.TenantTx) (struct{}, error) {
		now := s.Now()
		a, id, err := s.redeem(ctx, tx, onetime.EmailChange, token)
		if err != nil {
			return struct{}{}, err
		}
		c, err := findChange(ctx, tx, id)
		if err != nil {
			return struct{}{}, err
		}
		if !c.waits(now) {
			return struct{}{}, onetime.ErrInvalid()
		}
		email, err := open(ctx, tx, a, c.newEmail, sealNew)
		if err != nil {
			return struct{}{}, err
		}
		if err := s.move(ctx, tx, a, email); err != nil {
			return struct{}{}, err
		}
		if err := confirmed(ctx, tx, c.id, now); err != nil {
			return struct{}{}, err
		}
		if err := outbox.Mail(ctx, tx, now, outbox.MailIntent{Template: MailEmailChanged, Tenant: l.Tenant, SubjectID: c.id}); err != nil {
			return struct{}{}, err
		}
		return struct{}{}, audit.Write(ctx, tx, now, entry(tx, a.id, "user.email_changed", m, map[string]any{"change_id": c.id}))
	})
	s.ring(ctx, l, err)
	return err
}

// move changes the address; links that wait at the old mailbox end. A mail to
// the new one was opened, so what strangers guessed there before is forgotten.
func (s *Service) move(ctx context.Context, tx db.TenantTx, a account, email string) error {
	now := s.Now()
	if err := auth.MoveAddress(ctx, tx, a.id, email); err != nil {
		return err
	}
	if err := endLinks(ctx, tx, a, now); err != nil {
		return err
	}
	if err := attempts.Clear(ctx, tx, attempts.Stranger, tx.DataKey().AddressHash(email), now); err != nil {
		return err
	}
	return touch(ctx, tx, a.id, now)
}

// UndoEmailChange takes a change of address back, and every later one with it,
// and locks the account down: whoever changed it was let in.
func (s *Service) UndoEmailChange(ctx context.Context, l *db.Lease, token string, m auth.Meta) error {
	_, err := db.InTenant(ctx, l, func(tx db.TenantTx) (struct{}, error) {
		now := s.Now()
		a, id, err := s.redeem(ctx, tx, onetime.EmailUndo, token)
		if err != nil {
			return struct{}{}, err
		}
		c, err := findChange(ctx, tx, id)
		if err != nil {
			return struct{}{}, err
		}
		if !c.undoable(now) {
			return struct{}{}, onetime.ErrInvalid()
		}
		email, err := open(ctx, tx, a, c.oldEmail, sealOld)
		if err != nil {
			return struct{}{}, err
		}
		if err := s.move(ctx, tx, a, email); err != nil {
			return struct{}{}, err
		}
		if err := undone(ctx, tx, c, now); err != nil {
			return struct{}{}, err
		}
		// Notices went to whoever had changed the address.
		if err := onetime.Void(ctx, tx, onetime.NotMe, a.id, now); err != nil {
			return struct{}{}, err
		}
		ended, err := s.lockDown(ctx, tx, a)
		if err != nil {
			return struct{}{}, err
		}
		ended["change_id"] = c.id
		return struct{}{}, audit.Write(ctx, tx, now, entry(tx, a.id, "user.email_change_undone", m, ended))
	})
	s.ring(ctx, l, err)
	return err
}

// open reads what is sealed under an account's key.
func open(ctx context.Context, tx db.TenantTx, a account, sealed []byte, purpose string) (string, error) {
	k, err := subjects.Key(ctx, tx, a.subjectKey)
	if err != nil {
		return "", err
	}
	return k.Open(sealed, purpose)
}
