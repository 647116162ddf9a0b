package verify

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"tenantry/internal/schema"
)

// server is what the shared catalogs show of this installation.
type server struct {
	databases   []database
	roles       []role
	grants      []grant
	memberships []membership
	owners      []owner
}

type database struct {
	Name    string
	Owner   string
	Open    bool
	Invalid bool
}

type role struct {
	Name       string
	Super      bool
	CreateDB   bool
	CreateRole bool
	Replicate  bool
	BypassRLS  bool
	Login      bool
	Inherit    bool
}

// grant is a right on a database; the grantee "" is PUBLIC.
type grant struct{ Database, Grantee, Right string }

type membership struct {
	Member, Of string
	Admin      bool
}

type owner struct {
	Role    string
	Objects int
}

// shared are databases that belong to the server and that no tenant's role
// may enter.
var shared = []string{"postgres", "template1"}

var tenantName = regexp.MustCompile(`^t_[0-9a-f]{32}$`)

// kindOf sorts our own names: "tenant", "template", "building", "central",
// "api", "provisioner", "group", "" for anything else.
func (s *scan) kindOf(name string) string {
	rest, ours := strings.CutPrefix(name, s.prefix)
	switch {
	case !ours:
		return ""
	case tenantName.MatchString(rest):
		return "tenant"
	case strings.HasPrefix(rest, "tpl_"):
		return "template"
	case strings.HasPrefix(rest, "tpb_"):
		return "building"
	case rest == "tenants":
		return "group"
	case rest == "central", rest == "api", rest == "provisioner":
		return rest
	}
	return ""
}

func (s *scan) readServer(ctx context.Context, tx pgx.Tx) (err error) {
	if s.server.databases, err = collect[database](ctx, tx, `
		SELECT d.datname::text, coalesce(r.rolname::text, ''), d.datallowconn, d.datconnlimit = -2
		FROM pg_database d LEFT JOIN pg_roles r ON r.oid = d.datdba
		WHERE starts_with(d.datname, $1) OR d.datname = ANY ($2) ORDER BY 1`, s.prefix, shared); err != nil {
		return fmt.Errorf("read databases: %w", err)
	}
	if s.server.roles, err = collect[role](ctx, tx, `
		SELECT rolname::text, rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls, rolcanlogin, rolinherit
		FROM pg_roles WHERE starts_with(rolname, $1) ORDER BY 1`, s.prefix); err != nil {
		return fmt.Errorf("read roles: %w", err)
	}
	// Rights on our databases and the shared ones, and rights of our roles on
	// any database. No ACL means the default one, which lets PUBLIC in.
	if s.server.grants, err = collect[grant](ctx, tx, `
		SELECT d.datname::text, coalesce(r.rolname::text, ''), a.privilege_type
		FROM pg_database d, aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a LEFT JOIN pg_roles r ON r.oid = a.grantee
		WHERE starts_with(d.datname, $1) OR d.datname = ANY ($2) OR starts_with(r.rolname, $1)`, s.prefix, shared); err != nil {
		return fmt.Errorf("read grants: %w", err)
	}
	if s.server.memberships, err = collect[membership](ctx, tx, `
		SELECT m.rolname::text, g.rolname::text, a.admin_option
		FROM pg_auth_members a JOIN pg_roles m ON m.oid = a.member JOIN pg_roles g ON g.oid = a.roleid
		WHERE starts_with(m.rolname, $1) OR starts_with(g.rolname, $1)`, s.prefix); err != nil {
		return fmt.Errorf("read memberships: %w", err)
	}
	// Objects of any database of the server.
	if s.server.owners, err = collect[owner](ctx, tx, `
		SELECT r.rolname::text, count(*)::int
		FROM pg_shdepend d JOIN pg_roles r ON r.oid = d.refobjid
		WHERE d.refclassid = 'pg_authid'::regclass AND d.deptype = 'o' AND starts_with(r.rolname, $1) GROUP BY 1`, s.prefix); err != nil {
		return fmt.Errorf("read owners: %w", err)
	}
	s.count("databases", len(s.server.databases)-len(shared))
	s.count("roles", len(s.server.roles))
	s.count("grants", len(s.server.grants)+len(s.server.memberships))
	return nil
}

func collect[T any](ctx context.Context, tx pgx.Tx, sql string, args ...any) ([]T, error) {
	rows, err := tx.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[T])
}

func (s *scan) database(name string) (database, bool) {
	i := slices.IndexFunc(s.server.databases, func(d database) bool { return d.Name == name })
	if i < 0 {
		return database{}, false
	}
	return s.server.databases[i], true
}

// compareDatabases: every tenant that is made has a sound, open one, and every one
// has its tenant.
func (s *scan) compareDatabases() {
	for i := range s.tenants {
		t := &s.tenants[i]
		if !t.made() {
			continue
		}
		d, ok := s.database(t.Database)
		switch {
		case !ok:
			s.wrong("DATABASE_MISSING", t.Database, "Tenant %s has no database.", t.ID)
		case d.Invalid: // below
		case !d.Open:
			s.wrong("DATABASE_CLOSED", t.Database, "The database of tenant %s takes no connections.", t.ID)
		default:
			t.reachable = d.Owner == s.prefix+"provisioner"
		}
	}
	for _, d := range s.server.databases {
		if slices.Contains(shared, d.Name) {
			continue
		}
		switch kind := s.kindOf(d.Name); {
		case d.Invalid && s.failing(d.Name): // a DROP under way; its workflow is looked at elsewhere
		case d.Invalid:
			s.wrong("DATABASE_INVALID", d.Name, "The database was half dropped and has to be dropped again.")
		case kind == "tenant" && s.tenantOf(d.Name) == nil:
			s.wrong("DATABASE_RESIDUE", d.Name, "The database belongs to no tenant.")
		case kind == "building":
			s.wrong("TEMPLATE_LEFTOVER", d.Name, "A template was not completed; the next one to be built drops it.")
		case kind == "tenant", kind == "template", kind == "central":
			if d.Owner != s.prefix+"provisioner" {
				s.wrong("DATABASE_OWNER", d.Name, "The database belongs to %s and not to the provisioner.", d.Owner)
			}
		default:
			s.wrong("DATABASE_UNKNOWN", d.Name, "Nothing of this installation makes a database of this name.")
		}
	}
}

func (s *scan) compareTemplates() {
	want := s.prefix + "tpl_" + schema.TenantHash()
	if _, ok := s.database(want); !ok {
		s.wrong("TEMPLATE_MISSING", want, "There is no template of this release's schema: run `tenantry migrate`.")
	}
	for _, d := range s.server.databases {
		if s.kindOf(d.Name) != "template" || d.Invalid {
			continue
		}
		if d.Open {
			s.wrong("TEMPLATE_OPEN", d.Name, "The template takes connections: nobody knows what is in it.")
		}
		if d.Name != want {
			s.note("template %s is of another release's schema", d.Name)
		}
	}
}
