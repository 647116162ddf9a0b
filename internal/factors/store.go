package factors

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"tenantry/ent/tenantdb"
	"tenantry/ent/tenantdb/backupcode"
	"tenantry/ent/tenantdb/mfachallenge"
	"tenantry/ent/tenantdb/totpfactor"
	"tenantry/ent/tenantdb/user"
	"tenantry/internal/apperr"
	"tenantry/internal/db"
	"tenantry/internal/ids"
	"tenantry/internal/subjects"
)

// secretPurpose binds a sealed secret to what it is for.
const secretPurpose = "totp/secret"

// account is a person whose factor is looked at.
type account struct {
	id            uuid.UUID
	subjectKey    uuid.UUID
	email         string
	revision      int64
	secondFactor  bool
	passwordShort bool
}

func fromUser(u *tenantdb.User) account {
	return account{
		id: u.ID, subjectKey: u.SubjectKeyID, email: u.Email, revision: u.Revision, secondFactor: u.SecondFactor, passwordShort: u.PasswordShort,
	}
}

// lockAccount answers an account that is not deleted, which nobody else
// changes until the transaction ends.
func lockAccount(ctx context.Context, tx db.TenantTx, id uuid.UUID) (account, error) {
	u, err := tx.Ent().User.Query().Where(user.ID(id), user.DeletedAtIsNil()).ForUpdate().Only(ctx)
	if tenantdb.IsNotFound(err) {
		return account{}, apperr.New(apperr.Unauthenticated, "CREDENTIAL_INVALID", "The access token is not valid here.")
	}
	if err != nil {
		return account{}, fmt.Errorf("lock account: %w", err)
	}
	return fromUser(u), nil
}

// factor is a row of totp_factors, its secret open.
type factor struct {
	id        uuid.UUID
	secret    []byte
	createdAt time.Time
	confirmed bool
}

// findFactor answers an account's factor; false when there is none.
func findFactor(ctx context.Context, tx db.TenantTx, id uuid.UUID) (factor, bool, error) {
	r, err := tx.Ent().TOTPFactor.Query().Where(totpfactor.UserID(id)).WithUser().Only(ctx)
	if tenantdb.IsNotFound(err) {
		return factor{}, false, nil
	}
	if err != nil {
		return factor{}, false, fmt.Errorf("find factor: %w", err)
	}
	k, err := subjects.Key(ctx, tx, r.Edges.User.SubjectKeyID)
	if err != nil {
		return factor{}, false, err
	}
	secret, err := k.Open(r.Secret, secretPurpose)
	if err != nil {
		return factor{}, false, err
	}
	return factor{id: r.ID, secret: []byte(secret), createdAt: r.CreatedAt, confirmed: r.ConfirmedAt != nil}, true, nil
}

// replacePending writes a factor that waits to be confirmed in the place of
// the one before.
func replacePending(ctx context.Context, tx db.TenantTx, a account, secret []byte, now time.Time) error {
	k, err := subjects.Key(ctx, tx, a.subjectKey)
	if err != nil {
		return err
	}
	sealed, err := k.Seal(string(secret), secretPurpose)
	if err != nil {
		return err
	}
	if _, err := tx.Ent().TOTPFactor.Delete().Where(totpfactor.UserID(a.id)).Exec(ctx); err != nil {
		return fmt.Errorf("drop factor: %w", err)
	}
	if err := tx.Ent().TOTPFactor.Create().SetID(ids.New()).SetUserID(a.id).SetSecret(sealed).SetCreatedAt(now).Exec(ctx); err != nil {
		return fmt.Errorf("insert factor: %w", err)
	}
	return nil
}

// confirm makes a pending factor count; its step is used.
func confirm(ctx context.Context, tx db.TenantTx, a account, f factor, step int64, now time.Time) error {
	if err := tx.Ent().TOTPFactor.UpdateOneID(f.id).SetConfirmedAt(now).SetLastStep(step).Exec(ctx); err != nil {
		return fmt.Errorf("confirm factor: %w", err)
	}
	if err := tx.Ent().User.UpdateOneID(a.id).SetSecondFactor(true).ClearFactorDueAt().Exec(ctx); err != nil {
		return fmt.Errorf("note factor: %w", err)
	}
	return nil
}

// takeStep uses a step: neither it nor an older one works again. The
// comparison and the write are one statement, so of any number of parallel
// calls one succeeds.
func takeStep(ctx context.Context, tx db.TenantTx, id uuid.UUID, step int64) (bool, error) {
	n, err := tx.Ent().TOTPFactor.Update().
		Where(totpfactor.UserID(id), totpfactor.ConfirmedAtNotNil(), totpfactor.LastStepLT(step)).SetLastStep(step).Save(ctx)
	if err != nil {
		return false, fmt.Errorf("use TOTP step: %w", err)
	}
	return n == 1, nil
}

