package settings

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/google/uuid"

	"tenantry/internal/apperr"
	"tenantry/internal/audit"
	"tenantry/internal/clock"
	"tenantry/internal/db"
	"tenantry/internal/rbac"
)

// Settings is the document as it stands.
type Settings struct {
	Document
	UpdatedAt time.Time
	Version   int64
}

// Service reads and changes the documents of tenants.
type Service struct{ now clock.Clock }

// New makes the service.
func New(now clock.Clock) *Service { return &Service{now: now} }

// UpdateInput changes the document; what is nil stays. The most accounts are
// not in it: operators set them.
type UpdateInput struct {
	Version             int64
	RegistrationPolicy  *string
	RegistrationDomains *[]string
	AppURL              *string
	Language            *string
	TimeZone            *string
	AllowedOrigins      *[]string
	PasswordWords       *[]string
	MFAPolicy           *string
	MFARoleIDs          *[]uuid.UUID
	MFAGraceDays        *int
}

// everyday are the fields that whoever manages the settings changes at any time.
// The others decide who gets in, with what proof, and where people are sent with
// a code. A new field is one of the others until it is named here.
var everyday = []string{"language", "time_zone", "password_words"}

// Prove refuses a change of fields that are not everyday, unless the caller has
// proved lately who they are (A13). The fields are in alphabetical order.
type Prove func(fields []string) error

// change is what an update does to a document, by the names of its fields.
type change struct{ before, after map[string]any }

// set gives one field its new value, if there is one.
func set[T any](c change, name string, field, value *T) {
	if value == nil {
		return
	}
	c.before[name], c.after[name] = *field, *value
	*field = *value
}

func (in UpdateInput) apply(d *Document) change {
	c := change{before: map[string]any{}, after: map[string]any{}}
	set(c, "registration_policy", &d.RegistrationPolicy, in.RegistrationPolicy)
	set(c, "registration_domains", &d.RegistrationDomains, in.RegistrationDomains)
	set(c, "app_url", &d.AppURL, in.AppURL)
	set(c, "language", &d.Language, in.Language)
	set(c, "time_zone", &d.TimeZone, in.TimeZone)
	set(c, "allowed_origins", &d.AllowedOrigins, in.AllowedOrigins)
	set(c, "password_words", &d.PasswordWords, in.PasswordWords)
	set(c, "mfa_policy", &d.MFAPolicy, in.MFAPolicy)
	set(c, "mfa_role_ids", &d.MFARoleIDs, in.MFARoleIDs)
	set(c, "mfa_grace_days", d.MFAGraceDays, in.MFAGraceDays) // load has filled it
	return c
}

// changed leaves what differs, for the audit log.
func (c change) changed() change {
	out := change{before: map[string]any{}, after: map[string]any{}}
	for name, v := range c.after {
		if !reflect.DeepEqual(v, c.before[name]) {
			out.before[name], out.after[name] = c.before[name], v
		}
	}
	return out
}

// sensitive names the fields of a change that are not everyday.
func (c change) sensitive() []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(c.after)), func(name string) bool { return slices.Contains(everyday, name) })
}

// Get answers the document.
func (s *Service) Get(ctx context.Context, l *db.Lease) (Settings, error) {
	return db.InTenantRead(ctx, l, func(tx db.TenantTx) (Settings, error) { return load(ctx, tx, "") })
}

// Update changes the document. Whether prove is asked is decided under the
// document's lock, so nobody's change in between turns a present value into a new one.
func (s *Service) Update(ctx context.Context, l *db.Lease, by rbac.Actor, in UpdateInput, prove Prove, mark *db.Mark[Settings]) (Settings, error) {
	if empty := (Document{}).WithDefaults(); len(in.apply(&empty).after) == 0 {
		return Settings{}, apperr.InvalidField("registration_policy", "required",
			"give at least one of registration_policy, registration_domains, app_url, language, time_zone, allowed_origins, password_words, mfa_policy, mfa_role_ids and mfa_grace_days")
	}
	return db.InTenantOnce(ctx, l, mark, func(tx db.TenantTx) (Settings, error) {
		doc, err := load(ctx, tx, "FOR UPDATE")
		if err != nil {
			return Settings{}, err
		}
		if err := apperr.CheckVersion(in.Version, doc.Version); err != nil {
			return Settings{}, err
		}
		c := in.apply(&doc.Document)
		diff := c.changed()
		if fields := diff.sensitive(); len(fields) > 0 {
			if err := prove(fields); err != nil {
				return Settings{}, err
			}
		}
		if err := doc.check("", ".values"); err != nil {
			return Settings{}, err
		}
		if in.MFARoleIDs != nil {
			if _, err := rbac.ByID(ctx, tx, "mfa_role_ids.values", *in.MFARoleIDs); err != nil {
				return Settings{}, err
			}
		}
		doc.UpdatedAt, doc.Version = s.now(), doc.Version+1
		if err := merge(ctx, tx, c.after, doc.UpdatedAt); err != nil {
			return Settings{}, err
		}
		return doc, audit.Write(ctx, tx, doc.UpdatedAt, audit.Entry{
			Actor: by.Actor, Action: "settings.updated", TargetKind: "tenant", TargetID: tx.Tenant().UUID(), TenantID: tx.Tenant(),
			RequestID: by.RequestID, Before: diff.before, After: diff.after,
		})
	})
}

// merge writes single fields: those that this program does not know, of a
// newer one beside it, stay.
func merge(ctx context.Context, tx db.TenantTx, fields map[string]any, at time.Time) error {
	text, err := json.Marshal(fields)
	if err != nil {
		return fmt.Errorf("encode settings: %w", err)
	}
	_, err = tx.SQL().ExecContext(ctx, `
		UPDATE settings SET document = document || $1::jsonb, version = version + 1, updated_at = $2 WHERE id = 1`, string(text), at)
	if err != nil {
		return fmt.Errorf("update settings: %w", err)
	}
	return nil
}
