package signingkeys_test

import (
	"crypto/ed25519"
	"encoding/json"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"tenantry/internal/apperr"
	"tenantry/internal/audit"
	"tenantry/internal/clock/clocktest"
	"tenantry/internal/ids"
	"tenantry/internal/signingkeys"
	"tenantry/internal/tenants"
	"tenantry/internal/testdb"
)

// world is an installation with one tenant, and a clock the test moves.
type world struct {
	*testdb.Installation
	*clocktest.Clock
	tenant ids.Tenant
	keys   *signingkeys.Service
}

var operator = signingkeys.Requester{Actor: audit.System, RequestID: "cli-1"}

func setup(t *testing.T) *world {
	t.Helper()
	w := &world{Installation: testdb.New(t), Clock: clocktest.New()}
	w.tenant = w.InsertTenant(t, "acme", tenants.Active).ID
	w.keys = signingkeys.New(w.Central, w.Now)
	require.NoError(t, w.keys.Keep(t.Context(), w.tenant), "a tenant without a key gets one that signs at once")
	return w
}

// entry is how a process sees the tenant that asks the database now.
func (w *world) entry(t *testing.T) tenants.Entry {
	t.Helper()
	e, err := tenants.NewDirectory(w.Central).Fresh(t.Context(), w.tenant)
	require.NoError(t, err)
	return e
}

// signer answers the kid that signs, after checking that its halves match.
func (w *world) signer(t *testing.T, e tenants.Entry) uuid.UUID {
	t.Helper()
	kid, private, err := e.Signer(w.Now())
	require.NoError(t, err)
	public, ok := e.Key(kid, w.Now())
	require.True(t, ok, "what signs is verified")
	require.True(t, ed25519.Verify(public, []byte("x"), ed25519.Sign(private, []byte("x"))))
	return kid
}

func (w *world) published(t *testing.T, e tenants.Entry) (out []uuid.UUID) {
	t.Helper()
	for _, k := range e.LiveKeys(w.Now()) {
		out = append(out, k.ID)
	}
	return out
}

func (w *world) audited(t *testing.T, action string) (out []map[string]any) {
	t.Helper()
	rows, err := w.Provisioner.Query(t.Context(), `SELECT after FROM audit_log WHERE action = $1 AND tenant_id = $2 ORDER BY at`, action, w.tenant.UUID())
	require.NoError(t, err)
	defer rows.Close()
	for rows.Next() {
		var text []byte
		require.NoError(t, rows.Scan(&text))
		var doc map[string]any
		require.NoError(t, json.Unmarshal(text, &doc))
		out = append(out, doc)
	}
	return out
}

func TestRotate_PublishesBeforeItSignsAndVerifiesAfterIt(t *testing.T) {
	t.Parallel()
	w := setup(t)
	before := w.entry(t)
	old := w.signer(t, before)
	k, err := w.keys.Rotate(t.Context(), w.tenant, operator)
	require.NoError(t, err)

	during := w.entry(t)
	require.Equal(t, old, w.signer(t, during), "the new key does not sign yet")
	require.ElementsMatch(t, []uuid.UUID{old, k.ID}, w.published(t, during), "but everybody can know it")

	w.Move(signingkeys.Lead - time.Microsecond)
	require.Equal(t, old, w.signer(t, during))
	w.Move(time.Microsecond)
	require.Equal(t, k.ID, w.signer(t, during), "it signs from its moment on, without another look at the database")
	require.Equal(t, old, w.signer(t, before), "who has not looked for a minute signs with the old one")

	w.Move(tenants.AccessTTL)
	_, ok := during.Key(old, w.Now())
	require.True(t, ok, "a token that was signed in the last moment lives as long as any")
	w.Move(2 * time.Minute)
	_, ok = during.Key(old, w.Now())
	require.False(t, ok, "the old key ends by the clock")
	require.Equal(t, []uuid.UUID{k.ID}, w.published(t, during))

	require.NoError(t, w.keys.Keep(t.Context(), w.tenant))
	left, err := w.keys.List(t.Context(), w.tenant)
	require.NoError(t, err)
	require.Len(t, left, 1, "the next pass deletes it")
	require.Equal(t, "signing", left[0].State(w.Now()))
}

