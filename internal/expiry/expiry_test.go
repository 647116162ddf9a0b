package expiry

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"tenantry/internal/clock"
	"tenantry/internal/db"
	"tenantry/internal/ids"
	"tenantry/internal/testdb"
)

// house is a tenant's database with somebody in it.
type house struct {
	*db.Lease
	user uuid.UUID
	now  time.Time
}

func setup(t *testing.T) *house {
	t.Helper()
	_, l := testdb.New(t).ActiveTenant(t, "acme")
	h := &house{Lease: l, now: clock.System()}
	h.user = h.person(t)
	return h
}

// put inserts a row; the values are those of the columns in order.
func (h *house) put(t *testing.T, table, columns string, values ...any) uuid.UUID {
	t.Helper()
	id := ids.New()
	marks := make([]string, len(values)+1)
	for i := range marks {
		marks[i] = fmt.Sprintf("$%d", i+1)
	}
	_, err := h.Database().Exec(t.Context(), `INSERT INTO `+table+` (id, `+columns+`) VALUES (`+strings.Join(marks, ", ")+`)`, append([]any{id}, values...)...)
	require.NoError(t, err)
	return id
}

func (h *house) key(t *testing.T) uuid.UUID { return h.put(t, "subject_keys", "sealed_key", []byte{1}) }

func (h *house) person(t *testing.T) uuid.UUID {
	t.Helper()
	return h.put(t, "users", "subject_key_id, name, email, email_normalized, password_hash", h.key(t), "P", "p", ids.New().String(), "")
}

func (h *house) session(t *testing.T, expires time.Duration, revoked *time.Duration) uuid.UUID {
	t.Helper()
	var at *time.Time
	if revoked != nil {
		v := h.now.Add(*revoked)
		at = &v
	}
	return h.put(t, "sessions", "user_id, authenticated_at, amr, expires_at, revoked_at", h.user, h.now, `["pwd"]`, h.now.Add(expires), at)
}

func (h *house) value(t *testing.T, purpose string, subject uuid.UUID, expires time.Duration, used bool) uuid.UUID {
	t.Helper()
	var at *time.Time
	if used {
		v := h.now.Add(expires - time.Hour)
		at = &v
	}
	return h.put(t, "one_time_values", "purpose, subject_id, token_hash, expires_at, used_at", purpose, subject,
		hashOf(ids.New()), h.now.Add(expires), at)
}

func (h *house) registration(t *testing.T, key uuid.UUID, expires time.Duration) uuid.UUID {
	t.Helper()
	return h.put(t, "registrations", "subject_key_id, name, email, password_hash, address_hash, expires_at", key, []byte{1}, []byte{1}, []byte{1}, make([]byte, 32), h.now.Add(expires))
}

// left answers the ids that a table still has.
func (h *house) left(t *testing.T, table string) (out []uuid.UUID) {
	t.Helper()
	rows, err := h.Database().Query(t.Context(), `SELECT id FROM `+table)
	require.NoError(t, err)
	defer rows.Close()
	for rows.Next() {
		var id uuid.UUID
		require.NoError(t, rows.Scan(&id))
		out = append(out, id)
	}
	require.NoError(t, rows.Err())
	return out
}

// sweep runs batches of one until there is no more, as the pass does, and
// answers how many it took.
func (h *house) sweep(t *testing.T) (batches int) {
	t.Helper()
	for ; batches < 100; batches++ {
		n, err := Sweep(t.Context(), h.Lease, h.now, 1)
		require.NoError(t, err)
		if n < 1 {
			return batches
		}
	}
	require.Fail(t, "the sweep does not end")
	return 0
}

const day = 24 * time.Hour

func after(d time.Duration) *time.Duration { return &d }

// Each of these was proven against statements that do not look at the time, one
// by one, and against those that do not look at what still needs the row: the
// purpose, the session, the tokens, the account, the link, the kind.
func TestSweep_DeletesExpiredOneTimeValuesAndNoneThatWorks(t *testing.T) {
	t.Parallel()
	h := setup(t)
	keep := []uuid.UUID{
		h.value(t, "invitation", ids.New(), time.Hour, false),
		h.value(t, "verify_email", ids.New(), time.Hour, true),
		h.value(t, "not_me", ids.New(), -time.Hour, false), // expired, within the slack
	}
	for _, purpose := range []string{"verify_email", "invitation", "mfa_challenge", "magic_link", "magic_code", "password_reset", "email_change", "email_undo", "not_me"} {
		h.value(t, purpose, ids.New(), -3*time.Hour, purpose < "m")
	}
	require.Positive(t, h.sweep(t))
	require.ElementsMatch(t, keep, h.left(t, "one_time_values"))
}

