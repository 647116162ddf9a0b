package auth

import (
	"crypto/ed25519"
	"net/url"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"tenantry/internal/apperr"
	"tenantry/internal/clock"
	"tenantry/internal/db"
	"tenantry/internal/ids"
	"tenantry/internal/secrets"
	"tenantry/internal/settings"
	"tenantry/internal/tenants"
	"tenantry/internal/testdb"
)

// rig is a tenant with a signing key, where sessions are opened as a sign-in
// opens them.
type rig struct {
	lease *db.Lease
	entry tenants.Entry
}

func newRig(t *testing.T) rig {
	t.Helper()
	in := testdb.New(t)
	tn := in.Active(t, "acme")
	seed, kid := secrets.RandomBytes(ed25519.SeedSize), ids.New()
	sealed, err := tn.Key.Seal(seed, tenants.SealSigningKey+"/"+kid.String())
	require.NoError(t, err)
	_, err = in.Central.Pool().Exec(t.Context(), `
		INSERT INTO signing_keys (id, tenant_id, public_key, private_key, activates_at, created_at) VALUES ($1, $2, $3, $4, $5, $5)`,
		kid, tn.ID.UUID(), []byte(ed25519.NewKeyFromSeed(seed).Public().(ed25519.PublicKey)), sealed, time.Unix(0, 0))
	require.NoError(t, err)
	entry, err := tenants.NewDirectory(in.Central).ByID(t.Context(), tn.ID)
	require.NoError(t, err)
	r := rig{lease: in.Lease(t, tn), entry: entry}
	_, err = db.InTenant(t.Context(), r.lease, func(tx db.TenantTx) (struct{}, error) {
		return struct{}{}, settings.Init(t.Context(), tx, time.Unix(0, 0), settings.Document{}.WithDefaults())
	})
	require.NoError(t, err)
	return r
}

// service is a process: what it knows beside the database is lost with it.
func (r rig) service(now clock.Clock) *Service {
	return New(Deps{Now: now, URLs: tenants.NewURLs(&url.URL{Scheme: "http", Host: "localhost:8080"})})
}

// account makes somebody to log in as.
func (r rig) account(t *testing.T) uuid.UUID {
	t.Helper()
	id, key := ids.New(), ids.New()
	_, err := r.lease.Database().Exec(t.Context(), `INSERT INTO subject_keys (id, sealed_key) VALUES ($1, '')`, key)
	require.NoError(t, err)
	_, err = r.lease.Database().Exec(t.Context(), `
		INSERT INTO users (id, subject_key_id, name, email, email_normalized, password_hash) VALUES ($1, $2, 'P', $3, $3, '')`,
		id, key, id.String()+"@acme.example")
	require.NoError(t, err)
	return id
}

// open opens a session.
func (r rig) open(t *testing.T, s *Service, user uuid.UUID) Tokens {
	t.Helper()
	got, err := db.InTenant(t.Context(), r.lease, func(tx db.TenantTx) (Tokens, error) {
		return s.open(t.Context(), tx, r.entry, person{id: user, revision: 1}, Entrance{User: user, AMR: []string{"pwd"}, AAL: OneFactor}, Meta{})
	})
	require.NoError(t, err)
	return got
}

func (r rig) refresh(t *testing.T, s *Service, token string) (Tokens, error) {
	t.Helper()
	return s.Refresh(t.Context(), r.lease, r.entry, token, Meta{})
}

// refused reports whether the answer says that the token is worth nothing;
// any other failure fails the test.
func refused(t *testing.T, err error) bool {
	t.Helper()
	if err == nil {
		return false
	}
	require.Equal(t, "REFRESH_INVALID", apperr.ReasonOf(err), "%v", err)
	return true
}

// traces is what a session has left behind.
type traces struct {
	revoked                   bool
	tokens, refreshed, reused int
	notices                   int
}

func (r rig) traces(t *testing.T, id ids.Session) (out traces) {
	t.Helper()
	err := r.lease.Database().QueryRow(t.Context(), `
		SELECT revoked_at IS NOT NULL,
			(SELECT count(*) FROM one_time_values WHERE subject_id = s.id AND purpose = 'refresh'),
			(SELECT count(*) FROM audit_log WHERE target_id = s.id AND action = 'session.refreshed'),
			(SELECT count(*) FROM audit_log WHERE target_id = s.id AND action = 'session.reuse_detected'),
			(SELECT count(*) FROM outbox WHERE subject_id = s.id AND name = 'notice_session_reused')
		FROM sessions s WHERE id = $1`, id.UUID()).Scan(&out.revoked, &out.tokens, &out.refreshed, &out.reused, &out.notices)
	require.NoError(t, err)
	return out
}