func TestRotate_OneThatHasBegunIsAnsweredAgain(t *testing.T) {
	t.Parallel()
	w := setup(t)
	var all sync.WaitGroup
	got := make([]uuid.UUID, 8)
	for i := range got {
		all.Go(func() {
			k, err := w.keys.Rotate(t.Context(), w.tenant, operator)
			if err == nil {
				got[i] = k.ID
			}
		})
	}
	all.Wait()
	for _, id := range got {
		require.Equal(t, got[0], id)
	}
	require.NotEqual(t, uuid.Nil, got[0])
	keys, err := w.keys.List(t.Context(), w.tenant)
	require.NoError(t, err)
	require.Len(t, keys, 2)
	require.Equal(t, []string{"signing", "published"}, []string{keys[0].State(w.Now()), keys[1].State(w.Now())})
}

func TestKeep_ChangesAKeyWhenItIsOldAndOnlyThen(t *testing.T) {
	t.Parallel()
	w := setup(t)
	first := w.signer(t, w.entry(t))
	for range 3 {
		require.NoError(t, w.keys.Keep(t.Context(), w.tenant))
	}
	w.Move(signingkeys.Age - time.Microsecond)
	require.NoError(t, w.keys.Keep(t.Context(), w.tenant))
	require.Equal(t, []uuid.UUID{first}, w.published(t, w.entry(t)))

	w.Move(time.Microsecond)
	for range 3 { // a pass may visit twice
		require.NoError(t, w.keys.Keep(t.Context(), w.tenant))
	}
	require.Len(t, w.published(t, w.entry(t)), 2)
	require.Equal(t, first, w.signer(t, w.entry(t)))
	w.Move(signingkeys.Lead)
	require.NotEqual(t, first, w.signer(t, w.entry(t)))
	require.Len(t, w.audited(t, "signing_key.rotated"), 2, "the first key and its successor")
}

func TestReplace_EndsEveryOlderKeyAtOnce(t *testing.T) {
	t.Parallel()
	w := setup(t)
	old := w.signer(t, w.entry(t))
	pending, err := w.keys.Rotate(t.Context(), w.tenant, operator)
	require.NoError(t, err)
	k, err := w.keys.Replace(t.Context(), w.tenant, operator)
	require.NoError(t, err)

	e := w.entry(t)
	require.Equal(t, k.ID, w.signer(t, e))
	require.Equal(t, []uuid.UUID{k.ID}, w.published(t, e))
	for _, gone := range []uuid.UUID{old, pending.ID} {
		_, ok := e.Key(gone, w.Now())
		require.False(t, ok, "a key that was only published may have leaked as well")
	}
	w.Move(-time.Hour)
	require.Equal(t, k.ID, w.signer(t, e), "a process whose clock is behind signs too")
	rows := w.audited(t, "signing_key.replaced")
	require.Len(t, rows, 1)
	require.Equal(t, k.ID.String(), rows[0]["kid"])
}

func TestRotateAndReplace_TouchNoOtherTenantAndNoneThatIsNotThere(t *testing.T) {
	t.Parallel()
	w := setup(t)
	other := w.InsertTenant(t, "globex", tenants.Active).ID
	require.NoError(t, w.keys.Keep(t.Context(), other))
	before, err := w.keys.List(t.Context(), other)
	require.NoError(t, err)
	making := w.InsertTenant(t, "initech", tenants.Provisioning).ID

	_, err = w.keys.Rotate(t.Context(), w.tenant, operator)
	require.NoError(t, err)
	_, err = w.keys.Replace(t.Context(), w.tenant, operator)
	require.NoError(t, err)
	for id, want := range map[ids.Tenant]string{making: "TENANT_STATE", ids.NewTenant(): "TENANT_NOT_FOUND"} {
		_, err = w.keys.Replace(t.Context(), id, operator)
		require.Equal(t, want, apperr.ReasonOf(err))
		_, err = w.keys.Rotate(t.Context(), id, operator)
		require.Equal(t, want, apperr.ReasonOf(err))
	}
	after, err := w.keys.List(t.Context(), other)
	require.NoError(t, err)
	require.Equal(t, before, after)

	w.SetState(t, other, tenants.Suspended)
	all, err := w.keys.All(t.Context())
	require.NoError(t, err)
	require.ElementsMatch(t, []ids.Tenant{w.tenant, other}, all, "a leaked key of a suspended tenant is as bad on the day it comes back")
	for _, text := range []string{"globex", other.String()} {
		found, err := w.keys.Find(t.Context(), text)
		require.NoError(t, err)
		require.Equal(t, other, found)
	}
	_, err = w.keys.Find(t.Context(), "nobody")
	require.Equal(t, "TENANT_NOT_FOUND", apperr.ReasonOf(err))
}