func TestSweep_KeepsRefreshTokensUntilTheirSessionHasEndedForGood(t *testing.T) {
	t.Parallel()
	h := setup(t)
	live := h.session(t, 10*day, nil)
	revoked := h.session(t, 10*day, after(-3*time.Hour))
	justRevoked := h.session(t, 10*day, after(-time.Minute))
	over := h.session(t, -3*time.Hour, nil)
	keep := []uuid.UUID{
		h.value(t, "refresh", live, -15*day, true), // a thief may still come with it
		h.value(t, "refresh", live, -day, false),
		h.value(t, "refresh", live, 14*day, false),
		h.value(t, "refresh", justRevoked, -3*time.Hour, true),
		h.value(t, "refresh", revoked, 14*day, false), // refused by its session; goes when it has expired itself
	}
	h.value(t, "refresh", revoked, -3*time.Hour, true)
	h.value(t, "refresh", over, -3*time.Hour, false)
	h.value(t, "refresh", ids.New(), -3*time.Hour, false) // its session is gone
	h.sweep(t)
	require.ElementsMatch(t, keep, h.left(t, "one_time_values"))
}

func TestSweep_DeletesSessionsThatEndedLongAgo(t *testing.T) {
	t.Parallel()
	h := setup(t)
	waiting := h.session(t, -40*day, nil)
	h.value(t, "refresh", waiting, 14*day, false)
	keep := []uuid.UUID{
		h.session(t, 10*day, nil), h.session(t, 10*day, after(-29*day)), h.session(t, -29*day, nil),
		waiting, // after its tokens
	}
	h.session(t, 10*day, after(-31*day))
	h.session(t, -31*day, nil)
	h.sweep(t)
	require.ElementsMatch(t, keep, h.left(t, "sessions"))
}

func TestSweep_DeletesRegistrationsWithTheirKeys(t *testing.T) {
	t.Parallel()
	h := setup(t)
	waiting, past := h.key(t), h.key(t)
	var adopted uuid.UUID
	require.NoError(t, h.Database().QueryRow(t.Context(), `SELECT subject_key_id FROM users WHERE id = $1`, h.user).Scan(&adopted))
	keep := h.registration(t, waiting, time.Hour)
	h.registration(t, past, -3*time.Hour)
	h.registration(t, adopted, -3*time.Hour)
	h.sweep(t)
	require.Equal(t, []uuid.UUID{keep}, h.left(t, "registrations"))
	require.ElementsMatch(t, []uuid.UUID{waiting, adopted}, h.left(t, "subject_keys"), "an account's key is never deleted")
}

func TestSweep_DeletesWhatWaitedForAnAnswerThatNeverCame(t *testing.T) {
	t.Parallel()
	h := setup(t)
	hash := make([]byte, 32)
	challenge := func(expires time.Duration) uuid.UUID {
		return h.put(t, "mfa_challenges", "user_id, revision, amr, expires_at", h.user, 1, `["pwd"]`, h.now.Add(expires))
	}
	link := func(expires time.Duration) uuid.UUID {
		return h.put(t, "magic_links", "address_hash, challenge, code_hash, expires_at", hash, hash, hash, h.now.Add(expires))
	}
	change := func(expires time.Duration) uuid.UUID {
		return h.put(t, "email_changes", "user_id, old_email, new_email, expires_at", h.user, []byte{1}, []byte{1}, h.now.Add(expires))
	}
	reset := func(expires time.Duration) uuid.UUID {
		return h.put(t, "factor_resets", "user_id, requester_id, expires_at", h.user, ids.New(), h.now.Add(expires))
	}
	undoable := change(-31 * day)
	h.value(t, "email_undo", undoable, day, false)
	keep := map[string][]uuid.UUID{
		"mfa_challenges": {challenge(time.Minute), challenge(-time.Hour)},
		"magic_links":    {link(time.Minute), link(-time.Hour)},
		"email_changes":  {change(time.Hour), change(-29 * day), undoable},
		"factor_resets":  {reset(time.Hour), reset(-89 * day)},
	}
	challenge(-3 * time.Hour)
	link(-3 * time.Hour)
	change(-31 * day)
	reset(-91 * day)
	h.sweep(t)
	for table, want := range keep {
		require.ElementsMatch(t, want, h.left(t, table), table)
	}
}

func TestSweep_DeletesMailsThatWereSentAndNoneThatWaits(t *testing.T) {
	t.Parallel()
	h := setup(t)
	row := func(kind string, done *time.Duration) uuid.UUID {
		var at *time.Time
		if done != nil {
			v := h.now.Add(*done)
			at = &v
		}
		return h.put(t, "outbox", "kind, name, created_at, done_at", kind, "x", h.now.Add(-60*day), at)
	}
	keep := []uuid.UUID{row("mail", nil), row("mail", after(-6*day)), row("event", after(-8*day)), row("event", nil)}
	row("mail", after(-8*day))
	h.sweep(t)
	require.ElementsMatch(t, keep, h.left(t, "outbox"))
}

// Planted: Each that stops at the first error.
func TestEach_OneThatFailsDoesNotKeepTheOthers(t *testing.T) {
	t.Parallel()
	ran := 0
	does := func(n int, err error) Sweeper {
		return func(context.Context, *db.Lease, time.Time, int) (int, error) { ran++; return n, err }
	}
	broken := errors.New("x")
	n, err := Each(does(1, nil), does(0, broken), does(3, nil), does(2, nil))(t.Context(), nil, time.Time{}, 5)
	require.ErrorIs(t, err, broken)
	require.Equal(t, 3, n)
	require.Equal(t, 4, ran)
}

func hashOf(id uuid.UUID) []byte { return append(make([]byte, 16), id[:]...) }
