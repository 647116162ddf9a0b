package rbac

import (
	"context"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
	"golang.org/x/text/unicode/norm"

	"tenantry/internal/apperr"
	"tenantry/internal/audit"
	"tenantry/internal/clock"
	"tenantry/internal/db"
	"tenantry/internal/ids"
)

// MaxRoles is the most roles of a tenant, the built-in ones included.
const MaxRoles = 100

// Role is a named set of permissions.
type Role struct {
	ID          uuid.UUID
	Name        string
	Description string
	Builtin     bool
	// Permissions are sorted.
	Permissions []string
	CreatedAt   time.Time
	UpdatedAt   time.Time
	Version     int64
}

// Service manages the roles of tenants.
type Service struct{ now clock.Clock }

// New makes the service.
func New(now clock.Clock) *Service { return &Service{now: now} }

// CreateInput asks for a custom role.
type CreateInput struct {
	Name, Description string
	Permissions       []string
}

// Validate names the first field that is out of bounds.
func (in CreateInput) Validate() error {
	if err := checkName(in.Name); err != nil {
		return err
	}
	if err := checkDescription(in.Description); err != nil {
		return err
	}
	return checkPermissions("permissions", in.Permissions)
}

// UpdateInput changes a custom role; what is nil stays.
type UpdateInput struct {
	ID          uuid.UUID
	Version     int64
	Name        *string
	Description *string
	Permissions *[]string
}

// Validate names the first field that is out of bounds.
func (in UpdateInput) Validate() error {
	if in.Name == nil && in.Description == nil && in.Permissions == nil {
		return apperr.InvalidField("name", "required", "give at least one of name, description and permissions")
	}
	if in.Name != nil {
		if err := checkName(*in.Name); err != nil {
			return err
		}
	}
	if in.Description != nil {
		if err := checkDescription(*in.Description); err != nil {
			return err
		}
	}
	if in.Permissions != nil {
		return checkPermissions("permissions.values", *in.Permissions)
	}
	return nil
}

func checkName(name string) error {
	if name == "" || strings.TrimSpace(name) != name || utf8.RuneCountInString(name) > 60 || strings.ContainsFunc(name, unprintable) {
		return apperr.InvalidField("name", "string.len", "must be 1 to 60 printable characters without white space at the ends")
	}
	return nil
}

func checkDescription(text string) error {
	if utf8.RuneCountInString(text) > 300 || strings.ContainsFunc(text, unprintable) {
		return apperr.InvalidField("description", "string.len", "must be at most 300 printable characters")
	}
	return nil
}

// unprintable also catches the marks that turn text around.
func unprintable(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) }

func checkPermissions(path string, permissions []string) error {
	for i, p := range permissions {
		if !slices.Contains(Permissions, p) || slices.Contains(permissions[:i], p) {
			return apperr.InvalidField(path, "string.in", "must be among these, each once: "+strings.Join(Permissions, ", "))
		}
	}
	return nil
}

// fold makes names that people take for the same the same.
func fold(name string) string { return strings.ToLower(norm.NFKC.String(name)) }

// Get answers one role.
func (s *Service) Get(ctx context.Context, l *db.Lease, id uuid.UUID) (Role, error) {
	return db.InTenantRead(ctx, l, func(tx db.TenantTx) (Role, error) { return find(ctx, tx, id) })
}

// Create makes a custom role within the actor's own permissions.
func (s *Service) Create(ctx context.Context, l *db.Lease, by Actor, in CreateInput, mark *db.Mark[Role]) (Role, error) {
	if err := in.Validate(); err != nil {
		return Role{}, err
	}
	return db.InTenantOnce(ctx, l, mark, func(tx db.TenantTx) (Role, error) {
		if err := by.CheckGrant(in.Permissions); err != nil {
			return Role{}, err
		}
		if err := LockGrants(ctx, tx); err != nil {
			return Role{}, err
		}
		if err := checkRoom(ctx, tx); err != nil {
			return Role{}, err
		}
		now := s.now()
		r := Role{
			ID: ids.New(), Name: in.Name, Description: in.Description, Permissions: sorted(in.Permissions),
			CreatedAt: now, UpdatedAt: now, Version: 1,
		}
		if err := checkFree(ctx, tx, r); err != nil {
			return Role{}, err
		}
		if err := insert(ctx, tx, r); err != nil {
			return Role{}, err
		}
		return r, write(ctx, tx, now, by, "role.created", r.ID, nil, map[string]any{"name": r.Name, "permissions": r.Permissions})
	})
}

func checkRoom(ctx context.Context, tx db.TenantTx) error {
	n, err := count(ctx, tx)
	if err == nil && n >= MaxRoles {
		return apperr.Newf(apperr.Precondition, "ROLE_LIMIT", "This organization has %d roles, the most it may have. Delete one that is not used.", n)
	}
	return err
}

