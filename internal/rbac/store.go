package rbac

import (
	"context"
	stdsql "database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"entgo.io/ent/dialect/sql"
	"github.com/google/uuid"

	"tenantry/ent/tenantdb"
	"tenantry/ent/tenantdb/invitation"
	"tenantry/ent/tenantdb/role"
	"tenantry/ent/tenantdb/serviceaccount"
	"tenantry/ent/tenantdb/serviceaccountrole"
	"tenantry/ent/tenantdb/user"
	"tenantry/ent/tenantdb/userrole"
	"tenantry/internal/apperr"
	"tenantry/internal/db"
	"tenantry/internal/ids"
)

// Seed writes the built-in roles; a repetition changes nothing.
func Seed(ctx context.Context, tx db.TenantTx, now time.Time) error {
	for _, r := range Builtin() {
		err := tx.Ent().Role.Create().SetID(ids.New()).SetName(r.Name).SetBuiltin(true).SetPermissions(r.Permissions).SetCreatedAt(now).
			OnConflictColumns(role.FieldName).Ignore().Exec(ctx)
		if err != nil {
			return fmt.Errorf("seed role %s: %w", r.Name, err)
		}
	}
	return nil
}

// LockGrants keeps who may do what from changing until tx ends: whoever
// changes a role, gives or takes one, or ends an account takes it first. It is
// the owner role's row, so a last owner cannot be counted twice (U8); a grant
// of the role, which only refers to the row, does not wait for it.
func LockGrants(ctx context.Context, tx db.TenantTx) error {
	var id uuid.UUID
	err := tx.SQL().QueryRowContext(ctx, `SELECT id FROM roles WHERE name = $1 AND builtin FOR NO KEY UPDATE`, Owner).Scan(&id)
	if err != nil {
		return fmt.Errorf("lock grants: %w", err)
	}
	return nil
}

// ErrEnded refuses somebody whose session or account has ended since they were
// let in.
func ErrEnded() error {
	return apperr.New(apperr.Unauthenticated, "CREDENTIAL_INVALID", "The session has ended.")
}

// StillIn refuses somebody whose session has ended since they were let in, and
// keeps it from ending until tx does. What outlives a session asks for it after
// it has locked the account, as whoever ends an account's sessions does first.
func (a Actor) StillIn(ctx context.Context, tx db.TenantTx) error {
	if a.Session == (ids.Session{}) {
		return nil
	}
	var one int
	err := tx.SQL().QueryRowContext(ctx, `SELECT 1 FROM sessions WHERE id = $1 AND revoked_at IS NULL FOR SHARE`, a.Session.UUID()).Scan(&one)
	if errors.Is(err, stdsql.ErrNoRows) {
		return ErrEnded()
	}
	if err != nil {
		return fmt.Errorf("look for session: %w", err)
	}
	return nil
}

// OtherOwners answers how many active people but one hold the owner role.
func OtherOwners(ctx context.Context, tx db.TenantTx, but uuid.UUID) (int, error) {
	n, err := tx.Ent().User.Query().Where(user.IDNEQ(but), user.DeletedAtIsNil(), user.HasRolesWith(role.Name(Owner), role.Builtin(true))).Count(ctx)
	if err != nil {
		return 0, fmt.Errorf("count owners: %w", err)
	}
	return n, nil
}

// RoleID answers the id of a role by name.
func RoleID(ctx context.Context, tx db.TenantTx, name string) (uuid.UUID, error) {
	id, err := tx.Ent().Role.Query().Where(role.Name(name)).OnlyID(ctx)
	if err != nil {
		return uuid.Nil, fmt.Errorf("role %s: %w", name, err)
	}
	return id, nil
}

