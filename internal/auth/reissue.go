package auth

import (
	"context"

	"github.com/google/uuid"

	"tenantry/internal/db"
	"tenantry/internal/ids"
	"tenantry/internal/tenants"
)

// Reissue answers a new access token of a session that goes on while its
// account's revision has moved. Its refresh token stays good, so an answer
// that is lost logs nobody out.
func (s *Service) Reissue(ctx context.Context, tx db.TenantTx, e tenants.Entry, id ids.Session) (Tokens, error) {
	ses, err := lockSession(ctx, tx, uuid.UUID(id), s.now())
	if err != nil {
		return Tokens{}, err
	}
	return s.issue(e, ses, "")
}

// NoteFailure writes the login event of an attempt by a method other than the
// password that was refused.
func (s *Service) NoteFailure(ctx context.Context, tx db.TenantTx, user uuid.UUID, method string, m Meta) error {
	now := s.now()
	return insertEvent(ctx, tx, event{at: now, outcome: outcomeFailure, method: method, user: &user, ipHash: ipHash(tx.DataKey(), m.IP, now)})
}
