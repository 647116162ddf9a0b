package auth

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"tenantry/ent/tenantdb"
	entsession "tenantry/ent/tenantdb/session"
	"tenantry/ent/tenantdb/user"
	"tenantry/internal/db"
	"tenantry/internal/ids"
)

// person is an account that somebody signs in to, locked.
type person struct {
	id           uuid.UUID
	revision     int64
	logins       int64
	deviceEpoch  int64
	secondFactor bool
	// factorDue is until when a required factor may still be missing; nil when
	// none is, or nobody has looked yet.
	factorDue *time.Time
}

// lockPerson answers the account of an entrance, if it is still the one that
// was checked, and gives it a new hash where there is one.
func lockPerson(ctx context.Context, tx db.TenantTx, in Entrance) (person, error) {
	u, err := tx.Ent().User.Query().Where(user.ID(in.User), user.DeletedAtIsNil(), user.Revision(in.Revision), user.PasswordLocked(false)).
		ForUpdate().Only(ctx)
	if tenantdb.IsNotFound(err) {
		return person{}, errLogin()
	}
	if err != nil {
		return person{}, fmt.Errorf("lock account: %w", err)
	}
	if in.Rehashed != "" {
		if err := tx.Ent().User.UpdateOneID(in.User).SetPasswordHash(in.Rehashed).Exec(ctx); err != nil {
			return person{}, fmt.Errorf("renew hash: %w", err)
		}
	}
	return person{id: u.ID, revision: u.Revision, logins: u.LoginCount, deviceEpoch: u.DeviceEpoch, secondFactor: u.SecondFactor, factorDue: u.FactorDueAt}, nil
}

// countLogin notes a login at the account.
func countLogin(ctx context.Context, tx db.TenantTx, p person, now time.Time) error {
	if err := tx.Ent().User.UpdateOneID(p.id).AddLoginCount(1).SetLastLoginAt(now).Exec(ctx); err != nil {
		return fmt.Errorf("count login: %w", err)
	}
	return nil
}

// session is a row of sessions, with its account's revision.
type session struct {
	id, user          uuid.UUID
	at, authenticated time.Time
	expires           time.Time
	amr               []string
	aal               int
	device            string
	revision          int64
	// owner is the account as lockSession has read it, not locked.
	owner person
}

// idle is when a refresh token that is given out now ends.
func (s session) idle(now time.Time) time.Time {
	if t := now.Add(idleTTL); t.Before(s.expires) {
		return t
	}
	return s.expires
}

func insertSession(ctx context.Context, tx db.TenantTx, s session) error {
	err := tx.Ent().Session.Create().SetID(s.id).SetUserID(s.user).SetAuthenticatedAt(s.authenticated).SetCreatedAt(s.at).SetLastUsedAt(s.at).
		SetExpiresAt(s.expires).SetAmr(s.amr).SetAal(s.aal).SetDevice(s.device).Exec(ctx)
	if err != nil {
		return fmt.Errorf("insert session: %w", err)
	}
	return nil
}

// lockSession answers a session that is alive, and keeps it so until the
// transaction ends.
func lockSession(ctx context.Context, tx db.TenantTx, id uuid.UUID, now time.Time) (session, error) {
	r, err := tx.Ent().Session.Query().Where(entsession.ID(id), entsession.RevokedAtIsNil(), entsession.ExpiresAtGT(now),
		entsession.HasUserWith(user.DeletedAtIsNil())).ForUpdate().WithUser().Only(ctx)
	if tenantdb.IsNotFound(err) {
		return session{}, errRefresh()
	}
	if err != nil {
		return session{}, fmt.Errorf("lock session: %w", err)
	}
	return session{
		id: r.ID, user: r.UserID, at: r.CreatedAt, authenticated: r.AuthenticatedAt, expires: r.ExpiresAt, amr: r.Amr, aal: r.Aal,
		device: r.Device, revision: r.Edges.User.Revision,
		owner: person{id: r.UserID, secondFactor: r.Edges.User.SecondFactor, factorDue: r.Edges.User.FactorDueAt},
	}, nil
}

// saveLevel writes what a session has shown by now.
func saveLevel(ctx context.Context, tx db.TenantTx, s session) error {
	err := tx.Ent().Session.UpdateOneID(s.id).SetAuthenticatedAt(s.authenticated).SetAmr(s.amr).SetAal(s.aal).Exec(ctx)
	if err != nil {
		return fmt.Errorf("raise session: %w", err)
	}
	return nil
}

func touchSession(ctx context.Context, tx db.TenantTx, id uuid.UUID, now time.Time) error {
	if err := tx.Ent().Session.UpdateOneID(id).SetLastUsedAt(now).Exec(ctx); err != nil {
		return fmt.Errorf("touch session: %w", err)
	}
	return nil
}

func revokeSession(ctx context.Context, tx db.TenantTx, id uuid.UUID, now time.Time) error {
	if err := tx.Ent().Session.UpdateOneID(id).SetRevokedAt(now).Exec(ctx); err != nil {
		return fmt.Errorf("revoke session: %w", err)
	}
	return nil
}

// EndSessions ends what an account has open beside one session, or beside none,
// and answers how many there were.
func EndSessions(ctx context.Context, tx db.TenantTx, id ids.User, keep ids.Session, now time.Time) (int, error) {
	n, err := tx.Ent().Session.Update().Where(entsession.UserID(id.UUID()), entsession.IDNEQ(keep.UUID()), entsession.RevokedAtIsNil()).
		SetRevokedAt(now).Save(ctx)
	if err != nil {
		return 0, fmt.Errorf("end sessions: %w", err)
	}
	return n, nil
}

func insertChallenge(ctx context.Context, tx db.TenantTx, id uuid.UUID, p person, amr []string, c Challenge, now time.Time) error {
	err := tx.Ent().MFAChallenge.Create().SetID(id).SetUserID(p.id).SetRevision(p.revision).SetAmr(amr).SetEnrolling(c.Enrolling).
		SetCreatedAt(now).SetExpiresAt(c.Expires).Exec(ctx)
	if err != nil {
		return fmt.Errorf("insert challenge: %w", err)
	}
	return nil
}

// Outcomes of login events.
const (
	outcomeSuccess   = "success"
	outcomeFailure   = "failure"
	outcomeChallenge = "challenge"
	outcomeBlocked   = "blocked"
)

type event struct {
	at              time.Time
	outcome, method string
	user            *uuid.UUID
	addressHash     []byte
	ipHash          []byte
}

func insertEvent(ctx context.Context, tx db.TenantTx, e event) error {
	q := tx.Ent().LoginEvent.Create().SetID(ids.New()).SetOutcome(e.outcome).SetMethod(e.method).SetAt(e.at).SetNillableUserID(e.user)
	if e.addressHash != nil {
		q.SetAddressHash(e.addressHash)
	}
	if e.ipHash != nil {
		q.SetIPHash(e.ipHash)
	}
	return q.Exec(ctx)
}
