// Package tenants is the directory of organizations: reserving a slug,
// finding a tenant by its host, and leasing its database.
//
// A reservation is one central transaction: the tenant's row with its keys,
// the operation that reports on it, and the intent that starts its workflow.
// What turns a reservation into a tenant is package provisioning.
package tenants

import (
	"context"
	"encoding/hex"
	"net/mail"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"tenantry/internal/apperr"
	"tenantry/internal/audit"
	"tenantry/internal/clock"
	"tenantry/internal/db"
	"tenantry/internal/ids"
	"tenantry/internal/operations"
	"tenantry/internal/outbox"
	"tenantry/internal/secrets"
	"tenantry/internal/settings"
)

// States of a tenant.
const (
	Reserved     = "reserved"
	Provisioning = "provisioning"
	Failing      = "failing"
	Active       = "active"
	// Suspended: nobody enters, and the tenant's role may not log in.
	Suspended = "suspended"
	// Resuming: the role is being let in again; the edge still refuses.
	Resuming = "resuming"
)

// Purposes under which a tenant's row seals values with its data key.
const (
	SealRolePassword = "role-password"
	SealOwnerEmail   = "owner-email"
	SealSigningKey   = "signing-key"
)

// AccessTTL is the life of an access token (A5): a key that signs no more goes
// on verifying for as long.
const AccessTTL = 10 * time.Minute

// Tenant is what operators see.
type Tenant struct {
	ID            ids.Tenant
	Slug          string
	Name          string
	State         string
	CreatedAt     time.Time
	ActivatedAt   *time.Time
	SchemaVersion int64
	// MaxUsers is what operators want the limit to be, 0 for none.
	MaxUsers int
	// Version changes with every change of the row.
	Version int64
}

// ReserveInput asks for an organization.
type ReserveInput struct {
	Slug       string
	Name       string
	OwnerEmail string
	Settings   settings.Document
	// ReserveOnly writes no start intent: an operator starts the workflow.
	ReserveOnly bool
}

// Requester is on whose behalf a reservation is made.
type Requester struct {
	Actor     audit.Actor
	RequestID string
	// Source is the hook source that asked, if one did.
	Source *uuid.UUID
}

var (
	slugPattern = regexp.MustCompile(`^[a-z]([a-z0-9-]*[a-z0-9])?$`)
	// reservedSlugs would be mistaken for the service itself.
	reservedSlugs = []string{
		"account", "accounts", "admin", "api", "app", "assets", "auth", "billing", "blog", "cdn", "central", "console", "dashboard",
		"dev", "docs", "ftp", "help", "imap", "localhost", "login", "mail", "metrics", "ns1", "ns2", "operator", "pop", "root",
		"security", "smtp", "staging", "static", "status", "support", "system", "temporal", "tenantry", "test", "webmail", "www",
	}
)

// Validate names the first field that is out of bounds.
func (in ReserveInput) Validate() error {
	if len(in.Slug) < 3 || len(in.Slug) > 40 || !slugPattern.MatchString(in.Slug) || strings.Contains(in.Slug, "--") {
		return apperr.InvalidField("slug", "string.pattern", "must be a DNS label of 3 to 40 characters: a-z, 0-9 and single hyphens, beginning with a letter")
	}
	if slices.Contains(reservedSlugs, in.Slug) {
		e := apperr.InvalidField("slug", "slug.reserved", "this name is reserved; choose another")
		e.Reason = "SLUG_RESERVED"
		return e
	}
	if n := len([]rune(in.Name)); n < 1 || n > 100 || strings.TrimSpace(in.Name) == "" {
		return apperr.InvalidField("name", "string.len", "must be 1 to 100 characters").WithParams("min_len", "1", "max_len", "100")
	}
	if err := checkOwnerEmail(in.OwnerEmail); err != nil {
		return err
	}
	return in.Settings.Validate()
}

func checkOwnerEmail(email string) error {
	if a, err := mail.ParseAddress(email); err != nil || a.Address != email || len(email) > 254 {
		return apperr.InvalidField("owner_email", "string.email", "must be an e-mail address such as owner@example.com")
	}
	return nil
}

// URLs builds the addresses of the installation from its public URL.
type URLs struct{ public url.URL }

// NewURLs takes the address of the central API.
func NewURLs(public *url.URL) URLs { return URLs{public: *public} }