// PermissionsOf answers what roles allow together. The roles stay as they are
// until tx ends: a role that is being widened is granted as it then is.
func PermissionsOf(ctx context.Context, tx db.TenantTx, roles []uuid.UUID) ([]string, error) {
	q := tx.Ent().Role.Query().Where(role.IDIn(roles...)).Order(role.ByID())
	q.ForShare()
	rows, err := q.All(ctx)
	if err != nil {
		return nil, fmt.Errorf("permissions of roles: %w", err)
	}
	var out []string
	for _, id := range roles {
		at := slices.IndexFunc(rows, func(r *tenantdb.Role) bool { return r.ID == id })
		if at < 0 {
			return nil, apperr.Newf(apperr.NotFound, "ROLE_NOT_FOUND", "There is no role %s.", id)
		}
		out = append(out, rows[at].Permissions...)
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// Grant gives roles to a user.
func Grant(ctx context.Context, tx db.TenantTx, user uuid.UUID, roles []uuid.UUID, now time.Time) error {
	for _, r := range roles {
		if err := tx.Ent().UserRole.Create().SetUserID(user).SetRoleID(r).SetCreatedAt(now).Exec(ctx); err != nil {
			return fmt.Errorf("grant role: %w", err)
		}
	}
	return nil
}

// Replace gives a user exactly these roles.
func Replace(ctx context.Context, tx db.TenantTx, user uuid.UUID, roles []uuid.UUID, now time.Time) error {
	if _, err := tx.Ent().UserRole.Delete().Where(userrole.UserID(user)).Exec(ctx); err != nil {
		return fmt.Errorf("take roles: %w", err)
	}
	return Grant(ctx, tx, user, roles, now)
}

// OfUser answers the roles of a user by name, whatever the account's state.
func OfUser(ctx context.Context, tx db.TenantTx, id uuid.UUID) ([]Role, error) {
	return all(ctx, tx.Ent().Role.Query().Where(role.HasUsersWith(user.ID(id))))
}

// Holding answers the permissions of a principal at this moment: an active
// person or service account; none for any other id.
func Holding(ctx context.Context, tx db.TenantTx, principal uuid.UUID) ([]string, error) {
	roles, err := all(ctx, tx.Ent().Role.Query().Where(role.Or(
		role.HasUsersWith(user.ID(principal), user.DeletedAtIsNil()),
		role.HasServiceAccountsWith(serviceaccount.ID(principal), serviceaccount.DeletedAtIsNil()),
	)))
	return Union(roles), err
}

// ByID answers roles by id, in the order of their names. An id that is no
// role's is refused under the field's name.
func ByID(ctx context.Context, tx db.TenantTx, field string, wanted []uuid.UUID) ([]Role, error) {
	found, err := all(ctx, tx.Ent().Role.Query().Where(role.IDIn(wanted...)))
	if err != nil {
		return nil, err
	}
	known := map[uuid.UUID]bool{}
	for _, r := range found {
		known[r.ID] = true
	}
	for _, id := range wanted {
		if !known[id] {
			e := apperr.Newf(apperr.NotFound, "ROLE_NOT_FOUND", "%s: there is no role %s here.", field, id)
			e.Fields = []apperr.Field{{Path: field, Rule: "string.in", Message: "must be ids of this organization's roles"}}
			return nil, e
		}
	}
	return found, nil
}

func all(ctx context.Context, q *tenantdb.RoleQuery) ([]Role, error) {
	rows, err := q.Order(role.ByName(), role.ByID()).All(ctx)
	if err != nil {
		return nil, fmt.Errorf("load roles: %w", err)
	}
	return convert(rows), nil
}

func convert(rows []*tenantdb.Role) []Role {
	out := make([]Role, len(rows))
	for i, r := range rows {
		out[i] = Role{
			ID: r.ID, Name: r.Name, Description: r.Description, Builtin: r.Builtin, Permissions: sorted(r.Permissions),
			CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt, Version: r.Version,
		}
	}
	return out
}

func find(ctx context.Context, tx db.TenantTx, id uuid.UUID) (Role, error) {
	r, err := tx.Ent().Role.Get(ctx, id)
	if tenantdb.IsNotFound(err) {
		return Role{}, apperr.New(apperr.NotFound, "ROLE_NOT_FOUND", "id: there is no such role here.")
	}
	if err != nil {
		return Role{}, fmt.Errorf("load role: %w", err)
	}
	return convert([]*tenantdb.Role{r})[0], nil
}

func count(ctx context.Context, tx db.TenantTx) (int, error) { return tx.Ent().Role.Query().Count(ctx) }

func namesOfOthers(ctx context.Context, tx db.TenantTx, but uuid.UUID) ([]string, error) {
	return tx.Ent().Role.Query().Where(role.IDNEQ(but)).Select(role.FieldName).Strings(ctx)
}

func insert(ctx context.Context, tx db.TenantTx, r Role) error {
	err := tx.Ent().Role.Create().SetID(r.ID).SetName(r.Name).SetDescription(r.Description).SetPermissions(r.Permissions).
		SetCreatedAt(r.CreatedAt).SetUpdatedAt(r.UpdatedAt).Exec(ctx)
	if err != nil {
		return fmt.Errorf("insert role: %w", err)
	}
	return nil
}

func save(ctx context.Context, tx db.TenantTx, r Role) error {
	err := tx.Ent().Role.UpdateOneID(r.ID).SetName(r.Name).SetDescription(r.Description).SetPermissions(r.Permissions).
		SetUpdatedAt(r.UpdatedAt).AddVersion(1).Exec(ctx)
	if err != nil {
		return fmt.Errorf("update role: %w", err)
	}
	return nil
}

func remove(ctx context.Context, tx db.TenantTx, id uuid.UUID) error {
	if err := tx.Ent().Role.DeleteOneID(id).Exec(ctx); err != nil {
		return fmt.Errorf("delete role: %w", err)
	}
	return nil
}

// uses locks a role and counts what refers to it. An invitation keeps ids
// without a foreign key; whoever writes one holds the lock on the grants.
func uses(ctx context.Context, tx db.TenantTx, id uuid.UUID) (users, accounts, invitations int, err error) {
	if _, err = tx.Ent().Role.Query().Where(role.ID(id)).ForUpdate().OnlyID(ctx); err != nil {
		return 0, 0, 0, fmt.Errorf("lock role: %w", err)
	}
	if users, err = tx.Ent().UserRole.Query().Where(userrole.RoleID(id)).Count(ctx); err != nil {
		return 0, 0, 0, fmt.Errorf("count holders: %w", err)
	}
	if accounts, err = tx.Ent().ServiceAccountRole.Query().Where(serviceaccountrole.RoleID(id)).Count(ctx); err != nil {
		return 0, 0, 0, fmt.Errorf("count holders: %w", err)
	}
	named, err := json.Marshal([]uuid.UUID{id})
	if err != nil {
		return 0, 0, 0, fmt.Errorf("encode role id: %w", err)
	}
	invitations, err = tx.Ent().Invitation.Query().Where(invitation.AcceptedAtIsNil(), invitation.RevokedAtIsNil(), func(s *sql.Selector) {
		s.Where(sql.P(func(b *sql.Builder) { b.Ident(s.C(invitation.FieldRoleIds)).WriteString(" @> ").Arg(string(named)) }))
	}).Count(ctx)
	if err != nil {
		return 0, 0, 0, fmt.Errorf("count invitations: %w", err)
	}
	return users, accounts, invitations, nil
}
