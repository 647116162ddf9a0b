// Package outbox is what must happen after a commit (W1).
//
// A row is written in the transaction of its change: no row is lost by a
// crash and none comes from a rollback. The relay carries rows out at least
// once; what it starts is keyed so that twice is once.
package outbox

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/google/uuid"

	"tenantry/internal/db"
	"tenantry/internal/ids"
)

// Kinds of rows.
const (
	KindStart = "start"
	KindMail  = "mail"
	KindEvent = "event"
)

// claimTime is how long a claimed row stays with its claimer; a crash within
// makes it due again after that.
const claimTime = 30 * time.Second

// maxBackoff bounds the wait between attempts.
const maxBackoff = time.Minute

// StartIntent asks for a workflow. Its id and input are made from these by
// the relay, so nothing of a person can stand in a history.
type StartIntent struct {
	// Workflow is a registered name of internal/ids.
	Workflow  string
	Tenant    ids.Tenant
	Operation ids.Operation
}

// Start writes the intent into tx.
func Start(ctx context.Context, tx db.Tx, now time.Time, s StartIntent) error {
	return insert(ctx, tx, now, KindStart, s.Workflow, s.Tenant, row{operation: s.Operation.UUID()})
}

// MailIntent asks for a mail. The worker finds the address by the subject or
// the keyed hash, mints the token, and may find that nothing is to be sent.
type MailIntent struct {
	Template    string
	Tenant      ids.Tenant
	SubjectID   uuid.UUID
	AddressHash []byte
	Locale      string
}

// Mail writes the intent into tx.
func Mail(ctx context.Context, tx db.Tx, now time.Time, m MailIntent) error {
	return insert(ctx, tx, now, KindMail, m.Template, m.Tenant, row{subject: m.SubjectID, address: m.AddressHash, locale: m.Locale})
}

// Event writes a domain event into tx; webhook delivery carries it out.
func Event(ctx context.Context, tx db.Tx, now time.Time, name string, tenant ids.Tenant, op ids.Operation) error {
	return insert(ctx, tx, now, KindEvent, name, tenant, row{operation: op.UUID()})
}

type row struct {
	operation, subject uuid.UUID
	address            []byte
	locale             string
}

func insert(ctx context.Context, tx db.Tx, now time.Time, kind, name string, tenant ids.Tenant, r row) error {
	if r.locale == "" {
		r.locale = "en"
	}
	_, err := tx.SQL().ExecContext(ctx, `
		INSERT INTO outbox (id, kind, name, tenant_id, operation_id, subject_id, address_hash, locale, attempts, created_at, due_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0, $9, $9)`,
		ids.New(), kind, name, orNull(tenant.UUID()), orNull(r.operation), orNull(r.subject), r.address, r.locale, now)
	if err != nil {
		return fmt.Errorf("write outbox row %s %s: %w", kind, name, err)
	}
	return nil
}

// Waiting reports whether tx's outbox holds an unfinished row of a kind, due or
// not. It only reads, so asking leaves no mark.
func Waiting(ctx context.Context, tx db.Tx, kind string) (bool, error) {
	var found bool
	err := tx.SQL().QueryRowContext(ctx, `SELECT EXISTS (SELECT FROM outbox WHERE done_at IS NULL AND kind = $1)`, kind).Scan(&found)
	if err != nil {
		return false, fmt.Errorf("look into outbox: %w", err)
	}
	return found, nil
}

// Row is a claimed row.
type Row struct {
	ID          uuid.UUID
	Kind        string
	Name        string
	TenantID    ids.Tenant
	OperationID ids.Operation
	SubjectID   uuid.UUID
	AddressHash []byte
	Locale      string
	SealedToken []byte
	Attempts    int
	CreatedAt   time.Time
}

// TokenPurpose names what a row's token is sealed for.
func (r Row) TokenPurpose() string { return "outbox-token/" + r.ID.String() }

// Claim takes up to limit due rows of a kind in tx and pushes their due time
// ahead: nobody else takes them meanwhile, and a crash makes them due again.
func Claim(ctx context.Context, tx db.Tx, kind string, now time.Time, limit int) ([]Row, error) {
	rows, err := tx.SQL().QueryContext(ctx, `
		WITH due AS (
			SELECT id FROM outbox WHERE done_at IS NULL AND due_at <= $2 AND kind = $1
			ORDER BY due_at, id LIMIT $4 FOR UPDATE SKIP LOCKED)
		UPDATE outbox o SET due_at = $3, attempts = o.attempts + 1 FROM due WHERE o.id = due.id
		RETURNING o.id, o.kind, o.name, o.tenant_id, o.operation_id, o.subject_id, o.address_hash, o.locale, o.sealed_token, o.attempts, o.created_at`,
		kind, now, now.Add(claimTime), limit)
	if err != nil {
		return nil, fmt.Errorf("claim outbox rows: %w", err)
	}
	return scanRows(rows)
}

func scanRows(rows *sql.Rows) ([]Row, error) {
	defer func() { _ = rows.Close() }()
	var out []Row
	for rows.Next() {
		var r Row
		var tenant, operation, subject uuid.NullUUID
		if err := rows.Scan(&r.ID, &r.Kind, &r.Name, &tenant, &operation, &subject, &r.AddressHash, &r.Locale,
			&r.SealedToken, &r.Attempts, &r.CreatedAt); err != nil {
			return nil, fmt.Errorf("scan outbox row: %w", err)
		}
		r.TenantID, r.OperationID, r.SubjectID = ids.Tenant(tenant.UUID), ids.Operation(operation.UUID), subject.UUID
		out = append(out, r)
	}
	return out, rows.Err()
}

