// Package settings is the tenant's one settings document (U9): typed in the
// program, one JSON row with a version in the tenant's database.
package settings

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"tenantry/internal/db"
)

// Registration policies (A1).
const (
	InviteOnly = "invite-only"
	Open       = "open"
	AllowList  = "domain-allow-list"
)

// Policies of second factors (A6).
const (
	MFAOptional = "optional"
	MFARequired = "required"
	MFARoles    = "roles"
)

const (
	defaultMFAGraceDays = 7
	maxMFAGraceDays     = 90
)

// Document is what a tenant may decide.
type Document struct {
	// RegistrationPolicy is InviteOnly, Open or AllowList.
	RegistrationPolicy string `json:"registration_policy"`
	// RegistrationDomains are those of AllowList, in lower case; a subdomain
	// is another domain.
	RegistrationDomains []string `json:"registration_domains,omitempty"`
	// Language is one of Languages.
	Language string `json:"language"`
	// TimeZone is an IANA name.
	TimeZone string `json:"time_zone"`
	// AppURL is the tenant's own application; may be empty.
	AppURL string `json:"app_url"`
	// MaxUsers is the most accounts; 0 means no limit. Operators set it.
	MaxUsers int `json:"max_users"`
	// PasswordWords are words that no password may be made of (A10).
	PasswordWords []string `json:"password_words,omitempty"`
	// AllowedOrigins are the web origins (RFC 6454) whose pages may call the
	// API (E6), exactly as a browser sends them.
	AllowedOrigins []string `json:"allowed_origins"`
	// MFAPolicy says who must have a second factor (A6): MFAOptional,
	// MFARequired or MFARoles.
	MFAPolicy string `json:"mfa_policy"`
	// MFARoleIDs are the roles of MFARoles. One that is deleted asks nobody.
	MFARoleIDs []uuid.UUID `json:"mfa_role_ids,omitempty"`
	// MFAGraceDays is how long one that is required can be put off, from the
	// first login that needs it; nil stands for the default.
	MFAGraceDays *int `json:"mfa_grace_days,omitempty"`
}

// MFAGrace is MFAGraceDays as a duration.
func (d Document) MFAGrace() time.Duration {
	days := defaultMFAGraceDays
	if d.MFAGraceDays != nil {
		days = *d.MFAGraceDays
	}
	return time.Duration(days) * 24 * time.Hour
}

// Languages are those that the product speaks, as BCP 47 tags.
var Languages = []string{"en", "de", "fr", "es", "pt-BR", "ja"}

// WithDefaults fills what is absent.
func (d Document) WithDefaults() Document {
	if d.RegistrationPolicy == "" {
		d.RegistrationPolicy = InviteOnly
	}
	if d.Language == "" {
		d.Language = "en"
	}
	if d.TimeZone == "" {
		d.TimeZone = "UTC"
	}
	if d.RegistrationDomains == nil {
		d.RegistrationDomains = []string{}
	}
	if d.AllowedOrigins == nil {
		d.AllowedOrigins = []string{}
	}
	if d.PasswordWords == nil {
		d.PasswordWords = []string{}
	}
	if d.MFAPolicy == "" {
		d.MFAPolicy = MFAOptional
	}
	if d.MFARoleIDs == nil {
		d.MFARoleIDs = []uuid.UUID{}
	}
	if d.MFAGraceDays == nil {
		days := defaultMFAGraceDays
		d.MFAGraceDays = &days
	}
	return d
}

// Init writes the first document; a repetition keeps what is there.
func Init(ctx context.Context, tx db.TenantTx, now time.Time, d Document) error {
	text, err := json.Marshal(d)
	if err != nil {
		return fmt.Errorf("encode settings: %w", err)
	}
	_, err = tx.SQL().ExecContext(ctx, `
		INSERT INTO settings (id, document, version, updated_at) VALUES (1, $1, 1, $2) ON CONFLICT (id) DO NOTHING`, string(text), now)
	if err != nil {
		return fmt.Errorf("write settings: %w", err)
	}
	return nil
}

// Load reads the document.
func Load(ctx context.Context, tx db.TenantTx) (Document, error) {
	s, err := load(ctx, tx, "")
	return s.Document, err
}

// Lock is Load that keeps the document, and what is counted against it, from
// changing until the transaction ends.
func Lock(ctx context.Context, tx db.TenantTx) (Document, error) {
	s, err := load(ctx, tx, "FOR UPDATE")
	return s.Document, err
}

func load(ctx context.Context, tx db.TenantTx, lock string) (Settings, error) {
	var s Settings
	var text []byte
	err := tx.SQL().QueryRowContext(ctx, `SELECT document, version, updated_at FROM settings WHERE id = 1 `+lock).Scan(&text, &s.Version, &s.UpdatedAt)
	if errors.Is(err, sql.ErrNoRows) {
		return Settings{}, fmt.Errorf("settings of tenant %s: no row", tx.Tenant())
	}
	if err != nil {
		return Settings{}, fmt.Errorf("read settings: %w", err)
	}
	if err := json.Unmarshal(text, &s.Document); err != nil {
		return Settings{}, fmt.Errorf("decode settings: %w", err)
	}
	s.Document = s.WithDefaults()
	return s, nil
}
