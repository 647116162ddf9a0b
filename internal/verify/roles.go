package verify

import (
	"slices"
	"strings"
)

func (s *scan) role(name string) (role, bool) {
	i := slices.IndexFunc(s.server.roles, func(r role) bool { return r.Name == name })
	if i < 0 {
		return role{}, false
	}
	return s.server.roles[i], true
}

// compareRoles: the three roles of the installation and one for each tenant
// that is made, each with the powers it needs and no other.
func (s *scan) compareRoles() {
	for _, name := range []string{"api", "provisioner", "tenants"} {
		if _, ok := s.role(s.prefix + name); !ok {
			s.wrong("ROLE_MISSING", s.prefix+name, "The installation's role is missing: repeat the bootstrap.")
		}
	}
	for _, t := range s.tenants {
		if _, ok := s.role(t.Role); !ok && t.made() {
			s.wrong("ROLE_MISSING", t.Role, "Tenant %s has no role.", t.ID)
		}
	}
	for _, r := range s.server.roles {
		kind := s.kindOf(r.Name)
		if kind == "tenant" && s.tenantOf(r.Name) == nil {
			s.wrong("ROLE_RESIDUE", r.Name, "The role belongs to no tenant.")
			continue
		}
		if !slices.Contains([]string{"tenant", "api", "provisioner", "group"}, kind) {
			s.wrong("ROLE_UNKNOWN", r.Name, "Nothing of this installation makes a role of this name.")
			continue
		}
		s.compareAttributes(r, kind)
		s.compareMemberships(r, kind)
	}
	for _, m := range s.server.memberships {
		if !strings.HasPrefix(m.Member, s.prefix) {
			s.wrong("ROLE_MEMBERSHIP", m.Of, "Role %s, which is not of this installation, is a member of it.", m.Member)
		}
	}
	for _, o := range s.server.owners {
		if o.Role != s.prefix+"provisioner" {
			s.wrong("ROLE_OWNS", o.Role, "The role owns %d objects; only the provisioner owns any.", o.Objects)
		}
	}
}

func (s *scan) compareAttributes(r role, kind string) {
	maker, login := kind == "provisioner", kind != "group"
	if kind == "tenant" {
		s.compareAccess(r)
		login = r.Login
	}
	var wrong []string
	for _, a := range []struct {
		name      string
		has, want bool
	}{
		{"SUPERUSER", r.Super, false}, {"REPLICATION", r.Replicate, false}, {"BYPASSRLS", r.BypassRLS, false},
		{"CREATEDB", r.CreateDB, maker}, {"CREATEROLE", r.CreateRole, maker},
		{"LOGIN", r.Login, login}, {"INHERIT", r.Inherit, true},
	} {
		switch {
		case a.has && !a.want:
			wrong = append(wrong, "has "+a.name)
		case !a.has && a.want:
			wrong = append(wrong, "lacks "+a.name)
		}
	}
	if len(wrong) > 0 {
		s.wrong("ROLE_ATTRIBUTES", r.Name, "The role %s.", strings.Join(wrong, ", "))
	}
}

// compareAccess: who may enter a tenant is what its state says. While an
// operation that changes it is open, a role that is late is none; a resuming
// tenant's may be let in already.
func (s *scan) compareAccess(r role) {
	t := s.tenantOf(r.Name)
	switch {
	case t.State == "suspended" && r.Login && !t.Changing:
		s.wrong("TENANT_ACCESS", r.Name, "Tenant %s is suspended and its role may log in.", t.ID)
	case t.State != "suspended" && t.State != "resuming" && !r.Login:
		s.wrong("TENANT_ACCESS", r.Name, "Tenant %s is %s and its role may not log in.", t.ID, t.State)
	}
}

func (s *scan) compareMemberships(r role, kind string) {
	allowed := map[string][]string{
		"tenant": {s.prefix + "tenants"}, "provisioner": {s.prefix + "tenants", "pg_signal_backend"},
	}[kind]
	has := map[string]bool{}
	for _, m := range s.server.memberships {
		if m.Member != r.Name {
			continue
		}
		has[m.Of] = true
		// A role's maker is its member from Postgres 16 on.
		if kind == "provisioner" && s.kindOf(m.Of) == "tenant" {
			continue
		}
		if !slices.Contains(allowed, m.Of) {
			s.wrong("ROLE_MEMBERSHIP", r.Name, "The role is a member of %s.", m.Of)
		}
		if m.Admin && kind != "provisioner" {
			s.wrong("ROLE_MEMBERSHIP", r.Name, "The role may put others into %s.", m.Of)
		}
	}
	if t := s.tenantOf(r.Name); t != nil && !t.made() {
		return // its making may be between two statements
	}
	for _, want := range allowed {
		if !has[want] {
			s.wrong("ROLE_MEMBERSHIP", r.Name, "The role is no member of %s.", want)
		}
	}
}

// compareGrants: PUBLIC enters nothing, and each role its own database.
func (s *scan) compareGrants() {
	connects := map[string]bool{}
	public := map[string][]string{}
	for _, g := range s.server.grants {
		switch kind := s.kindOf(g.Grantee); {
		case g.Grantee == "":
			public[g.Database] = append(public[g.Database], g.Right)
		case kind == "tenant" || kind == "api" || kind == "group":
			if s.tenantOf(g.Grantee) == nil && kind == "tenant" {
				continue // residue, named as a whole
			}
			s.compareGrant(g, kind)
			if g.Right == "CONNECT" {
				connects[g.Grantee+"@"+g.Database] = true
			}
		}
	}
	for _, t := range s.tenants {
		_, roleOK := s.role(t.Role)
		if t.reachable && roleOK && !connects[t.Role+"@"+t.Database] {
			s.wrong("CONNECT_MISSING", t.Role, "The role of tenant %s may not connect to its database.", t.ID)
		}
	}
	if !connects[s.prefix+"api@"+s.prefix+"central"] {
		s.wrong("CONNECT_MISSING", s.prefix+"api", "The API's role may not connect to the central database.")
	}
	s.comparePublic(public)
}

func (s *scan) compareGrant(g grant, kind string) {
	own := map[string]string{"tenant": g.Grantee, "api": s.prefix + "central"}[kind]
	switch {
	case g.Database != own:
		s.wrong("CONNECT_FOREIGN", g.Grantee, "The role has %s on database %s.", g.Right, g.Database)
	case g.Right != "CONNECT":
		s.wrong("DATABASE_RIGHTS", g.Grantee, "The role has %s on its database and needs only CONNECT.", g.Right)
	}
}

func (s *scan) comparePublic(public map[string][]string) {
	for _, d := range s.server.databases {
		rights := public[d.Name]
		if len(rights) == 0 || d.Invalid {
			continue
		}
		kind := s.kindOf(d.Name)
		if kind == "tenant" && (s.tenantOf(d.Name) == nil || !d.Open) {
			continue // residue is named; a closed one is being made
		}
		if kind == "building" || kind == "" && !slices.Contains(shared, d.Name) {
			continue // named as a whole
		}
		slices.Sort(rights)
		s.wrong("PUBLIC_RIGHTS", d.Name, "PUBLIC, and so every tenant's role, has %s on the database.", strings.Join(rights, ", "))
	}
}
