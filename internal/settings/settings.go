// Package settings is the tenant's one settings document (U9): typed in the
// program, one JSON row with a version in the tenant's database.
package settings

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"time"

	"tenantry/internal/apperr"
	"tenantry/internal/db"
)

// Registration policies (A1).
const (
	InviteOnly = "invite-only"
	Open       = "open"
)

// Document is what a tenant may decide.
type Document struct {
	// RegistrationPolicy is InviteOnly or Open.
	RegistrationPolicy string `json:"registration_policy"`
	// Language is a BCP 47 tag.
	Language string `json:"language"`
	// TimeZone is an IANA name.
	TimeZone string `json:"time_zone"`
	// AppURL is the tenant's own application; may be empty.
	AppURL string `json:"app_url"`
	// MaxUsers is the most accounts; 0 means no limit.
	MaxUsers int `json:"max_users"`
	// AllowedOrigins are the web origins (RFC 6454) whose pages may call the
	// API (E6), exactly as a browser sends them.
	AllowedOrigins []string `json:"allowed_origins"`
}

var language = regexp.MustCompile(`^[a-z]{2,3}(-[A-Z]{2})?$`)

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
	return d
}

// Validate names the first field that is out of bounds.
func (d Document) Validate() error {
	if d.RegistrationPolicy != InviteOnly && d.RegistrationPolicy != Open {
		return apperr.InvalidField("settings.registration_policy", "enum.defined_only", "must be invite-only or open")
	}
	if !language.MatchString(d.Language) {
		return apperr.InvalidField("settings.language", "string.bcp47", "must be a language tag such as en or pt-BR")
	}
	if _, err := time.LoadLocation(d.TimeZone); err != nil || d.TimeZone == "Local" {
		return apperr.InvalidField("settings.time_zone", "string.iana_time_zone", "must be an IANA time zone such as Europe/Berlin")
	}
	if d.MaxUsers < 0 || d.MaxUsers > 1_000_000 {
		return apperr.InvalidField("settings.max_users", "int32.gte_lte", "must be 0 (no limit) to 1000000").WithParams("gte", "0", "lte", "1000000")
	}
	if err := validateOrigins(d.AllowedOrigins); err != nil {
		return err
	}
	return validateAppURL(d.AppURL)
}

func validateAppURL(raw string) error {
	if raw == "" {
		return nil
	}
	bad := apperr.InvalidField("settings.app_url", "string.uri", "must be an absolute https URL without user or fragment (http only for localhost)")
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" || len(raw) > 300 {
		return bad
	}
	local := u.Hostname() == "localhost" || u.Hostname() == "127.0.0.1"
	if u.Scheme != "https" && (u.Scheme != "http" || !local) {
		return bad
	}
	return nil
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
	return read(ctx, tx, `SELECT document FROM settings WHERE id = 1`)
}

// Lock is Load that keeps the document, and what is counted against it, from
// changing until the transaction ends.
func Lock(ctx context.Context, tx db.TenantTx) (Document, error) {
	return read(ctx, tx, `SELECT document FROM settings WHERE id = 1 FOR UPDATE`)
}

func read(ctx context.Context, tx db.TenantTx, query string) (Document, error) {
	var text []byte
	err := tx.SQL().QueryRowContext(ctx, query).Scan(&text)
	if errors.Is(err, sql.ErrNoRows) {
		return Document{}, fmt.Errorf("settings of tenant %s: no row", tx.Tenant())
	}
	if err != nil {
		return Document{}, fmt.Errorf("read settings: %w", err)
	}
	var d Document
	if err := json.Unmarshal(text, &d); err != nil {
		return Document{}, fmt.Errorf("decode settings: %w", err)
	}
	return d.WithDefaults(), nil
}
