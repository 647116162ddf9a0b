package lifecycle_test

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"tenantry/internal/apperr"
	"tenantry/internal/db"
	"tenantry/internal/operations"
	"tenantry/internal/settings"
	"tenantry/internal/tenants"
)

func (w *world) invite(email string) operations.Operation {
	w.t.Helper()
	op, err := w.tenants.InviteOwner(w.t.Context(), w.tenant, email, by, nil)
	require.NoError(w.t, err)
	return op
}

// waiting reports whether an address waits in the tenant's row.
func (w *world) waiting() bool {
	return value[bool](w, `SELECT owner_email IS NOT NULL FROM tenants`)
}

func TestInviteOwner_SendsItAgainAndTheLinkBeforeIsDead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	first := w.mails(owner)
	require.Len(t, first, 1)

	op := w.invite("")
	require.False(t, w.waiting())
	require.NoError(t, w.lifecycle.InviteOwner(ctx, call(op)))
	require.Equal(t, "succeeded", w.ended(op))
	again := w.mails(owner)
	require.Len(t, again, 2)
	require.Error(t, w.accept(first[0]), "the link before")

	// Corrected, it goes to the new address alone.
	op = w.invite("olga@acme.example")
	require.True(t, w.waiting())
	require.NoError(t, w.lifecycle.InviteOwner(ctx, call(op)))
	require.False(t, w.waiting(), "the address is wiped")
	corrected := w.mails("olga@acme.example")
	require.Len(t, corrected, 1)
	require.Len(t, w.mails(owner), 2)
	require.Error(t, w.accept(again[1]))
	// Once more to the same address: now that is the corrected one.
	require.NoError(t, w.lifecycle.InviteOwner(ctx, call(w.invite(""))))
	require.Len(t, w.mails("olga@acme.example"), 2)
	require.NoError(t, w.accept(w.mails("olga@acme.example")[1]))

	var open, revoked, audited int
	w.inside(func(c *pgx.Conn) error {
		return c.QueryRow(ctx, `SELECT count(*) FILTER (WHERE revoked_at IS NULL), count(*) FILTER (WHERE revoked_at IS NOT NULL),
			(SELECT count(*) FROM audit_log WHERE action = 'invitation.revoked') FROM invitations`).Scan(&open, &revoked, &audited)
	})
	require.Equal(t, []int{1, 3, 3}, []int{open, revoked, audited})
}

func TestInviteOwner_WhereAnOwnerHasJoinedSendsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	require.NoError(t, w.accept(w.mails(owner)[0]))
	op := w.invite("eve@acme.example")
	err := w.lifecycle.InviteOwner(ctx, call(op))
	require.Equal(t, "OWNER_PRESENT", apperr.ReasonOf(err))
	require.NoError(t, w.lifecycle.Fail(ctx, call(op), "OWNER_PRESENT"))
	require.Equal(t, "failed/OWNER_PRESENT", w.ended(op))
	require.False(t, w.waiting(), "the address is wiped")
	require.Empty(t, w.mails("eve@acme.example"))
	require.NoError(t, w.lifecycle.Fail(ctx, call(op), "OTHER"), "a repetition")
	require.Equal(t, "failed/OWNER_PRESENT", w.ended(op))
}

// A run that died after the tenant's transaction is repeated: one invitation,
// and the address of a later call is not this one's to wipe.
func TestInviteOwner_RepeatedAfterACrashWritesOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	op := w.invite("olga@acme.example")
	// The process ends between the two transactions: the central one is lost.
	w.Super(t, w.Names.Central(), `CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'dead'; END $$;
		CREATE TRIGGER die BEFORE UPDATE ON operations FOR EACH ROW WHEN (NEW.ended_at IS NOT NULL) EXECUTE FUNCTION die()`, pgx.QueryExecModeSimpleProtocol)
	require.Error(t, w.lifecycle.InviteOwner(ctx, call(op)))
	require.True(t, w.waiting())
	w.Super(t, w.Names.Central(), `DROP FUNCTION die CASCADE`)
	_, err := w.tenants.InviteOwner(ctx, w.tenant, "other@acme.example", by, nil)
	require.Equal(t, "TENANT_STATE", apperr.ReasonOf(err), "one at a time")
	require.ErrorContains(t, err, op.ID.String())

	require.NoError(t, w.lifecycle.InviteOwner(ctx, call(op)))
	require.Equal(t, "succeeded", w.ended(op))
	require.Len(t, w.mails("olga@acme.example"), 1)

	next := w.invite("other@acme.example")
	require.NoError(t, w.lifecycle.InviteOwner(ctx, call(op)), "a late attempt of the first")
	require.NoError(t, w.lifecycle.Fail(ctx, call(op), "TIMEOUT"), "and its end")
	require.True(t, w.waiting(), "wiped by a call that has ended")
	require.NoError(t, w.lifecycle.InviteOwner(ctx, call(next)))
	require.Len(t, w.mails("other@acme.example"), 1)
}

func TestInviteOwner_TenantSuspendedMeanwhileIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	op := w.invite("olga@acme.example")
	w.suspend()
	require.Eventually(t, func() bool {
		return apperr.ReasonOf(w.lifecycle.InviteOwner(t.Context(), call(op))) == "TENANT_NOT_ACTIVE"
	}, 10*time.Second, 20*time.Millisecond)
}

