package auth

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tenantry/ent/tenantdb"
	"tenantry/ent/tenantdb/registration"
	"tenantry/ent/tenantdb/subjectkey"
	"tenantry/ent/tenantdb/user"
	"tenantry/internal/apperr"
	"tenantry/internal/db"
	"tenantry/internal/ids"
	"tenantry/internal/onetime"
	"tenantry/internal/outbox"
	"tenantry/internal/secrets"
	"tenantry/internal/subjects"
)

const principalSQL = `
	SELECT u.name, u.email, u.version, u.login_count, u.last_login_at, u.created_at, u.updated_at, u.locale, s.authenticated_at, s.aal, u.second_factor,
		coalesce((SELECT json_agg(json_build_object('id', r.id, 'name', r.name, 'permissions', r.permissions) ORDER BY r.name)
			FROM user_roles ur JOIN roles r ON r.id = ur.role_id WHERE ur.user_id = u.id), '[]')
	FROM sessions s JOIN users u ON u.id = s.user_id
	WHERE s.id = $1 AND s.user_id = $2 AND s.revoked_at IS NULL AND s.expires_at > $3
		AND u.deleted_at IS NULL AND u.revision = $4`

func loadPrincipal(ctx context.Context, l *db.Lease, c Claims, now time.Time) (Principal, error) {
	p := Principal{User: c.User, Session: c.Session}
	var roles []byte
	// Bare bytes go to the server as they are; a uuid.UUID would be written as text.
	err := l.Database().QueryRow(ctx, principalSQL, [16]byte(c.Session), [16]byte(c.User), now, c.Version).
		Scan(&p.Name, &p.Email, &p.Version, &p.LoginCount, &p.LastLoginAt, &p.CreatedAt, &p.UpdatedAt, &p.Locale, &p.AuthTime, &p.AAL, &p.SecondFactor, &roles)
	if errors.Is(err, pgx.ErrNoRows) {
		return Principal{}, errToken("CREDENTIAL_INVALID", "The access token is not valid here.")
	}
	if err != nil {
		return Principal{}, db.Classify(fmt.Errorf("load principal: %w", err), "TENANT_UNREACHABLE")
	}
	return p, p.ReadRoles(roles)
}

// account is what a login checks; the zero value stands for no account.
type account struct {
	id           uuid.UUID
	passwordHash string
	revision     int64
	deviceEpoch  int64
}

// user answers the account's id, nil for no account.
func (a account) user() *uuid.UUID {
	if a.id == uuid.Nil {
		return nil
	}
	return &a.id
}

func findAccount(ctx context.Context, l *db.Lease, normalized string) (account, error) {
	var a account
	err := l.Database().QueryRow(ctx, `
		SELECT id, password_hash, revision, device_epoch FROM users
		WHERE email_normalized = $1 AND deleted_at IS NULL AND NOT password_locked`, normalized).
		Scan(&a.id, &a.passwordHash, &a.revision, &a.deviceEpoch)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return a, db.Classify(fmt.Errorf("find account: %w", err), "TENANT_UNREACHABLE")
	}
	return a, nil
}

type registrationRow struct {
	id, subjectKey            uuid.UUID
	name, email, passwordHash []byte
	addressHash               []byte
	locale                    string
	at, expires               time.Time
}

func insertRegistration(ctx context.Context, tx db.TenantTx, r registrationRow, sealedKey []byte) error {
	if err := tx.Ent().SubjectKey.Create().SetID(r.subjectKey).SetSealedKey(sealedKey).SetCreatedAt(r.at).Exec(ctx); err != nil {
		return fmt.Errorf("insert subject key: %w", err)
	}
	return tx.Ent().Registration.Create().SetID(r.id).SetSubjectKeyID(r.subjectKey).SetName(r.name).SetEmail(r.email).
		SetPasswordHash(r.passwordHash).SetAddressHash(r.addressHash).SetLocale(r.locale).SetCreatedAt(r.at).SetExpiresAt(r.expires).Exec(ctx)
}

