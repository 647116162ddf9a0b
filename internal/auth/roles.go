package auth

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"

	"github.com/google/uuid"
)

// granted is what a principal query's roles come to.
type granted struct {
	roles       []string
	ids         []uuid.UUID
	permissions []string
}

// maxGranted bounds what is remembered: a tenant has a handful of different
// sets of roles.
const maxGranted = 1000

// parsed remembers what a text of roles says. It is no cache of anybody's
// rights: the text comes from the database with every request.
var parsed = struct {
	sync.RWMutex
	of map[string]granted
}{of: map[string]granted{}}

// ReadRoles takes the roles as principal queries answer them, a JSON array of
// id, name and permissions.
func (p *Principal) ReadRoles(text []byte) error {
	parsed.RLock()
	g, known := parsed.of[string(text)]
	parsed.RUnlock()
	if !known {
		var err error
		if g, err = parseRoles(text); err != nil {
			return fmt.Errorf("roles of user %s: %w", p.User, err)
		}
		parsed.Lock()
		if len(parsed.of) >= maxGranted {
			clear(parsed.of)
		}
		parsed.of[string(text)] = g
		parsed.Unlock()
	}
	// The caller may narrow what it got: a copy of its own.
	p.Roles, p.RoleIDs, p.Permissions = slices.Clone(g.roles), slices.Clone(g.ids), slices.Clone(g.permissions)
	return nil
}

func parseRoles(text []byte) (granted, error) {
	var rows []struct {
		ID          uuid.UUID
		Name        string
		Permissions []string
	}
	var g granted
	if err := json.Unmarshal(text, &rows); err != nil {
		return g, err
	}
	for _, r := range rows {
		g.roles, g.ids = append(g.roles, r.Name), append(g.ids, r.ID)
		g.permissions = append(g.permissions, r.Permissions...)
	}
	slices.Sort(g.permissions)
	g.permissions = slices.Compact(g.permissions)
	return g, nil
}
