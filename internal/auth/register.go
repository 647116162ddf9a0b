package auth

import (
	"context"
	"net/mail"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/google/uuid"

	"tenantry/internal/apperr"
	"tenantry/internal/attempts"
	"tenantry/internal/audit"
	"tenantry/internal/db"
	"tenantry/internal/ids"
	"tenantry/internal/onetime"
	"tenantry/internal/outbox"
	"tenantry/internal/rbac"
	"tenantry/internal/secrets"
	"tenantry/internal/settings"
	"tenantry/internal/tenants"
)

// registrationTTL is how long a registration waits for its address.
const registrationTTL = 24 * time.Hour

// Templates of the mails this package asks for.
const (
	MailVerify = "verify_email"
	MailResend = "resend_verification"
)

// RegisterInput asks for an account. Locale is the language of the mails to the
// person, empty for the organization's.
type RegisterInput struct{ Name, Email, Password, Locale string }

// Validate names the first field that is out of bounds.
func (in RegisterInput) Validate() error {
	if err := CheckName(in.Name); err != nil {
		return err
	}
	if err := CheckEmail(in.Email); err != nil {
		return err
	}
	return CheckNewPassword(in.Password, PasswordContext{})
}

// CheckName refuses a person's name that is empty, too long or unprintable.
func CheckName(name string) error {
	n := len([]rune(name))
	if strings.TrimSpace(name) == "" || n > 100 || strings.ContainsFunc(name, unprintable) {
		return apperr.InvalidField("name", "string.len", "must be 1 to 100 printable characters").WithParams("min_len", "1", "max_len", "100")
	}
	return nil
}

// unprintable also catches the marks that turn text around.
func unprintable(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) }

// CheckEmail refuses what is no plain address.
func CheckEmail(email string) error {
	a, err := mail.ParseAddress(email)
	if err != nil || a.Address != email || len(email) > 254 || strings.ContainsFunc(email, unprintable) {
		return apperr.InvalidField("email", "string.email", "must be an e-mail address such as jo@example.com")
	}
	return nil
}

// Register writes a registration and a mail intent, whatever the address and
// the policy: the worker decides what is sent, where nobody can see it.
func (s *Service) Register(ctx context.Context, l *db.Lease, e tenants.Entry, in RegisterInput, m Meta) error {
	if err := in.Validate(); err != nil {
		return err
	}
	words, err := db.InTenantRead(ctx, l, func(tx db.TenantTx) ([]string, error) { return PasswordWords(ctx, tx, e, in.Name, in.Email) })
	if err != nil {
		return err
	}
	if err := CheckNewPassword(in.Password, PasswordContext{Words: words}); err != nil {
		return err
	}
	hash, err := s.hasher.Hash(ctx, in.Password)
	if err != nil {
		return err
	}
	subject, sealedKey, err := secrets.NewSubjectKey(l.Key)
	if err != nil {
		return err
	}
	now := s.now()
	r, err := sealRegistration(subject, l.Key.AddressHash(in.Email), in, hash, now)
	if err != nil {
		return err
	}
	_, err = db.InTenant(ctx, l, func(tx db.TenantTx) (struct{}, error) {
		if r.locale, err = mailLocale(ctx, tx, in.Locale); err != nil {
			return struct{}{}, err
		}
		if err := insertRegistration(ctx, tx, r, sealedKey); err != nil {
			return struct{}{}, err
		}
		intent := outbox.MailIntent{Template: MailVerify, Tenant: l.Tenant, SubjectID: r.id, Locale: r.locale}
		if err := outbox.Mail(ctx, tx, now, intent); err != nil {
			return struct{}{}, err
		}
		return struct{}{}, audit.Write(ctx, tx, now, audit.Entry{
			Actor: audit.Anonymous, Action: "registration.requested", TargetKind: "registration", TargetID: r.id, TenantID: l.Tenant, RequestID: m.RequestID,
		})
	})
	s.ring(ctx, l, err)
	return err
}

// mailLocale answers the language that was asked for, or the organization's.
func mailLocale(ctx context.Context, tx db.TenantTx, asked string) (string, error) {
	if asked != "" {
		return asked, nil
	}
	doc, err := settings.Load(ctx, tx)
	return doc.Language, err
}

// ring wakes the relay after a commit.
func (s *Service) ring(ctx context.Context, l *db.Lease, err error) {
	if err == nil {
		s.bell.Ring(ctx, l.Tenant)
	}
}

func sealRegistration(k secrets.SubjectKey, addressHash []byte, in RegisterInput, hash string, now time.Time) (registrationRow, error) {
	r := registrationRow{id: ids.New(), subjectKey: k.ID, addressHash: addressHash, at: now, expires: now.Add(registrationTTL)}
	var err error
	if r.name, err = k.Seal(in.Name, "registration/name"); err != nil {
		return r, err
	}
	if r.email, err = k.Seal(in.Email, "registration/email"); err != nil {
		return r, err
	}
	r.passwordHash, err = k.Seal(hash, "registration/password-hash")
	return r, err
}

