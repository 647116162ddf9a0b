package provisioning_test

import (
	"fmt"
	"sync"
	"tenantry/internal/apperr"
	"tenantry/internal/audit"
	"tenantry/internal/auth"
	"tenantry/internal/clock"
	"tenantry/internal/db"
	"tenantry/internal/hooks"
	"tenantry/internal/ids"
	"tenantry/internal/invitations"
	"tenantry/internal/outbox"
	"tenantry/internal/tenants"
	"tenantry/internal/testdb"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

func TestAccept_OfFiftyParallelRedemptionsOneSucceeds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, l := w.provision("acme")
	invitation := w.token(l, "owner@acme.example")
	require.Equal(t, 1, parallel(50, func() error {
		_, err := w.invitations.Accept(t.Context(), l, tenants.Entry{}, invitations.AcceptInput{Token: invitation, Name: "O", Password: password}, meta())
		return err
	}))
	require.NoError(t, w.auth.Register(t.Context(), l, tenants.Entry{}, auth.RegisterInput{Name: "Mia", Email: "mia@acme.example", Password: password}, meta()))
	verification := w.token(l, "mia@acme.example")
	require.Equal(t, 1, parallel(50, func() error { return w.auth.VerifyEmail(t.Context(), l, verification, meta()) }))
}

