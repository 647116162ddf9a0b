package invitations

import (
	"context"
	"slices"

	"tenantry/ent/schema/tenant"
	"tenantry/internal/db"
	"tenantry/internal/lists"
)

// List is what the list of invitations may show, filter and sort by. Their
// addresses are sealed: they are shown, and nothing can be found by them.
var List = lists.MustDerive(tenant.Invitation{}, lists.Options{
	Name: "invitations", Table: "invitations", Sort: "created_at",
	Computed: map[string][]string{
		"email": {"email", "subject_key_id"}, "state": {"expires_at", "accepted_at", "revoked_at"},
	},
})

// List answers invitations in the order they were created, if no other is
// asked.
func (s *Service) List(ctx context.Context, l *db.Lease, in lists.Request) (lists.Result[Invitation], error) {
	q, err := List.Parse(in, l.Key)
	if err != nil {
		return lists.Result[Invitation]{}, err
	}
	return db.InTenantRead(ctx, l, func(tx db.TenantTx) (lists.Result[Invitation], error) {
		rows, err := lists.Run(ctx, tx.SQL(), q, place)
		found := lists.Result[Invitation]{Next: rows.Next, Shown: rows.Shown}
		if err != nil {
			return found, err
		}
		if slices.Contains(rows.Shown, "email") {
			found.Items, err = showAll(ctx, tx, rows.Items, s.now())
			return found, err
		}
		for _, r := range rows.Items {
			found.Items = append(found.Items, r.shown("", s.now()))
		}
		return found, nil
	})
}

func place(r *invitationRow, field string) any {
	switch field {
	case "id":
		return &r.id
	case "subject_key_id":
		return &r.subjectKey
	case "email":
		return &r.email
	case "role_ids":
		return lists.JSONTo(&r.roles)
	case "inviter_id":
		return &r.inviter
	case "locale":
		return &r.locale
	case "version":
		return &r.version
	case "created_at":
		return &r.at
	case "expires_at":
		return &r.expires
	case "accepted_at":
		return &r.accepted
	case "revoked_at":
		return &r.revoked
	}
	panic("invitations: no place for " + field)
}