func (w *world) setLimit(n int) operations.Operation {
	w.t.Helper()
	got, err := w.tenants.Get(w.t.Context(), w.tenant)
	require.NoError(w.t, err)
	op, err := w.tenants.SetLimits(w.t.Context(), w.tenant, tenants.LimitsInput{MaxUsers: n, Version: got.Version}, by, nil)
	require.NoError(w.t, err)
	return op
}

// limit answers the tenant's own limit, the version of its document and how
// often it was changed.
func (w *world) limit() (limit, version, changes int) {
	w.t.Helper()
	w.inside(func(c *pgx.Conn) error {
		return c.QueryRow(w.t.Context(), `SELECT (document->>'max_users')::int, version,
			(SELECT count(*) FROM audit_log WHERE action = 'settings.limits_applied') FROM settings`).Scan(&limit, &version, &changes)
	})
	return limit, version, changes
}

func TestSetLimits_TakesTheLimitIntoTheTenantsSettings(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	got, err := w.tenants.Get(ctx, w.tenant)
	require.NoError(t, err)
	require.Equal(t, 2, got.MaxUsers, "the reservation's")

	_, err = w.tenants.SetLimits(ctx, w.tenant, tenants.LimitsInput{MaxUsers: 7}, by, nil)
	require.Equal(t, "VERSION_REQUIRED", apperr.ReasonOf(err))
	_, err = w.tenants.SetLimits(ctx, w.tenant, tenants.LimitsInput{MaxUsers: 7, Version: got.Version - 1}, by, nil)
	require.Equal(t, "VERSION_CONFLICT", apperr.ReasonOf(err))
	for _, n := range []int{-1, 1_000_001} {
		_, err = w.tenants.SetLimits(ctx, w.tenant, tenants.LimitsInput{MaxUsers: n, Version: got.Version}, by, nil)
		e, ok := apperr.As(err)
		require.True(t, ok)
		require.Equal(t, "max_users", e.Fields[0].Path)
	}

	op := w.setLimit(7)
	for range 2 {
		require.NoError(t, w.lifecycle.ApplyLimits(ctx, call(op)))
		limit, version, changes := w.limit()
		require.Equal(t, []int{7, 2, 1}, []int{limit, version, changes})
	}
	require.Equal(t, "succeeded", w.ended(op))
	doc, err := db.InTenantRead(ctx, w.lease(), func(tx db.TenantTx) (settings.Document, error) { return settings.Load(ctx, tx) })
	require.NoError(t, err)
	require.Equal(t, 7, doc.MaxUsers)
	require.Equal(t, settings.InviteOnly, doc.RegistrationPolicy, "the rest of the document stays")
}

// The run of an older wish is held up between its reading and its writing: the
// newer run waits for it, so the newer limit is written last.
func TestApplyLimits_AnOlderReadingIsNeverWrittenLast(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	require.NoError(t, w.lifecycle.ApplyLimits(ctx, call(w.setLimit(4)))) // this process has its outbox mark
	older := w.setLimit(5)
	// Another process needs a mark before it may write, and waits for it.
	hold, err := pgx.Connect(ctx, w.SuperURLOn(w.Names.Central()))
	require.NoError(t, err)
	_, err = hold.Exec(ctx, `BEGIN; LOCK TABLE outbox_dirty`, pgx.QueryExecModeSimpleProtocol)
	require.NoError(t, err)
	ended := make(chan error, 2)
	other := w.otherProcess()
	go func() { ended <- other.ApplyLimits(ctx, call(older)) }()
	waits := func(kind string) bool {
		return value[int](w, `SELECT count(*) FROM pg_locks WHERE locktype = $1 AND NOT granted
			AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`, kind) > 0
	}
	require.Eventually(t, func() bool { return waits("relation") }, 10*time.Second, 5*time.Millisecond)
	newer := w.setLimit(9)
	go func() { ended <- w.lifecycle.ApplyLimits(ctx, call(newer)) }()
	require.Eventually(t, func() bool { return waits("advisory") || len(ended) > 0 }, 10*time.Second, 5*time.Millisecond)
	require.NoError(t, hold.Close(ctx))
	require.NoError(t, <-ended)
	require.NoError(t, <-ended)
	limit, _, _ := w.limit()
	require.Equal(t, 9, limit)
	// In the other order, the late one reads the newer value too.
	a, b := w.setLimit(3), w.setLimit(4)
	require.NoError(t, w.lifecycle.ApplyLimits(ctx, call(b)))
	require.NoError(t, w.lifecycle.ApplyLimits(ctx, call(a)))
	limit, _, _ = w.limit()
	require.Equal(t, 4, limit)
}

func TestApplyLimits_WaitsForASuspendedTenant(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	op := w.setLimit(5)
	shut := w.suspend()
	w.apply(shut)
	err := w.lifecycle.ApplyLimits(t.Context(), call(op))
	require.Equal(t, apperr.Unavailable, apperr.KindOf(err), "to be tried again: %v", err)
	w.apply(w.resume())
	require.Eventually(t, func() bool { return w.lifecycle.ApplyLimits(t.Context(), call(op)) == nil }, 10*time.Second, 20*time.Millisecond)
	limit, _, _ := w.limit()
	require.Equal(t, 5, limit)
}