// openRegistration reads what a registration asked for.
func openRegistration(ctx context.Context, tx db.TenantTx, id uuid.UUID) (NewUser, error) {
	r, err := tx.Ent().Registration.Get(ctx, id)
	if tenantdb.IsNotFound(err) {
		return NewUser{}, onetime.ErrInvalid()
	}
	if err != nil {
		return NewUser{}, fmt.Errorf("load registration: %w", err)
	}
	k, err := subjects.Key(ctx, tx, r.SubjectKeyID)
	if err != nil {
		return NewUser{}, err
	}
	u := NewUser{ID: ids.New(), SubjectKey: k.ID, Locale: r.Locale}
	if u.Name, err = k.Open(r.Name, "registration/name"); err != nil {
		return u, err
	}
	if u.Email, err = k.Open(r.Email, "registration/email"); err != nil {
		return u, err
	}
	u.PasswordHash, err = k.Open(r.PasswordHash, "registration/password-hash")
	return u, err
}

// deleteRegistrations removes every registration of an address; the keys go
// with them but the one the account has adopted.
func deleteRegistrations(ctx context.Context, tx db.TenantTx, adopted uuid.UUID, addressHash []byte) error {
	rows, err := tx.Ent().Registration.Query().Where(registration.AddressHash(addressHash)).All(ctx)
	if err != nil {
		return fmt.Errorf("find registrations: %w", err)
	}
	for _, r := range rows {
		if err := tx.Ent().Registration.DeleteOneID(r.ID).Exec(ctx); err != nil {
			return fmt.Errorf("delete registration: %w", err)
		}
		if r.SubjectKeyID == adopted {
			continue
		}
		if _, err := tx.Ent().SubjectKey.Delete().Where(subjectkey.ID(r.SubjectKeyID)).Exec(ctx); err != nil {
			return fmt.Errorf("delete subject key: %w", err)
		}
	}
	return nil
}

func countUsers(ctx context.Context, tx db.TenantTx) (int, error) {
	return tx.Ent().User.Query().Where(user.DeletedAtIsNil()).Count(ctx)
}

func insertUser(ctx context.Context, tx db.TenantTx, u NewUser, now time.Time) error {
	err := tx.Ent().User.Create().SetID(u.ID).SetSubjectKeyID(u.SubjectKey).SetName(u.Name).SetEmail(u.Email).
		SetEmailNormalized(secrets.NormalizeEmail(u.Email)).SetAddressHash(tx.DataKey().AddressHash(u.Email)).SetPasswordHash(u.PasswordHash).SetLocale(u.Locale).
		SetCreatedAt(now).SetUpdatedAt(now).Exec(ctx)
	if db.IsUnique(err, "") {
		return errAccountExists()
	}
	return err
}

func errAccountExists() error {
	return apperr.New(apperr.AlreadyExists, "ACCOUNT_EXISTS", "This address has an account already. Log in with its password.")
}

func accountExists(ctx context.Context, tx db.TenantTx, normalized string) (bool, error) {
	exists, err := tx.Ent().User.Query().Where(user.EmailNormalized(normalized)).Exist(ctx)
	if err != nil {
		return false, fmt.Errorf("look for account: %w", err)
	}
	return exists, nil
}

// findRegistration answers the registration an intent names, or the youngest
// of its address; nil when none waits.
func findRegistration(ctx context.Context, tx db.TenantTx, row outbox.Row, now time.Time) (*tenantdb.Registration, error) {
	q := tx.Ent().Registration.Query().Where(registration.ExpiresAtGT(now))
	switch {
	case row.SubjectID != uuid.Nil:
		q.Where(registration.ID(row.SubjectID))
	case row.AddressHash != nil:
		q.Where(registration.AddressHash(row.AddressHash))
	default:
		return nil, errors.New("mail intent names neither a registration nor an address")
	}
	r, err := q.Order(tenantdb.Desc(registration.FieldCreatedAt)).First(ctx)
	if tenantdb.IsNotFound(err) {
		return nil, nil
	}
	return r, err
}