// replaceCodes writes ten codes in the place of those before.
func replaceCodes(ctx context.Context, tx db.TenantTx, id uuid.UUID, codes []hashed, now time.Time) error {
	if err := dropCodes(ctx, tx, id); err != nil {
		return err
	}
	rows := make([]*tenantdb.BackupCodeCreate, len(codes))
	for i, c := range codes {
		rows[i] = tx.Ent().BackupCode.Create().SetID(ids.New()).SetUserID(id).SetRow(c.row).SetCodeHash(c.hash).SetCreatedAt(now)
	}
	if err := tx.Ent().BackupCode.CreateBulk(rows...).Exec(ctx); err != nil {
		return fmt.Errorf("insert backup codes: %w", err)
	}
	return nil
}

func dropCodes(ctx context.Context, tx db.TenantTx, id uuid.UUID) error {
	if _, err := tx.Ent().BackupCode.Delete().Where(backupcode.UserID(id)).Exec(ctx); err != nil {
		return fmt.Errorf("drop backup codes: %w", err)
	}
	return nil
}

// findCode answers the unused code of a row; the zero id and an empty hash
// when there is none.
func findCode(ctx context.Context, tx db.TenantTx, id uuid.UUID, row string) (code uuid.UUID, hash string, err error) {
	r, err := tx.Ent().BackupCode.Query().Where(backupcode.UserID(id), backupcode.Row(row), backupcode.UsedAtIsNil()).Only(ctx)
	if tenantdb.IsNotFound(err) {
		return uuid.Nil, "", nil
	}
	if err != nil {
		return uuid.Nil, "", fmt.Errorf("find backup code: %w", err)
	}
	return r.ID, r.CodeHash, nil
}

// takeCode uses a backup code; of any number of parallel calls one succeeds.
func takeCode(ctx context.Context, tx db.TenantTx, code uuid.UUID, now time.Time) (bool, error) {
	n, err := tx.Ent().BackupCode.Update().Where(backupcode.ID(code), backupcode.UsedAtIsNil()).SetUsedAt(now).Save(ctx)
	if err != nil {
		return false, fmt.Errorf("use backup code: %w", err)
	}
	return n == 1, nil
}

func countCodes(ctx context.Context, tx db.TenantTx, id uuid.UUID) (int, error) {
	n, err := tx.Ent().BackupCode.Query().Where(backupcode.UserID(id), backupcode.UsedAtIsNil()).Count(ctx)
	if err != nil {
		return 0, fmt.Errorf("count backup codes: %w", err)
	}
	return n, nil
}

func status(ctx context.Context, tx db.TenantTx, id uuid.UUID) (Status, error) {
	u, err := tx.Ent().User.Query().Where(user.ID(id)).WithTotpFactor().Only(ctx)
	if err != nil {
		return Status{}, fmt.Errorf("factors of account: %w", err)
	}
	out := Status{Due: u.FactorDueAt}
	if f := u.Edges.TotpFactor; f != nil {
		out.EnabledAt = f.ConfirmedAt
	}
	out.BackupCodes, err = countCodes(ctx, tx, id)
	return out, err
}

// remove takes an account's factor and codes away.
func remove(ctx context.Context, tx db.TenantTx, a account) error {
	if _, err := tx.Ent().TOTPFactor.Delete().Where(totpfactor.UserID(a.id)).Exec(ctx); err != nil {
		return fmt.Errorf("drop factor: %w", err)
	}
	if err := dropCodes(ctx, tx, a.id); err != nil {
		return err
	}
	if err := tx.Ent().User.UpdateOneID(a.id).SetSecondFactor(false).Exec(ctx); err != nil {
		return fmt.Errorf("note factor: %w", err)
	}
	return nil
}

// challenge is a login that waits.
type challenge struct {
	id        uuid.UUID
	user      uuid.UUID
	revision  int64
	amr       []string
	enrolling bool
}

func findChallenge(ctx context.Context, tx db.TenantTx, id uuid.UUID) (challenge, error) {
	r, err := tx.Ent().MFAChallenge.Query().Where(mfachallenge.ID(id)).Only(ctx)
	if tenantdb.IsNotFound(err) {
		return challenge{}, errChallenge()
	}
	if err != nil {
		return challenge{}, fmt.Errorf("find challenge: %w", err)
	}
	return challenge{id: r.ID, user: r.UserID, revision: r.Revision, amr: r.Amr, enrolling: r.Enrolling}, nil
}
