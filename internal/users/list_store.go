package users

import (
	"context"
	"fmt"

	"entgo.io/ent/dialect/sql"
	"github.com/google/uuid"

	"tenantry/ent/schema/tenant"
	"tenantry/internal/db"
	"tenantry/internal/lists"
)

// List is what the list of people may show, filter and sort by.
var List = lists.MustDerive(tenant.User{}, lists.Options{
	Name: "users", Table: "users", Sort: "created_at", Includes: []string{"roles"},
	Search: &lists.Search{Text: searchText, Words: searchWords},
})

// The expressions of the search's indexes, word by word.
const (
	searchText  = `("name" || ' ' || "email")`
	searchWords = `to_tsvector('simple', translate("name" || ' ' || "email", '@.+-_/\''":&~#,;!?()[]{}<>=*%$|^` + "`" + `', repeat(' ', 32)))`
)

// place answers where a column of a row goes.
func place(u *User, field string) any {
	switch field {
	case "id":
		return (*uuid.UUID)(&u.ID)
	case "name":
		return &u.Name
	case "email":
		return &u.Email
	case "locale":
		return &u.Locale
	case "version":
		return &u.Version
	case "login_count":
		return &u.LoginCount
	case "last_login_at":
		return &u.LastLoginAt
	case "created_at":
		return &u.CreatedAt
	case "updated_at":
		return &u.UpdatedAt
	case "deleted_at":
		return &u.DeletedAt
	}
	panic("users: no place for " + field)
}

// list answers a page. Deleted people are on it only when the filter speaks
// of deleted_at.
func list(ctx context.Context, tx db.TenantTx, q *lists.Query) (lists.Result[User], error) {
	var where []*sql.Predicate
	if !q.Mentions("deleted_at") {
		where = append(where, sql.IsNull("deleted_at"))
	}
	found, err := lists.Run(ctx, tx.SQL(), q, place, where...)
	if err == nil && q.Includes("roles") {
		err = includeRoles(ctx, tx, found.Items)
	}
	return found, err
}

// includeRoles loads the roles of a page in one statement.
func includeRoles(ctx context.Context, tx db.TenantTx, users []User) error {
	index := make(map[uuid.UUID]int, len(users))
	all := make([]string, len(users))
	for i, u := range users {
		index[u.ID.UUID()], all[i] = i, u.ID.String()
		users[i].Roles = []Role{}
	}
	rows, err := tx.SQL().QueryContext(ctx, `
		SELECT ur.user_id, r.id, r.name FROM user_roles ur JOIN roles r ON r.id = ur.role_id
		WHERE ur.user_id = ANY ($1::uuid[]) ORDER BY r.name, r.id`, all)
	if err != nil {
		return fmt.Errorf("include roles: %w", err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var user uuid.UUID
		var r Role
		if err := rows.Scan(&user, &r.ID, &r.Name); err != nil {
			return fmt.Errorf("include roles: %w", err)
		}
		i := index[user]
		users[i].Roles = append(users[i].Roles, r)
	}
	return rows.Err()
}