// parallel answers how many of n calls succeed.
func parallel(n int, call func() error) int {
	var wg sync.WaitGroup
	var mu sync.Mutex
	ok := 0
	for range n {
		wg.Go(func() {
			if call() == nil {
				mu.Lock()
				ok++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return ok
}

func TestUserLimit_HoldsUnderRaces(t *testing.T) {
	t.Parallel()
	w := newWorld(t) // max_users is 2
	_, l := w.provision("acme")
	var tokens []string
	for i := range 6 {
		email := fmt.Sprintf("p%d@acme.example", i)
		require.NoError(t, w.auth.Register(t.Context(), l, tenants.Entry{}, auth.RegisterInput{Name: "P", Email: email, Password: password}, meta()))
		tokens = append(tokens, w.token(l, email))
	}
	next := make(chan string, len(tokens))
	for _, tok := range tokens {
		next <- tok
	}
	require.Equal(t, 2, parallel(len(tokens), func() error { return w.auth.VerifyEmail(t.Context(), l, <-next, meta()) }))
}

func TestRegister_SameAnswerAndNoMailWhereInviteOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, l := w.provision("acme")
	_, err := l.Database().Exec(t.Context(), `UPDATE settings SET document = document || '{"registration_policy":"invite-only"}'`)
	require.NoError(t, err)
	require.NoError(t, w.auth.Register(t.Context(), l, tenants.Entry{}, auth.RegisterInput{Name: "X", Email: "x@acme.example", Password: password}, meta()))
	n, err := w.mailer.DrainTenant(t.Context(), l, 10)
	require.NoError(t, err)
	require.Equal(t, 2, n, "both rows end: the invitation sent, the registration not to be sent")
	require.Empty(t, w.mailbox.Messages("x@acme.example"))
}

func TestMail_RetryAfterACrashSendsTheSameLink(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, l := w.provision("acme")
	first := w.token(l, "owner@acme.example")
	// As if the process had died between sending and recording it.
	var kept int
	require.NoError(t, l.Database().QueryRow(t.Context(), `SELECT count(*) FROM outbox WHERE sealed_token IS NOT NULL`).Scan(&kept))
	require.Zero(t, kept, "a sent mail's token is gone")
	_, err := w.invitations.Accept(t.Context(), l, tenants.Entry{}, invitations.AcceptInput{Token: first, Name: "O", Password: "short"}, meta())
	require.Equal(t, "PASSWORD_TOO_SHORT", apperr.ReasonOf(err), "a refused password keeps the link")
	require.NoError(t, w.invitations.Check(t.Context(), l, first))

	require.NoError(t, w.auth.Register(t.Context(), l, tenants.Entry{}, auth.RegisterInput{Name: "M", Email: "m@acme.example", Password: password}, meta()))
	w.mailbox.Refuse(true)
	n, err := w.mailer.DrainTenant(t.Context(), l, 10)
	require.NoError(t, err)
	require.Zero(t, n)
	w.mailbox.Refuse(false)
	_, err = l.Database().Exec(t.Context(), `UPDATE outbox SET due_at = now() WHERE done_at IS NULL`)
	require.NoError(t, err)
	w.token(l, "m@acme.example")
	var minted int
	require.NoError(t, l.Database().QueryRow(t.Context(), `SELECT count(*) FROM one_time_values WHERE purpose = 'verify_email'`).Scan(&minted))
	require.Equal(t, 1, minted, "no second token")
}

func TestHook_CopiesOfOneMessageAreOneTenant(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	src, _, _, err := w.hooks.CreateSource(ctx, "billing", "", audit.System, "")
	require.NoError(t, err)
	m := hooks.Message{ID: "msg_1", Body: []byte(`{"slug":"acme"}`)}
	var mu sync.Mutex
	seen := map[ids.Operation]int{}
	require.Equal(t, 100, parallel(100, func() error {
		op, err := w.hooks.Accept(ctx, src, m, reserveInput("acme"), "r")
		mu.Lock()
		seen[op.ID]++
		mu.Unlock()
		return err
	}))
	require.Len(t, seen, 1)
	_, err = w.hooks.Accept(ctx, src, hooks.Message{ID: "msg_1", Body: []byte(`{"slug":"other"}`)}, reserveInput("other"), "r")
	require.Equal(t, "HOOK_MESSAGE_REUSED", apperr.ReasonOf(err))

	taken := hooks.Message{ID: "msg_2", Body: []byte(`{"slug":"acme","x":1}`)}
	_, err = w.hooks.Accept(ctx, src, taken, reserveInput("acme"), "r")
	require.Equal(t, "SLUG_TAKEN", apperr.ReasonOf(err))
	_, err = w.Provisioner.Exec(ctx, `DELETE FROM tenants`)
	require.NoError(t, err)
	_, err = w.hooks.Accept(ctx, src, taken, reserveInput("acme"), "r")
	require.Equal(t, "SLUG_TAKEN", apperr.ReasonOf(err), "a refusal is an answer too")
}

func TestOutbox_EachRowHasOneClaimer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 20 {
		w.reserve(fmt.Sprintf("tenant-%d", i))
	}
	var mu sync.Mutex
	seen := map[uuid.UUID]int{}
	parallel(8, func() error {
		rows, err := outbox.ClaimStarts(t.Context(), w.Central, clock.System(), 5)
		mu.Lock()
		defer mu.Unlock()
		for _, r := range rows {
			seen[r.ID]++
		}
		return err
	})
	for id, n := range seen {
		require.Equal(t, 1, n, id)
	}
	require.Len(t, seen, 20)
	rows, err := outbox.ClaimStarts(t.Context(), w.Central, clock.System().Add(time.Minute), 50)
	require.NoError(t, err)
	require.Len(t, rows, 20, "what a dead claimer held is due again")
}

func TestMarks_OutliveTheTransactionAndAreFoundBySweeps(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e, l := w.provision("acme")
	_, err := w.Provisioner.Exec(t.Context(), `DELETE FROM outbox_dirty`)
	require.NoError(t, err)
	dirty, since, err := outbox.DirtySince(t.Context(), w.Central, time.Time{})
	require.NoError(t, err)
	require.Empty(t, dirty)
	fresh := outbox.NewMarks(w.Central, testdb.Log())
	fresh.Ensure(t.Context(), e.ID)
	dirty, _, err = outbox.DirtySince(t.Context(), w.Central, since.Add(db.MaxTx+30*time.Second))
	require.NoError(t, err)
	require.Equal(t, []ids.Tenant{e.ID}, dirty)

	w.token(l, "owner@acme.example") // sends what waits
	_, err = w.Provisioner.Exec(t.Context(), `DELETE FROM outbox_dirty`)
	require.NoError(t, err)
	again := w.otherProcess() // it has made no mark yet
	lease, err := again.Lease(t.Context(), e.ID)
	require.NoError(t, err)
	n, err := w.mailer.DrainTenant(t.Context(), lease, 10)
	require.NoError(t, err)
	require.Zero(t, n)
	dirty, _, err = outbox.DirtySince(t.Context(), w.Central, time.Time{})
	require.NoError(t, err)
	require.Empty(t, dirty, "draining an empty outbox must not mark it: sweeps would never end")
}