// checkFree refuses a name that another role has, in any case. The lock on
// the grants holds the names still.
func checkFree(ctx context.Context, tx db.TenantTx, r Role) error {
	names, err := namesOfOthers(ctx, tx, r.ID)
	if err != nil {
		return err
	}
	for _, name := range names {
		if fold(name) == fold(r.Name) {
			return apperr.Newf(apperr.AlreadyExists, "ROLE_EXISTS", "name: there is a role %q already; names are compared without regard to case.", name)
		}
	}
	return nil
}

// Update changes a custom role; its holders' next requests see it.
func (s *Service) Update(ctx context.Context, l *db.Lease, by Actor, in UpdateInput, mark *db.Mark[Role]) (Role, error) {
	if err := in.Validate(); err != nil {
		return Role{}, err
	}
	return db.InTenantOnce(ctx, l, mark, func(tx db.TenantTx) (Role, error) {
		old, err := s.lockCustom(ctx, tx, by, in.ID, in.Version)
		if err != nil {
			return Role{}, err
		}
		r, before, after := old.with(in)
		if err := by.CheckGrant(r.Permissions); err != nil {
			return Role{}, err
		}
		if err := checkFree(ctx, tx, r); err != nil {
			return Role{}, err
		}
		r.UpdatedAt, r.Version = s.now(), old.Version+1
		if err := save(ctx, tx, r); err != nil {
			return Role{}, err
		}
		return r, write(ctx, tx, r.UpdatedAt, by, "role.updated", r.ID, before, after)
	})
}

// with answers the role after a change, and what of it differs.
func (r Role) with(in UpdateInput) (changed Role, before, after map[string]any) {
	before, after = map[string]any{}, map[string]any{}
	if in.Name != nil {
		before["name"], after["name"] = r.Name, *in.Name
		r.Name = *in.Name
	}
	if in.Description != nil {
		before["description"], after["description"] = r.Description, *in.Description
		r.Description = *in.Description
	}
	if in.Permissions != nil {
		set := sorted(*in.Permissions)
		before["permissions"], after["permissions"] = r.Permissions, set
		r.Permissions = set
	}
	return r, before, after
}

// Delete removes a custom role that is not in use.
func (s *Service) Delete(ctx context.Context, l *db.Lease, by Actor, id uuid.UUID, version int64, mark *db.Mark[struct{}]) error {
	_, err := db.InTenantOnce(ctx, l, mark, func(tx db.TenantTx) (struct{}, error) {
		r, err := s.lockCustom(ctx, tx, by, id, version)
		if err != nil {
			return struct{}{}, err
		}
		if err := checkUnused(ctx, tx, id); err != nil {
			return struct{}{}, err
		}
		if err := remove(ctx, tx, id); err != nil {
			return struct{}{}, err
		}
		return struct{}{}, write(ctx, tx, s.now(), by, "role.deleted", id, map[string]any{"name": r.Name, "permissions": r.Permissions}, nil)
	})
	return err
}

// lockCustom answers a custom role that the actor may change.
func (s *Service) lockCustom(ctx context.Context, tx db.TenantTx, by Actor, id uuid.UUID, version int64) (Role, error) {
	if err := LockGrants(ctx, tx); err != nil {
		return Role{}, err
	}
	r, err := find(ctx, tx, id)
	if err != nil {
		return Role{}, err
	}
	if r.Builtin {
		return Role{}, apperr.Newf(apperr.Precondition, "ROLE_BUILTIN", "The role %q is built in: nobody can change or delete it.", r.Name)
	}
	if err := apperr.CheckVersion(version, r.Version); err != nil {
		return Role{}, err
	}
	return r, by.CheckGrant(r.Permissions)
}

func checkUnused(ctx context.Context, tx db.TenantTx, id uuid.UUID) error {
	users, accounts, invitations, err := uses(ctx, tx, id)
	if err == nil && users+accounts+invitations > 0 {
		return apperr.Newf(apperr.Precondition, "ROLE_IN_USE",
			"This role is held by %d people (deleted ones counted) and %d service accounts, and named by %d invitations that wait. Take it from them first.",
			users, accounts, invitations)
	}
	return err
}

// write adds the audit row of a change to a role; nothing of it is personal.
func write(ctx context.Context, tx db.TenantTx, at time.Time, by Actor, action string, id uuid.UUID, before, after map[string]any) error {
	return audit.Write(ctx, tx, at, audit.Entry{
		Actor: by.Actor, Action: action, TargetKind: "role", TargetID: id, TenantID: tx.Tenant(), RequestID: by.RequestID,
		Before: before, After: after,
	})
}

func sorted(permissions []string) []string {
	out := slices.Sorted(slices.Values(permissions))
	if out == nil {
		out = []string{} // the column holds a list
	}
	return out
}

// Union answers what roles add up to, sorted.
func Union(roles []Role) []string {
	var all []string
	for _, r := range roles {
		all = append(all, r.Permissions...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}
