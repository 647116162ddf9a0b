package pgadmin

import (
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"

	"github.com/google/uuid"

	"tenantry/internal/ids"
)

// Names are the names of one installation's roles, databases and templates:
// "tn_<id>_…". Only such names are ever created, altered or dropped, so a
// server may be shared.
type Names struct{ id string }

var (
	installationPattern = regexp.MustCompile(`^[a-z0-9]{6}$`)
	hashPattern         = regexp.MustCompile(`^[0-9a-f]{12}$`)
)

// NewNames takes an installation's id: 6 characters of a-z and 0-9.
func NewNames(installation string) (Names, error) {
	if !installationPattern.MatchString(installation) {
		return Names{}, fmt.Errorf("installation id %q: want 6 characters of a-z and 0-9", installation)
	}
	return Names{id: installation}, nil
}

// ParseCentral finds the installation in the name of its central database.
func ParseCentral(database string) (Names, error) {
	id, ok := strings.CutPrefix(database, "tn_")
	if id, ok2 := strings.CutSuffix(id, "_central"); ok && ok2 {
		return NewNames(id)
	}
	return Names{}, fmt.Errorf("database %q is no central database: want tn_<installation>_central", database)
}

// Installation answers the id.
func (n Names) Installation() string { return n.id }

func (n Names) name(rest string) string { return "tn_" + n.id + "_" + rest }

// Prefix begins every name of this installation.
func (n Names) Prefix() string { return n.name("") }

// Central is the central database.
func (n Names) Central() string { return n.name("central") }

// API is the role of the API: rows of the central database, nothing else.
func (n Names) API() string { return n.name("api") }

// Provisioner is the role that owns every database and may make roles.
func (n Names) Provisioner() string { return n.name("provisioner") }

// Group is the role, without login, whose grants every tenant's role has.
func (n Names) Group() string { return n.name("tenants") }

// Tenant is the name of a tenant's database and of its role.
func (n Names) Tenant(t ids.Tenant) string {
	u := t.UUID()
	return n.name("t_") + hex.EncodeToString(u[:])
}

// Template is the finished template of a schema's hash (12 hex digits).
func (n Names) Template(hash string) string { return n.name("tpl_") + hash }

// Building is a template's name until it is complete.
func (n Names) Building(hash string) string { return n.name("tpb_") + hash }

// IsTemplate reports whether name is a finished template of this installation.
func (n Names) IsTemplate(name string) bool {
	hash, ok := strings.CutPrefix(name, n.name("tpl_"))
	return ok && hashPattern.MatchString(hash)
}

// IsBuilding reports whether name is an unfinished template of this installation.
func (n Names) IsBuilding(name string) bool {
	hash, ok := strings.CutPrefix(name, n.name("tpb_"))
	return ok && hashPattern.MatchString(hash)
}

// ParseTenant answers whose database or role a name is.
func (n Names) ParseTenant(name string) (ids.Tenant, bool) {
	text, ok := strings.CutPrefix(name, n.name("t_"))
	raw, err := hex.DecodeString(text)
	if !ok || err != nil || len(raw) != len(uuid.UUID{}) || strings.ToLower(text) != text {
		return ids.Tenant{}, false
	}
	return ids.Tenant(raw), true
}
