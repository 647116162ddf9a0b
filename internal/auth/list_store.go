package auth

import (
	"context"
	"fmt"
	"slices"
	"time"

	"entgo.io/ent/dialect/sql"
	"github.com/google/uuid"

	"tenantry/ent/schema/tenant"
	"tenantry/ent/tenantdb"
	entsession "tenantry/ent/tenantdb/session"
	"tenantry/internal/db"
	"tenantry/internal/ids"
	"tenantry/internal/lists"
)

// Sessions is what the list of sessions may show, filter and sort by.
var Sessions = lists.MustDerive(tenant.Session{}, lists.Options{
	Name: "sessions", Table: "sessions", Sort: "created_at",
	// Told from the ids: which one asks.
	Computed: map[string][]string{"current": {"id"}},
})

// ListSessions answers the principal's sessions that are alive, in the order
// they were opened, if no other is asked.
func (s *Service) ListSessions(ctx context.Context, l *db.Lease, p Principal, in lists.Request) (lists.Result[Session], error) {
	q, err := Sessions.Parse(in, l.Key)
	if err != nil {
		return lists.Result[Session]{}, err
	}
	now := s.now()
	return db.InTenantRead(ctx, l, func(tx db.TenantTx) (lists.Result[Session], error) {
		found, err := lists.Run(ctx, tx.SQL(), q, placeSession, sql.EQ("user_id", p.User.UUID()), sql.IsNull("revoked_at"),
			sql.GT("expires_at", now), sql.GT("last_used_at", now.Add(-idleTTL)))
		if err == nil && slices.Contains(found.Shown, "current") {
			for i := range found.Items {
				found.Items[i].Current = found.Items[i].ID == p.Session.UUID()
			}
		}
		return found, err
	})
}

func placeSession(s *Session, field string) any {
	switch field {
	case "id":
		return &s.ID
	case "device":
		return &s.Device
	case "authenticated_at":
		return &s.AuthenticatedAt
	case "amr":
		return lists.JSONTo(&s.AMR)
	case "aal":
		return &s.AAL
	case "created_at":
		return &s.CreatedAt
	case "last_used_at":
		return &s.LastUsedAt
	case "expires_at":
		return &s.ExpiresAt
	}
	panic("auth: no place for " + field)
}

// lockOwnSession holds a session of a person's and reports whether it has been
// revoked already.
func lockOwnSession(ctx context.Context, tx db.TenantTx, id uuid.UUID, owner ids.User) (ended bool, err error) {
	r, err := tx.Ent().Session.Query().Where(entsession.ID(id), entsession.UserID(owner.UUID())).ForUpdate().Only(ctx)
	if tenantdb.IsNotFound(err) {
		return false, errSession()
	}
	if err != nil {
		return false, fmt.Errorf("lock session: %w", err)
	}
	return r.RevokedAt != nil, nil
}

// revokeOthers ends a person's live sessions but one and answers their ids.
func revokeOthers(ctx context.Context, tx db.TenantTx, owner ids.User, but ids.Session, now time.Time) ([]uuid.UUID, error) {
	rows, err := tx.SQL().QueryContext(ctx, `
		UPDATE sessions SET revoked_at = $3 WHERE id IN (
			SELECT id FROM sessions WHERE user_id = $1 AND id <> $2 AND revoked_at IS NULL AND expires_at > $3 ORDER BY id FOR UPDATE)
		RETURNING id`, owner.UUID(), but.UUID(), now)
	if err != nil {
		return nil, fmt.Errorf("revoke sessions: %w", err)
	}
	defer func() { _ = rows.Close() }()
	var out []uuid.UUID
	for rows.Next() {
		var id uuid.UUID
		if err := rows.Scan(&id); err != nil {
			return nil, fmt.Errorf("revoke sessions: %w", err)
		}
		out = append(out, id)
	}
	return out, rows.Err()
}