// Central answers the central API's address.
func (u URLs) Central() string { return u.public.Scheme + "://" + u.public.Host }

// Tenant answers a tenant's address, which is its issuer too.
func (u URLs) Tenant(slug string) string { return u.public.Scheme + "://" + slug + "." + u.public.Host }

// BaseDomain answers the host name without its port.
func (u URLs) BaseDomain() string { return u.public.Hostname() }

// Service reserves and lists tenants.
type Service struct {
	central *db.Central
	now     clock.Clock
	bell    *outbox.Bell
}

// New makes the service.
func New(c *db.Central, now clock.Clock, bell *outbox.Bell) *Service {
	return &Service{central: c, now: now, bell: bell}
}

// Reserve writes a reservation and the intent that starts its workflow.
func (s *Service) Reserve(ctx context.Context, in ReserveInput, by Requester, mark *db.Mark[operations.Operation]) (operations.Operation, error) {
	in.Settings = in.Settings.WithDefaults()
	if err := in.Validate(); err != nil {
		return operations.Operation{}, err
	}
	iid, _, err := s.central.Installation(ctx)
	if err != nil {
		return operations.Operation{}, err
	}
	op, err := db.InCentralOnce(ctx, s.central, mark, func(tx db.CentralTx) (operations.Operation, error) {
		return ReserveTx(ctx, tx, iid, s.central.Keyring(), s.now(), in, by)
	})
	if err == nil {
		s.bell.Ring(ctx, ids.Tenant{})
	}
	return op, err
}

// ReserveTx is Reserve inside another effect's transaction; in is valid. A
// taken slug leaves tx usable.
func ReserveTx(ctx context.Context, tx db.CentralTx, iid string, ring *secrets.Keyring, now time.Time, in ReserveInput, by Requester) (operations.Operation, error) {
	id := ids.NewTenant()
	op := operations.Operation{
		ID: ids.NewOperation(), Kind: operations.KindProvision, Tenant: id, WorkflowID: ids.ProvisionTenantWorkflow(id),
		State: operations.Pending, Source: by.Source, CreatedAt: now,
	}
	r, err := newReservation(iid, ring, id, op.ID, in, now)
	if err != nil {
		return op, err
	}
	if err := insertReservation(ctx, tx, r); err != nil {
		return op, err
	}
	if err := operations.Create(ctx, tx, op); err != nil {
		return op, err
	}
	if !in.ReserveOnly {
		if err := outbox.Start(ctx, tx, now, outbox.StartIntent{Workflow: ids.WorkflowProvisionTenant, Tenant: id, Operation: op.ID}); err != nil {
			return op, err
		}
	}
	return op, audit.Write(ctx, tx, now, audit.Entry{
		Actor: by.Actor, Action: "tenant.reserved", TargetKind: "tenant", TargetID: id.UUID(), TenantID: id, RequestID: by.RequestID,
		After: map[string]any{"slug": in.Slug, "operation_id": op.ID},
	})
}

type reservation struct {
	id                    ids.Tenant
	operation             ids.Operation
	in                    ReserveInput
	serverName            string
	dataKey, password, to []byte
	now                   time.Time
}

func newReservation(iid string, ring *secrets.Keyring, id ids.Tenant, op ids.Operation, in ReserveInput, now time.Time) (reservation, error) {
	key, sealed, err := secrets.NewDataKey(ring, id)
	if err != nil {
		return reservation{}, err
	}
	password, err := key.Seal([]byte(hex.EncodeToString(secrets.RandomBytes(24))), SealRolePassword)
	if err != nil {
		return reservation{}, err
	}
	to, err := key.Seal([]byte(in.OwnerEmail), SealOwnerEmail)
	if err != nil {
		return reservation{}, err
	}
	u := id.UUID()
	return reservation{
		id: id, operation: op, in: in, serverName: "tn_" + iid + "_t_" + hex.EncodeToString(u[:]),
		dataKey: sealed, password: password, to: to, now: now,
	}, nil
}

// Get answers one tenant.
func (s *Service) Get(ctx context.Context, id ids.Tenant) (Tenant, error) {
	return db.InCentral(ctx, s.central, func(tx db.CentralTx) (Tenant, error) { return find(ctx, tx, id) })
}
