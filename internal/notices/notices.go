// Package notices tells people what has happened to their accounts (A14).
//
// A notice is a mail row in the transaction of what it tells, so there is no
// change of a credential without it. It goes to the address that the account
// has when it is sent, in its language, with a link that undoes the harm:
// "that was not me".
package notices

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"tenantry/internal/clock"
	"tenantry/internal/db"
	"tenantry/internal/mail"
	"tenantry/internal/onetime"
	"tenantry/internal/outbox"
	"tenantry/internal/subjects"
)

// Kind is what a notice tells; it is the name of its mail row and its
// template.
type Kind string

// Kinds about a session: their subject is its id.
const (
	NewDevice     Kind = "notice_new_device"
	SessionReused Kind = "notice_session_reused"
)

// Kinds about an account: their subject is its id.
const (
	PasswordChanged  Kind = "notice_password_changed"
	FactorAdded      Kind = "notice_factor_added"
	FactorRemoved    Kind = "notice_factor_removed"
	FactorResetAsked Kind = "notice_factor_reset_requested"
	BackupCodesMade  Kind = "notice_backup_codes_made"
	BackupCodeUsed   Kind = "notice_backup_code_used"
	FactorAttacked   Kind = "notice_factor_attacked"
	KeyCreated       Kind = "notice_key_created"
	KeyChanged       Kind = "notice_key_changed"
)

// Kinds is every kind.
var Kinds = []Kind{
	NewDevice, SessionReused, PasswordChanged, FactorAdded, FactorRemoved, FactorResetAsked, BackupCodesMade, BackupCodeUsed, FactorAttacked, KeyCreated,
	KeyChanged,
}

// NotMeTTL is how long the link of a notice works.
const NotMeTTL = 7 * 24 * time.Hour

// NotMePage is where the link leads.
const NotMePage = "/m/not-me"

// Write asks for a notice in tx.
func Write(ctx context.Context, tx db.TenantTx, now time.Time, kind Kind, subject uuid.UUID) error {
	return outbox.Mail(ctx, tx, now, outbox.MailIntent{Template: string(kind), Tenant: tx.Tenant(), SubjectID: subject})
}

// Service drafts notices in the worker.
type Service struct{ now clock.Clock }

// New makes the service.
func New(now clock.Clock) *Service { return &Service{now: now} }

type recipient struct {
	user, subjectKey      uuid.UUID
	email, locale, device string
}

const (
	ofAccount = `SELECT id, subject_key_id, email, locale, '' FROM users WHERE id = $1 AND deleted_at IS NULL`
	ofSession = `SELECT u.id, u.subject_key_id, u.email, u.locale, s.device FROM sessions s JOIN users u ON u.id = s.user_id
		WHERE s.id = $1 AND u.deleted_at IS NULL`
)

// Draft answers the mail of a notice; nil when the account has gone.
func (s *Service) Draft(ctx context.Context, tx db.TenantTx, row outbox.Row) (*mail.Draft, error) {
	query := ofAccount
	if kind := Kind(row.Name); kind == NewDevice || kind == SessionReused {
		query = ofSession
	}
	var r recipient
	err := tx.SQL().QueryRowContext(ctx, query, row.SubjectID).Scan(&r.user, &r.subjectKey, &r.email, &r.locale, &r.device)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("whom a notice is for: %w", err)
	}
	k, err := subjects.Key(ctx, tx, r.subjectKey)
	if err != nil {
		return nil, err
	}
	return &mail.Draft{
		Template: mail.Template(row.Name), To: r.email, Locale: r.locale, Subject: k, At: row.CreatedAt, Device: r.device,
		Purpose: onetime.NotMe, TokenFor: r.user, Expires: s.now().Add(NotMeTTL), Path: NotMePage,
	}, nil
}
