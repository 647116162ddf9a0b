// Package mailer carries a tenant's mail rows out (W9).
//
// The token of a link is minted in the transaction that claims the row and
// kept sealed until the mail is sent, so a retry sends the same link. A crash
// after the server took the mail sends it twice, under one Message-ID; no
// crash loses it.
package mailer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"time"

	"github.com/google/uuid"

	"tenantry/internal/clock"
	"tenantry/internal/db"
	"tenantry/internal/mail"
	"tenantry/internal/onetime"
	"tenantry/internal/outbox"
	"tenantry/internal/tenants"
)

// giveUp is when a mail that cannot be sent is dropped: its link is long dead.
const giveUp = 7 * 24 * time.Hour

// DraftFunc answers the mail of a row, or nil when nothing is to be sent.
type DraftFunc func(ctx context.Context, tx db.TenantTx, row outbox.Row) (*mail.Draft, error)

// Deps is what the mailer uses.
type Deps struct {
	Directory *tenants.Directory
	URLs      tenants.URLs
	Sender    *mail.Sender
	Now       clock.Clock
	Log       *slog.Logger
	// Drafts by the name of the mail row.
	Drafts map[string]DraftFunc
}

// Mailer sends what tenants' outboxes hold.
type Mailer struct{ d Deps }

// New makes a mailer.
func New(d Deps) *Mailer { return &Mailer{d: d} }

type letter struct {
	row outbox.Row
	msg *mail.Message
}

// DrainTenant sends up to limit due mails of one tenant and answers how many
// rows it ended, sent or not to be sent.
func (m *Mailer) DrainTenant(ctx context.Context, l *db.Lease, limit int) (int, error) {
	e, err := m.d.Directory.ByID(ctx, l.Tenant)
	if err != nil {
		return 0, err
	}
	// Claiming marks the tenant, and a marked tenant is swept again: where
	// nothing waits, the sweeps must come to an end.
	waiting, err := db.InTenantRead(ctx, l, func(tx db.TenantTx) (bool, error) { return outbox.Waiting(ctx, tx, outbox.KindMail) })
	if err != nil || !waiting {
		return 0, err
	}
	letters, err := db.InTenant(ctx, l, func(tx db.TenantTx) ([]letter, error) { return m.claim(ctx, tx, e, limit) })
	if err != nil || len(letters) == 0 {
		return 0, err
	}
	outcomes := m.send(ctx, letters)
	// The server has the mail: a shutdown must not make it forgotten.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	return db.InTenant(ctx, l, func(tx db.TenantTx) (int, error) { return m.record(ctx, tx, letters, outcomes) })
}

func (m *Mailer) claim(ctx context.Context, tx db.TenantTx, e tenants.Entry, limit int) ([]letter, error) {
	rows, err := outbox.Claim(ctx, tx, outbox.KindMail, m.d.Now(), limit)
	if err != nil {
		return nil, err
	}
	out := make([]letter, len(rows))
	for i, row := range rows {
		out[i].row = row
		if m.d.Now().Sub(row.CreatedAt) > giveUp {
			m.d.Log.WarnContext(ctx, "mail given up", "tenant", e.ID, "mail", row.ID, "template", row.Name)
			continue
		}
		if out[i].msg, err = m.write(ctx, tx, e, row); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// write answers the finished mail of a row, nil when nothing is to be sent.
func (m *Mailer) write(ctx context.Context, tx db.TenantTx, e tenants.Entry, row outbox.Row) (*mail.Message, error) {
	draft, ok := m.d.Drafts[row.Name]
	if !ok {
		return nil, fmt.Errorf("no draft for mail %q", row.Name)
	}
	d, err := draft(ctx, tx, row)
	if err != nil || d == nil {
		return nil, err
	}
	data := mail.Data{Locale: d.Locale, Tenant: e.Name, URL: m.d.URLs.Tenant(e.Slug), Expires: d.Expires, At: d.At, Device: d.Device}
	if d.Purpose != "" {
		token, err := m.token(ctx, tx, row, d)
		if err != nil {
			return nil, err
		}
		data.Link = data.URL + d.Path + "?token=" + url.QueryEscape(token)
	}
	msg, err := mail.Render(d.Template, data)
	if err != nil {
		return nil, err
	}
	msg.ID, msg.To = row.ID.String(), d.To
	return &msg, nil
}

func (m *Mailer) token(ctx context.Context, tx db.TenantTx, row outbox.Row, d *mail.Draft) (string, error) {
	purpose := row.TokenPurpose()
	if row.SealedToken != nil && !d.Anew {
		return d.Subject.Open(row.SealedToken, purpose)
	}
	token, err := onetime.Mint(ctx, tx, d.Purpose, d.TokenFor, m.d.Now(), d.Expires)
	if err != nil {
		return "", err
	}
	sealed, err := d.Subject.Seal(token, purpose)
	if err != nil {
		return "", err
	}
	return token, outbox.SetToken(ctx, tx, row.ID, sealed)
}

// send answers an outcome for each row: nil when it is done with.
func (m *Mailer) send(ctx context.Context, letters []letter) map[uuid.UUID]error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second) // within the claim
	defer cancel()
	var msgs []mail.Message
	var of []uuid.UUID
	for _, l := range letters {
		if l.msg != nil {
			msgs, of = append(msgs, *l.msg), append(of, l.row.ID)
		}
	}
	outcomes := map[uuid.UUID]error{}
	for i, err := range m.d.Sender.Send(ctx, msgs) {
		outcomes[of[i]] = err
	}
	return outcomes
}

func (m *Mailer) record(ctx context.Context, tx db.TenantTx, letters []letter, outcomes map[uuid.UUID]error) (int, error) {
	ended := 0
	for _, l := range letters {
		if err := outcomes[l.row.ID]; err != nil {
			// The server's text may quote the address: only a code is kept.
			m.d.Log.WarnContext(ctx, "mail not sent, will retry", "tenant", tx.Tenant(), "mail", l.row.ID, "attempt", l.row.Attempts, "code", code(err))
			if err := outbox.Postpone(ctx, tx, l.row.ID, m.d.Now(), code(err)); err != nil {
				return ended, err
			}
			continue
		}
		end := outbox.Finish
		if l.msg == nil {
			end = outbox.Drop
		}
		if err := end(ctx, tx, l.row.ID, m.d.Now()); err != nil {
			return ended, err
		}
		ended++
	}
	return ended, nil
}

func code(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return "smtp_timeout"
	}
	return "smtp_failed"
}
