package factors

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"tenantry/ent/schema/tenant"
	"tenantry/ent/tenantdb"
	"tenantry/ent/tenantdb/factorreset"
	"tenantry/ent/tenantdb/user"
	"tenantry/internal/apperr"
	"tenantry/internal/auth"
	"tenantry/internal/db"
	"tenantry/internal/ids"
	"tenantry/internal/lists"
	"tenantry/internal/rbac"
)

// Resets is what the list of resets may show, filter and sort by.
var Resets = lists.MustDerive(tenant.FactorReset{}, lists.Options{Name: "factor_resets", Table: "factor_resets", Sort: "-created_at"})

// ListResets answers requests, newest first, if no other order is asked.
func (s *Service) ListResets(ctx context.Context, l *db.Lease, in lists.Request) (lists.Result[Reset], error) {
	q, err := Resets.Parse(in, l.Key)
	if err != nil {
		return lists.Result[Reset]{}, err
	}
	return db.InTenantRead(ctx, l, func(tx db.TenantTx) (lists.Result[Reset], error) { return lists.Run(ctx, tx.SQL(), q, placeReset) })
}

func placeReset(r *Reset, field string) any {
	switch field {
	case "id":
		return &r.ID
	case "user_id":
		return &r.User
	case "requester_id":
		return &r.Requester
	case "confirmer_id":
		return &r.Confirmer
	case "by_operator":
		return &r.ByOperator
	case "created_at":
		return &r.CreatedAt
	case "expires_at":
		return &r.ExpiresAt
	case "confirmed_at":
		return &r.ConfirmedAt
	case "cancelled_at":
		return &r.CancelledAt
	}
	panic("factors: no place for " + field)
}

// lockTarget answers the account that a reset is about.
func lockTarget(ctx context.Context, tx db.TenantTx, id uuid.UUID) (account, error) {
	u, err := tx.Ent().User.Query().Where(user.ID(id)).ForUpdate().Only(ctx)
	if tenantdb.IsNotFound(err) {
		return account{}, apperr.New(apperr.NotFound, "USER_NOT_FOUND", "user_id: there is no such account here.")
	}
	if err != nil {
		return account{}, fmt.Errorf("lock account: %w", err)
	}
	if u.DeletedAt != nil {
		return account{}, apperr.New(apperr.Precondition, "USER_DELETED", "This account is deleted. Restore it first.")
	}
	return fromUser(u), nil
}

// openReset answers the request that waits for an account; false when none does.
func openReset(ctx context.Context, tx db.TenantTx, id uuid.UUID, now time.Time) (Reset, bool, error) {
	r, err := tx.Ent().FactorReset.Query().
		Where(factorreset.UserID(id), factorreset.ConfirmedAtIsNil(), factorreset.CancelledAtIsNil(), factorreset.ExpiresAtGT(now)).Only(ctx)
	if tenantdb.IsNotFound(err) {
		return Reset{}, false, nil
	}
	if err != nil {
		return Reset{}, false, fmt.Errorf("look for factor reset: %w", err)
	}
	return fromReset(r), true, nil
}

func insertReset(ctx context.Context, tx db.TenantTx, r Reset) error {
	err := tx.Ent().FactorReset.Create().SetID(r.ID).SetUserID(r.User).SetRequesterID(r.Requester).SetCreatedAt(r.CreatedAt).SetExpiresAt(r.ExpiresAt).Exec(ctx)
	if err != nil {
		return fmt.Errorf("insert factor reset: %w", err)
	}
	return nil
}

func findReset(ctx context.Context, tx db.TenantTx, id uuid.UUID, lock bool) (Reset, error) {
	q := tx.Ent().FactorReset.Query().Where(factorreset.ID(id))
	if lock {
		q.ForUpdate()
	}
	r, err := q.Only(ctx)
	if tenantdb.IsNotFound(err) {
		return Reset{}, apperr.New(apperr.NotFound, "FACTOR_RESET_NOT_FOUND", "id: there is no such factor reset here.")
	}
	if err != nil {
		return Reset{}, fmt.Errorf("find factor reset: %w", err)
	}
	return fromReset(r), nil
}

func fromReset(r *tenantdb.FactorReset) Reset {
	return Reset{
		ID: r.ID, User: r.UserID, Requester: r.RequesterID, Confirmer: r.ConfirmerID, ByOperator: r.ByOperator, CreatedAt: r.CreatedAt,
		ExpiresAt: r.ExpiresAt, ConfirmedAt: r.ConfirmedAt, CancelledAt: r.CancelledAt,
	}
}

// saveReset writes how a request has ended.
func saveReset(ctx context.Context, tx db.TenantTx, r Reset) error {
	err := tx.Ent().FactorReset.UpdateOneID(r.ID).SetNillableConfirmedAt(r.ConfirmedAt).SetNillableCancelledAt(r.CancelledAt).
		SetNillableConfirmerID(r.Confirmer).SetByOperator(r.ByOperator).Exec(ctx)
	if err != nil {
		return fmt.Errorf("end factor reset: %w", err)
	}
	return nil
}

// shutOut ends everything that an account has open, by its sessions and its
// revision, and locks a password that may not stand alone until it is reset by
// mail. The days of grace for a new factor begin anew.
func shutOut(ctx context.Context, tx db.TenantTx, a account, now time.Time) (sessions int, err error) {
	q := tx.Ent().User.UpdateOneID(a.id).AddRevision(1).ClearFactorDueAt()
	if a.passwordShort {
		q.SetPasswordLocked(true)
	}
	if err := q.Exec(ctx); err != nil {
		return 0, fmt.Errorf("shut account: %w", err)
	}
	return auth.EndSessions(ctx, tx, ids.User(a.id), ids.Session{}, now)
}

// otherAdmins answers how many active people could ask for a reset or confirm
// it: they have the permission and all that its person may, and are neither of
// the two.
func otherAdmins(ctx context.Context, tx db.TenantTx, r Reset) (n int, err error) {
	needed, err := rbac.Holding(ctx, tx, r.User)
	if err != nil {
		return 0, err
	}
	err = tx.SQL().QueryRowContext(ctx, `
		SELECT count(*) FROM users u WHERE u.deleted_at IS NULL AND u.id <> $1 AND u.id <> $2 AND NOT EXISTS (
			SELECT FROM unnest($3::text[]) p WHERE NOT EXISTS (
				SELECT FROM user_roles ur JOIN roles r ON r.id = ur.role_id WHERE ur.user_id = u.id AND jsonb_exists(r.permissions, p)))`,
		r.User, r.Requester, append(needed, mayReset)).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("count administrators: %w", err)
	}
	return n, nil
}

// WithdrawOwn cancels the open request that was made in a person's own name, and
// answers whether there was one.
func WithdrawOwn(ctx context.Context, tx db.TenantTx, id uuid.UUID, now time.Time) (bool, error) {
	n, err := tx.Ent().FactorReset.Update().
		Where(factorreset.UserID(id), factorreset.RequesterID(id), factorreset.ConfirmedAtIsNil(), factorreset.CancelledAtIsNil(),
			factorreset.ExpiresAtGT(now)).
		SetCancelledAt(now).Save(ctx)
	if err != nil {
		return false, fmt.Errorf("withdraw factor reset: %w", err)
	}
	return n > 0, nil
}