// ResendVerification asks for the mail again; the intent carries only the
// keyed hash of the address. The locale is as in RegisterInput.
func (s *Service) ResendVerification(ctx context.Context, l *db.Lease, email, locale string, m Meta) error {
	if err := CheckEmail(email); err != nil {
		return err
	}
	now := s.now()
	_, err := db.InTenant(ctx, l, func(tx db.TenantTx) (struct{}, error) {
		locale, err := mailLocale(ctx, tx, locale)
		if err != nil {
			return struct{}{}, err
		}
		intent := outbox.MailIntent{Template: MailResend, Tenant: l.Tenant, AddressHash: l.Key.AddressHash(email), Locale: locale}
		if err := outbox.Mail(ctx, tx, now, intent); err != nil {
			return struct{}{}, err
		}
		return struct{}{}, audit.Write(ctx, tx, now, audit.Entry{
			Actor: audit.Anonymous, Action: "registration.resend_requested", TargetKind: "tenant", TargetID: l.Tenant.UUID(), TenantID: l.Tenant, RequestID: m.RequestID,
		})
	})
	s.ring(ctx, l, err)
	return err
}

// CheckVerification reports whether a link would still verify; it uses
// nothing.
func (s *Service) CheckVerification(ctx context.Context, l *db.Lease, token string) error {
	_, err := db.InTenantRead(ctx, l, func(tx db.TenantTx) (uuid.UUID, error) {
		return onetime.Check(ctx, tx, onetime.VerifyEmail, token, s.now())
	})
	return err
}

// VerifyEmail redeems a verification token: it makes the account with the
// password of the registration that the mail belonged to.
func (s *Service) VerifyEmail(ctx context.Context, l *db.Lease, token string, m Meta) error {
	_, err := db.InTenant(ctx, l, func(tx db.TenantTx) (struct{}, error) {
		now := s.now()
		id, err := onetime.Redeem(ctx, tx, onetime.VerifyEmail, token, now)
		if err != nil {
			return struct{}{}, err
		}
		u, err := openRegistration(ctx, tx, id)
		if err != nil {
			return struct{}{}, err
		}
		member, err := rbac.RoleID(ctx, tx, rbac.Member)
		if err != nil {
			return struct{}{}, err
		}
		if err := CreateUser(ctx, tx, u, []uuid.UUID{member}, now); err != nil {
			return struct{}{}, err
		}
		if err := deleteRegistrations(ctx, tx, u.SubjectKey, tx.DataKey().AddressHash(u.Email)); err != nil {
			return struct{}{}, err
		}
		return struct{}{}, audit.Write(ctx, tx, now, audit.Entry{
			Actor: audit.User(ids.User(u.ID)), Action: "user.registered", TargetKind: "user", TargetID: u.ID, TenantID: l.Tenant, RequestID: m.RequestID,
		})
	})
	return err
}

// NewUser is an account about to be made.
type NewUser struct {
	ID           uuid.UUID
	SubjectKey   uuid.UUID
	Name         string
	Email        string
	PasswordHash string
	Locale       string
}

// CheckLimit refuses one more account than the tenant may have. The lock on
// the settings row makes the limit hold under races.
func CheckLimit(ctx context.Context, tx db.TenantTx) error {
	doc, err := settings.Lock(ctx, tx)
	if err != nil || doc.MaxUsers == 0 {
		return err
	}
	n, err := countUsers(ctx, tx)
	if err == nil && n >= doc.MaxUsers {
		return apperr.Newf(apperr.Precondition, "USER_LIMIT", "This organization has reached its limit of %d accounts.", doc.MaxUsers).
			WithParams("limit", strconv.Itoa(doc.MaxUsers))
	}
	return err
}

// CreateUser makes an account with roles, within the tenant's limit. Whoever
// joins has opened a mail to the address, which proves what a reset by mail
// does: what strangers guessed before keeps nobody out.
func CreateUser(ctx context.Context, tx db.TenantTx, u NewUser, roles []uuid.UUID, now time.Time) error {
	if err := CheckLimit(ctx, tx); err != nil {
		return err
	}
	// Looked for rather than run into: the server's log would quote the address
	// of a violated constraint.
	exists, err := accountExists(ctx, tx, secrets.NormalizeEmail(u.Email))
	if err != nil {
		return err
	}
	if exists {
		return errAccountExists()
	}
	if err := insertUser(ctx, tx, u, now); err != nil {
		return err
	}
	if err := rbac.Grant(ctx, tx, u.ID, roles, now); err != nil {
		return err
	}
	return attempts.Clear(ctx, tx, attempts.Stranger, tx.DataKey().AddressHash(u.Email), now)
}
