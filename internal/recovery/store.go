package recovery

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"tenantry/internal/db"
	"tenantry/internal/onetime"
)

// account is what the use cases need of a user's row.
type account struct {
	id, subjectKey uuid.UUID
	name, email    string
	secondFactor   bool
}

// of answers the account of a token's subject, by its purpose.
var of = map[string]string{
	onetime.Reset:       `id = $1`,
	onetime.NotMe:       `id = $1`,
	onetime.EmailChange: `id = (SELECT user_id FROM email_changes WHERE id = $1)`,
	onetime.EmailUndo:   `id = (SELECT user_id FROM email_changes WHERE id = $1)`,
}

// holder answers the account that a token is about, using nothing.
func holder(ctx context.Context, tx db.TenantTx, purpose, token string, now time.Time) (account, error) {
	subject, err := onetime.Check(ctx, tx, purpose, token, now)
	if err != nil {
		return account{}, err
	}
	return find(ctx, tx, of[purpose], subject)
}

// lock answers an account that is not deleted, and keeps it so until the
// transaction ends.
func lock(ctx context.Context, tx db.TenantTx, id uuid.UUID) (account, error) {
	return find(ctx, tx, `id = $1 FOR UPDATE`, id)
}

func find(ctx context.Context, tx db.TenantTx, where string, id uuid.UUID) (account, error) {
	var a account
	err := tx.SQL().QueryRowContext(ctx, `SELECT id, subject_key_id, name, email, second_factor FROM users WHERE deleted_at IS NULL AND `+where, id).
		Scan(&a.id, &a.subjectKey, &a.name, &a.email, &a.secondFactor)
	if errors.Is(err, sql.ErrNoRows) {
		return account{}, onetime.ErrInvalid()
	}
	if err != nil {
		return account{}, fmt.Errorf("find account: %w", err)
	}
	return a, nil
}

func exec(ctx context.Context, tx db.TenantTx, what, query string, args ...any) (int, error) {
	r, err := tx.SQL().ExecContext(ctx, query, args...)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", what, err)
	}
	n, err := r.RowsAffected()
	return int(n), err
}

// newPassword is a hash, and whether the password is good only beside a
// second factor.
type newPassword struct {
	hash  string
	short bool
}

// setPassword also opens a locked password, and makes every access token
// worthless by the revision.
func setPassword(ctx context.Context, tx db.TenantTx, id uuid.UUID, p newPassword) error {
	_, err := exec(ctx, tx, "set password", `
		UPDATE users SET password_hash = $2, password_short = $3, password_locked = false, revision = revision + 1 WHERE id = $1`, id, p.hash, p.short)
	return err
}

// lockPassword lets nobody in until a reset.
func lockPassword(ctx context.Context, tx db.TenantTx, id uuid.UUID) error {
	_, err := exec(ctx, tx, "lock password", `UPDATE users SET password_locked = true, revision = revision + 1 WHERE id = $1`, id)
	return err
}

func passwordLocked(ctx context.Context, tx db.TenantTx, id uuid.UUID) (locked bool, err error) {
	if err = tx.SQL().QueryRowContext(ctx, `SELECT password_locked FROM users WHERE id = $1`, id).Scan(&locked); err != nil {
		err = fmt.Errorf("look for a lock: %w", err)
	}
	return locked, err
}

func forgetDevices(ctx context.Context, tx db.TenantTx, id uuid.UUID) error {
	_, err := exec(ctx, tx, "forget devices", `UPDATE users SET device_epoch = device_epoch + 1 WHERE id = $1`, id)
	return err
}

// touch makes the next version of what others see of an account.
func touch(ctx context.Context, tx db.TenantTx, id uuid.UUID, now time.Time) error {
	_, err := exec(ctx, tx, "touch account", `UPDATE users SET version = version + 1, updated_at = $2 WHERE id = $1`, id, now)
	return err
}

// change is a row of email_changes.
type change struct {
	id, user              uuid.UUID
	oldEmail, newEmail    []byte
	at, expires           time.Time
	confirmedAt, undoneAt *time.Time
}

// waits reports whether the new address may still be confirmed.
func (c change) waits(now time.Time) bool { return c.confirmedAt == nil && now.Before(c.expires) }

// undoable reports whether the change may still be taken back.
func (c change) undoable(now time.Time) bool {
	return c.confirmedAt != nil && c.undoneAt == nil && now.Before(c.confirmedAt.Add(undoTTL))
}

func insertChange(ctx context.Context, tx db.TenantTx, c change) error {
	_, err := exec(ctx, tx, "insert change of address", `
		INSERT INTO email_changes (id, user_id, old_email, new_email, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6)`,
		c.id, c.user, c.oldEmail, c.newEmail, c.at, c.expires)
	return err
}

// findChange answers a change; one that was cancelled reads like a link that
// is not valid.
func findChange(ctx context.Context, tx db.TenantTx, id uuid.UUID) (change, error) {
	var c change
	err := tx.SQL().QueryRowContext(ctx, `
		SELECT id, user_id, old_email, new_email, created_at, expires_at, confirmed_at, undone_at FROM email_changes WHERE id = $1`, id).
		Scan(&c.id, &c.user, &c.oldEmail, &c.newEmail, &c.at, &c.expires, &c.confirmedAt, &c.undoneAt)
	if errors.Is(err, sql.ErrNoRows) {
		return change{}, onetime.ErrInvalid()
	}
	if err != nil {
		return change{}, fmt.Errorf("find change of address: %w", err)
	}
	return c, nil
}

// cancelChanges ends the changes of an account that wait, and their links.
func cancelChanges(ctx context.Context, tx db.TenantTx, user uuid.UUID, now time.Time) error {
	_, err := exec(ctx, tx, "void links of changes", `
		UPDATE one_time_values SET used_at = $2 WHERE purpose = $3 AND used_at IS NULL
			AND subject_id IN (SELECT id FROM email_changes WHERE user_id = $1 AND confirmed_at IS NULL)`, user, now, onetime.EmailChange)
	if err != nil {
		return err
	}
	_, err = exec(ctx, tx, "cancel changes", `DELETE FROM email_changes WHERE user_id = $1 AND confirmed_at IS NULL`, user)
	return err
}

func confirmed(ctx context.Context, tx db.TenantTx, id uuid.UUID, now time.Time) error {
	_, err := exec(ctx, tx, "confirm change", `UPDATE email_changes SET confirmed_at = $2 WHERE id = $1`, id, now)
	return err
}

// undone takes a change back and those after it: their links, which went to
// addresses that were not the owner's, end.
func undone(ctx context.Context, tx db.TenantTx, c change, now time.Time) error {
	_, err := exec(ctx, tx, "void links of later changes", `
		UPDATE one_time_values SET used_at = $3 WHERE purpose = $4 AND used_at IS NULL
			AND subject_id IN (SELECT id FROM email_changes WHERE user_id = $1 AND confirmed_at >= $2)`, c.user, c.confirmedAt, now, onetime.EmailUndo)
	if err != nil {
		return err
	}
	_, err = exec(ctx, tx, "take changes back", `
		UPDATE email_changes SET undone_at = $3 WHERE user_id = $1 AND confirmed_at >= $2 AND undone_at IS NULL`, c.user, c.confirmedAt, now)
	return err
}
