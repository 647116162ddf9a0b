package auth

import (
	"context"
	"time"

	"github.com/google/uuid"

	"tenantry/internal/audit"
	"tenantry/internal/db"
	"tenantry/internal/ids"
	"tenantry/internal/notices"
	"tenantry/internal/onetime"
	"tenantry/internal/tenants"
)

// Lifetimes (A4). A session ends after its idle time without a refresh, and
// after its whole life whatever happens.
const (
	sessionTTL   = 30 * 24 * time.Hour
	idleTTL      = 14 * 24 * time.Hour
	challengeTTL = 5 * time.Minute
)

// Levels of assurance (NIST SP 800-63B).
const (
	OneFactor  = 1
	TwoFactors = 2
)

// Methods of login events.
const (
	MethodPassword   = "password"
	MethodMagicLink  = "magic_link"
	MethodTOTP       = "totp"
	MethodBackupCode = "backup_code"
)

// SignIn is how a way in answers: with tokens, or with a challenge.
type SignIn struct {
	// Tokens is nil while a second factor is wanted.
	Tokens *Tokens
	// Challenge is nil once all is shown.
	Challenge *Challenge
}

// Tokens are what a session hands out.
type Tokens struct {
	AccessToken    string
	ExpiresIn      time.Duration
	Session        ids.Session
	SessionExpires time.Time
	// RefreshToken is empty where the one before stays good.
	RefreshToken   string
	RefreshExpires time.Time
	// DeviceToken makes the device known at the next login; empty outside one.
	DeviceToken string
	// FactorDue is until when a second factor must be enrolled; nil when none
	// is missing.
	FactorDue *time.Time
}

// Challenge asks for what is missing.
type Challenge struct {
	Token string
	// Enrolling: no factor is there, and one must be made.
	Enrolling bool
	Expires   time.Time
}

// Entrance is somebody who has shown what their way in asks for.
type Entrance struct {
	User uuid.UUID
	// Revision is the account's when it was checked: one that has changed
	// since is refused.
	Revision int64
	// Method is of the login event.
	Method string
	// AMR is what was checked (RFC 8176), AAL the level it reaches.
	AMR []string
	AAL int
	// Rehashed replaces the password's hash, if not empty.
	Rehashed string
}

// Admit ends a way in, in the transaction of what it has checked: with a
// session, or with a challenge where the account has a second factor that was
// not shown, or must make one now. Refusals read like a wrong password.
func (s *Service) Admit(ctx context.Context, tx db.TenantTx, e tenants.Entry, in Entrance, m Meta) (SignIn, error) {
	now := s.now()
	p, err := lockPerson(ctx, tx, in)
	if err != nil {
		return SignIn{}, err
	}
	ev := event{at: now, outcome: outcomeSuccess, method: in.Method, user: &p.id, ipHash: ipHash(tx.DataKey(), m.IP, now)}
	if p.secondFactor && in.AAL < TwoFactors {
		ev.outcome = outcomeChallenge
		c, err := s.challenge(ctx, tx, p, in, false)
		if err != nil {
			return SignIn{}, err
		}
		return SignIn{Challenge: &c}, insertEvent(ctx, tx, ev)
	}
	due, overdue, err := s.factorDue(ctx, tx, p, m)
	if err != nil {
		return SignIn{}, err
	}
	if overdue {
		ev.outcome = outcomeChallenge
		c, err := s.challenge(ctx, tx, p, in, true)
		if err != nil {
			return SignIn{}, err
		}
		return SignIn{Challenge: &c}, insertEvent(ctx, tx, ev)
	}
	if err := insertEvent(ctx, tx, ev); err != nil {
		return SignIn{}, err
	}
	t, err := s.open(ctx, tx, e, p, in, m)
	t.FactorDue = due
	return SignIn{Tokens: &t}, err
}

// challenge makes a sign-in wait for its second factor.
func (s *Service) challenge(ctx context.Context, tx db.TenantTx, p person, in Entrance, enrolling bool) (Challenge, error) {
	now := s.now()
	c := Challenge{Enrolling: enrolling, Expires: now.Add(challengeTTL)}
	id := ids.New()
	if err := insertChallenge(ctx, tx, id, p, in.AMR, c, now); err != nil {
		return c, err
	}
	var err error
	c.Token, err = onetime.Mint(ctx, tx, onetime.MFAChallenge, id, now, c.Expires)
	return c, err
}

// open makes a session.
func (s *Service) open(ctx context.Context, tx db.TenantTx, e tenants.Entry, p person, in Entrance, m Meta) (Tokens, error) {
	now := s.now()
	ses := session{
		id: ids.New(), user: p.id, at: now, authenticated: now, expires: now.Add(sessionTTL), amr: in.AMR, aal: in.AAL, device: DeviceLabel(m.UserAgent),
		revision: p.revision,
	}
	if err := countLogin(ctx, tx, p, now); err != nil {
		return Tokens{}, err
	}
	if err := insertSession(ctx, tx, ses); err != nil {
		return Tokens{}, err
	}
	refresh, err := onetime.Mint(ctx, tx, onetime.Refresh, ses.id, now, ses.idle(now))
	if err != nil {
		return Tokens{}, err
	}
	device, err := recognize(ctx, tx, p, ses, m, now)
	if err != nil {
		return Tokens{}, err
	}
	err = audit.Write(ctx, tx, now, audit.Entry{
		Actor: audit.User(ids.User(p.id)), Action: "session.created", TargetKind: "session", TargetID: ses.id,
		TenantID: tx.Tenant(), RequestID: m.RequestID, After: map[string]any{"amr": in.AMR},
	})
	if err != nil {
		return Tokens{}, err
	}
	t, err := s.issue(e, ses, refresh)
	t.DeviceToken = device
	return t, err
}

// recognize answers the token that makes the device known from now on; the
// owner is told of one that was not. The first login needs no warning: it
// follows a mail to the same address.
func recognize(ctx context.Context, tx db.TenantTx, p person, ses session, m Meta, now time.Time) (string, error) {
	d, ok := readDevice(tx.DataKey(), m.DeviceToken, now)
	if ok && d.of(p.id, p.deviceEpoch) {
		return d.token(tx.DataKey(), now), nil
	}
	if p.logins > 0 {
		if err := notices.Write(ctx, tx, now, notices.NewDevice, ses.id); err != nil {
			return "", err
		}
	}
	return newDevice(p.id, p.deviceEpoch).token(tx.DataKey(), now), nil
}

// issue signs the access token of a session.
func (s *Service) issue(e tenants.Entry, ses session, refresh string) (Tokens, error) {
	c := Claims{User: ids.User(ses.user), Session: ids.Session(ses.id), Version: ses.revision, AAL: ses.aal, AuthTime: ses.authenticated}
	access, err := s.tokens.sign(e, c, ses.amr)
	return Tokens{
		AccessToken: access, ExpiresIn: accessTTL, Session: c.Session, SessionExpires: ses.expires,
		RefreshToken: refresh, RefreshExpires: ses.idle(s.now()),
	}, err
}
