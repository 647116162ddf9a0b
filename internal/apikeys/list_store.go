package apikeys

import (
	"context"
	"fmt"
	"slices"

	"entgo.io/ent/dialect/sql"
	"github.com/google/uuid"

	"tenantry/ent/schema/tenant"
	"tenantry/internal/db"
	"tenantry/internal/lists"
)

// What the lists of keys and of service accounts may show, filter and sort by.
var (
	Keys     = lists.MustDerive(tenant.APIKey{}, lists.Options{Name: "api_keys", Table: "api_keys", Sort: "created_at"})
	Accounts = lists.MustDerive(tenant.ServiceAccount{}, lists.Options{
		Name: "service_accounts", Table: "service_accounts", Sort: "created_at",
		// Ids of roles, loaded by the accounts' ids.
		Computed: map[string][]string{"role_ids": {"id"}},
	})
)

// List answers keys in the order they were created, if no other is asked.
func (s *Service) List(ctx context.Context, l *db.Lease, in lists.Request) (lists.Result[Key], error) {
	q, err := Keys.Parse(in, l.Key)
	if err != nil {
		return lists.Result[Key]{}, err
	}
	return db.InTenantRead(ctx, l, func(tx db.TenantTx) (lists.Result[Key], error) { return lists.Run(ctx, tx.SQL(), q, placeKey) })
}

func placeKey(k *Key, field string) any {
	switch field {
	case "id":
		return &k.ID
	case "name":
		return &k.Name
	case "user_id":
		return &k.User
	case "service_account_id":
		return &k.ServiceAccount
	case "scopes":
		return lists.JSONTo(&k.Scopes)
	case "allowed_networks":
		return lists.JSONTo(&k.Networks)
	case "version":
		return &k.Version
	case "created_at":
		return &k.CreatedAt
	case "expires_at":
		return &k.ExpiresAt
	case "last_used_at":
		return &k.LastUsedAt
	case "revoked_at":
		return &k.RevokedAt
	case "previous_expires_at":
		return &k.PreviousExpiresAt
	}
	panic("apikeys: no place for " + field)
}

// ListAccounts answers service accounts in the order they were created, if no
// other is asked.
func (s *Service) ListAccounts(ctx context.Context, l *db.Lease, in lists.Request) (lists.Result[Account], error) {
	q, err := Accounts.Parse(in, l.Key)
	if err != nil {
		return lists.Result[Account]{}, err
	}
	return db.InTenantRead(ctx, l, func(tx db.TenantTx) (lists.Result[Account], error) {
		found, err := lists.Run(ctx, tx.SQL(), q, placeAccount, sql.IsNull("deleted_at"))
		if err == nil && slices.Contains(found.Shown, "role_ids") {
			err = loadRoles(ctx, tx, found.Items)
		}
		return found, err
	})
}

func placeAccount(a *Account, field string) any {
	switch field {
	case "id":
		return &a.ID
	case "name":
		return &a.Name
	case "description":
		return &a.Description
	case "version":
		return &a.Version
	case "created_at":
		return &a.CreatedAt
	case "updated_at":
		return &a.UpdatedAt
	}
	panic("apikeys: no place for " + field)
}

// loadRoles loads the ids of the roles of a page in one statement.
func loadRoles(ctx context.Context, tx db.TenantTx, accounts []Account) error {
	index := make(map[uuid.UUID]int, len(accounts))
	all := make([]string, len(accounts))
	for i, a := range accounts {
		index[a.ID], all[i] = i, a.ID.String()
	}
	rows, err := tx.SQL().QueryContext(ctx, `
		SELECT service_account_id, role_id FROM service_account_roles WHERE service_account_id = ANY ($1::uuid[]) ORDER BY role_id`, all)
	if err != nil {
		return fmt.Errorf("roles of service accounts: %w", err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var account, role uuid.UUID
		if err := rows.Scan(&account, &role); err != nil {
			return fmt.Errorf("roles of service accounts: %w", err)
		}
		accounts[index[account]].Roles = append(accounts[index[account]].Roles, role)
	}
	return rows.Err()
}
