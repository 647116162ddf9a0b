package auth

import (
	"context"
	"time"

	"github.com/google/uuid"

	"tenantry/internal/apperr"
	"tenantry/internal/audit"
	"tenantry/internal/db"
)

// Session is a login as its owner sees it.
type Session struct {
	ID uuid.UUID
	// Device is a [DeviceLabel].
	Device string
	// Current: it is the session of the credential that asks.
	Current         bool
	AuthenticatedAt time.Time
	AMR             []string
	AAL             int
	CreatedAt       time.Time
	LastUsedAt      time.Time
	ExpiresAt       time.Time
}

func errSession() error {
	return apperr.New(apperr.NotFound, "SESSION_NOT_FOUND", "There is no such session.")
}

// RevokeSession ends one of the principal's own sessions; another's is
// answered like one that is not there. A repetition changes nothing.
func (s *Service) RevokeSession(ctx context.Context, l *db.Lease, p Principal, id uuid.UUID, m Meta, mark *db.Mark[struct{}]) error {
	_, err := db.InTenantOnce(ctx, l, mark, func(tx db.TenantTx) (struct{}, error) {
		ended, err := lockOwnSession(ctx, tx, id, p.User)
		if err != nil || ended {
			return struct{}{}, err
		}
		if err := revokeSession(ctx, tx, id, s.now()); err != nil {
			return struct{}{}, err
		}
		return struct{}{}, s.auditRevoked(ctx, tx, p, id, m)
	})
	return err
}

// RevokeAllSessions ends every session of the principal's but the one that
// calls, and answers how many that were.
func (s *Service) RevokeAllSessions(ctx context.Context, l *db.Lease, p Principal, m Meta, mark *db.Mark[int]) (int, error) {
	return db.InTenantOnce(ctx, l, mark, func(tx db.TenantTx) (int, error) {
		ended, err := revokeOthers(ctx, tx, p.User, p.Session, s.now())
		if err != nil {
			return 0, err
		}
		for _, id := range ended {
			if err := s.auditRevoked(ctx, tx, p, id, m); err != nil {
				return 0, err
			}
		}
		return len(ended), nil
	})
}

func (s *Service) auditRevoked(ctx context.Context, tx db.TenantTx, p Principal, id uuid.UUID, m Meta) error {
	return audit.Write(ctx, tx, s.now(), audit.Entry{
		Actor: audit.User(p.User), Action: "session.revoked", TargetKind: "session", TargetID: id,
		TenantID: tx.Tenant(), RequestID: m.RequestID, After: map[string]any{"by_session": p.Session.String()},
	})
}