// SetToken keeps a minted token, sealed, so that a retry sends the same link.
func SetToken(ctx context.Context, tx db.Tx, id uuid.UUID, sealed []byte) error {
	_, err := tx.SQL().ExecContext(ctx, `UPDATE outbox SET sealed_token = $2 WHERE id = $1`, id, sealed)
	if err != nil {
		return fmt.Errorf("keep outbox token: %w", err)
	}
	return nil
}

// Finish ends a row in tx; its token goes with it.
func Finish(ctx context.Context, tx db.Tx, id uuid.UUID, now time.Time) error {
	_, err := tx.SQL().ExecContext(ctx, `UPDATE outbox SET done_at = $2, sealed_token = NULL, last_error = NULL WHERE id = $1`, id, now)
	if err != nil {
		return fmt.Errorf("finish outbox row: %w", err)
	}
	return nil
}

// notSent is the code of a mail row that has ended without a mail.
const notSent = "not_sent"

// Drop ends a mail row for which nothing was sent.
func Drop(ctx context.Context, tx db.Tx, id uuid.UUID, now time.Time) error {
	_, err := tx.SQL().ExecContext(ctx, `UPDATE outbox SET done_at = $2, sealed_token = NULL, last_error = $3 WHERE id = $1`, id, now, notSent)
	if err != nil {
		return fmt.Errorf("drop outbox row: %w", err)
	}
	return nil
}

// Crowded reports whether a mail that somebody has asked for is one too many:
// another of its name to its address has waited longer, or was sent within a
// time. A row whose link has been minted is never crowded out. Rows that were
// dropped do not count, so whoever goes on asking cannot keep a mail from its
// owner.
func Crowded(ctx context.Context, tx db.Tx, r Row, now time.Time, within time.Duration) (bool, error) {
	if r.SealedToken != nil || r.AddressHash == nil {
		return false, nil
	}
	var crowded bool
	err := tx.SQL().QueryRowContext(ctx, `
		SELECT EXISTS (SELECT FROM outbox WHERE done_at IS NULL AND kind = 'mail' AND name = $1 AND address_hash = $2 AND (created_at, id) < ($4, $3))
			OR EXISTS (SELECT FROM outbox WHERE done_at > $5 AND kind = 'mail' AND name = $1 AND address_hash = $2 AND id <> $3
				AND last_error IS DISTINCT FROM $6)`,
		r.Name, r.AddressHash, r.ID, r.CreatedAt, now.Add(-within), notSent).Scan(&crowded)
	if err != nil {
		return false, fmt.Errorf("look for mails before: %w", err)
	}
	return crowded, nil
}

// CancelMails ends the mails about a subject that have not been sent; one that
// is being sent at this moment still arrives.
func CancelMails(ctx context.Context, tx db.Tx, template string, subject uuid.UUID, now time.Time) error {
	_, err := tx.SQL().ExecContext(ctx, `
		UPDATE outbox SET done_at = $3, sealed_token = NULL, last_error = $4 WHERE done_at IS NULL AND kind = 'mail' AND name = $1 AND subject_id = $2`,
		template, subject, now, notSent)
	if err != nil {
		return fmt.Errorf("cancel mails: %w", err)
	}
	return nil
}

// Postpone makes a row due again after a back-off that doubles with its
// attempts up to a minute; code says why and holds no text of the other side.
func Postpone(ctx context.Context, tx db.Tx, id uuid.UUID, now time.Time, code string) error {
	_, err := tx.SQL().ExecContext(ctx, `
		UPDATE outbox SET last_error = $3, due_at = $2::timestamptz + least($4::interval, interval '250 milliseconds' * power(2, least(attempts, 16)))
		WHERE id = $1 AND done_at IS NULL`, id, now, code, fmt.Sprintf("%d seconds", int(maxBackoff.Seconds())))
	if err != nil {
		return fmt.Errorf("postpone outbox row: %w", err)
	}
	return nil
}

// ClaimStarts claims central start intents.
func ClaimStarts(ctx context.Context, c *db.Central, now time.Time, limit int) ([]Row, error) {
	return db.InCentral(ctx, c, func(tx db.CentralTx) ([]Row, error) { return Claim(ctx, tx, KindStart, now, limit) })
}

// Done ends a central row.
func Done(ctx context.Context, c *db.Central, id uuid.UUID, now time.Time) error {
	_, err := db.InCentral(ctx, c, func(tx db.CentralTx) (struct{}, error) { return struct{}{}, Finish(ctx, tx, id, now) })
	return err
}

// Failed postpones a central row.
func Failed(ctx context.Context, c *db.Central, id uuid.UUID, now time.Time, code string) error {
	_, err := db.InCentral(ctx, c, func(tx db.CentralTx) (struct{}, error) { return struct{}{}, Postpone(ctx, tx, id, now, code) })
	return err
}

func orNull(id uuid.UUID) uuid.NullUUID { return uuid.NullUUID{UUID: id, Valid: id != uuid.Nil} }
