package invitations

import (
	"context"
	"time"

	"github.com/google/uuid"

	"tenantry/internal/apperr"
	"tenantry/internal/db"
	"tenantry/internal/onetime"
	"tenantry/internal/outbox"
	"tenantry/internal/rbac"
)

// resendEvery is the least time between two mails of an invitation.
const resendEvery = time.Minute

// Resend sends a new link and lets the old ones die.
func (s *Service) Resend(ctx context.Context, l *db.Lease, by rbac.Actor, id uuid.UUID, mark *db.Mark[Invitation]) (Invitation, error) {
	inv, err := db.InTenantOnce(ctx, l, mark, func(tx db.TenantTx) (Invitation, error) {
		now := s.now()
		if err := outbox.CancelMails(ctx, tx, MailInvitation, id, now); err != nil {
			return Invitation{}, err
		}
		if err := onetime.Void(ctx, tx, onetime.Invitation, id, now); err != nil {
			return Invitation{}, err
		}
		r, err := lockOpen(ctx, tx, by, id)
		if err != nil {
			return Invitation{}, err
		}
		if err := entitled(ctx, tx, r); err != nil {
			return Invitation{}, notOpen("Its inviter may not give these roles any more. Revoke it and invite again.", err)
		}
		if sent := r.expires.Add(-TTL); now.Before(sent.Add(resendEvery)) {
			return Invitation{}, apperr.New(apperr.RateLimited, "RATE_LIMITED", "This invitation was sent less than a minute ago.").
				WithRetryAfter(sent.Add(resendEvery).Sub(now))
		}
		r.expires, r.version = now.Add(TTL), r.version+1
		if err := setExpiry(ctx, tx, id, r.expires); err != nil {
			return Invitation{}, err
		}
		if err := send(ctx, tx, r, now); err != nil {
			return Invitation{}, err
		}
		if err := write(ctx, tx, now, by, "invitation.resent", id, map[string]any{"expires_at": r.expires}); err != nil {
			return Invitation{}, err
		}
		return s.show(ctx, tx, r)
	})
	s.ring(ctx, l, err)
	return inv, err
}

// Revoke ends an invitation: its link is dead from the commit on.
func (s *Service) Revoke(ctx context.Context, l *db.Lease, by rbac.Actor, id uuid.UUID, mark *db.Mark[Invitation]) (Invitation, error) {
	return db.InTenantOnce(ctx, l, mark, func(tx db.TenantTx) (Invitation, error) {
		r, err := lockOpen(ctx, tx, by, id)
		if err != nil {
			return Invitation{}, err
		}
		if r.inviter == nil {
			return Invitation{}, apperr.New(apperr.Precondition, "LAST_OWNER", "This invitation stands for the owner until it is accepted. Only an operator can replace it.")
		}
		now := s.now()
		r.revoked, r.version = &now, r.version+1
		if err := setRevoked(ctx, tx, id, now); err != nil {
			return Invitation{}, err
		}
		if err := write(ctx, tx, now, by, "invitation.revoked", id, nil); err != nil {
			return Invitation{}, err
		}
		return s.show(ctx, tx, r)
	})
}

// lockOpen answers an invitation that has not ended and whose roles the actor
// could give.
func lockOpen(ctx context.Context, tx db.TenantTx, by rbac.Actor, id uuid.UUID) (invitationRow, error) {
	r, err := load(ctx, tx, id, true)
	if err != nil {
		return invitationRow{}, err
	}
	if r.ended() {
		return invitationRow{}, notOpen("It has been accepted or revoked.", nil)
	}
	roles, err := rbac.ByID(ctx, tx, "role_ids", r.roles)
	if err != nil {
		return invitationRow{}, err
	}
	return r, by.CheckGrant(rbac.Union(roles))
}

func notOpen(why string, cause error) error {
	// A cause that is no refusal is a fault of ours.
	if cause != nil && apperr.KindOf(cause) == apperr.Internal {
		return cause
	}
	return apperr.New(apperr.Precondition, "INVITATION_NOT_OPEN", "This invitation is not open. "+why).WithCause(cause)
}

// valid reads an invitation that may be accepted at this moment: it is open,
// and its inviter could still give what it gives.
func valid(ctx context.Context, tx db.TenantTx, id uuid.UUID, now time.Time, lock bool) (invitationRow, error) {
	r, err := open(ctx, tx, id, now, lock)
	if err != nil {
		return invitationRow{}, err
	}
	return r, entitled(ctx, tx, r)
}

// entitled refuses an invitation whose inviter is gone, may not invite any
// more, or does not hold what the roles allow now.
func entitled(ctx context.Context, tx db.TenantTx, r invitationRow) error {
	if r.inviter == nil {
		return nil
	}
	held, err := rbac.Holding(ctx, tx, *r.inviter)
	if err != nil {
		return err
	}
	roles, err := rbac.ByID(ctx, tx, "role_ids", r.roles)
	if err != nil {
		return err
	}
	inviter := rbac.Actor{Permissions: held}
	if !inviter.Can("users.invite") || inviter.CheckGrant(rbac.Union(roles)) != nil {
		return onetime.ErrInvalid()
	}
	return nil
}
