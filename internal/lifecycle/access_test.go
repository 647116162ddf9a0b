package lifecycle_test

import (
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tenantry/internal/apperr"
	"tenantry/internal/db"
	"tenantry/internal/ids"
	"tenantry/internal/lifecycle"
	"tenantry/internal/operations"
	"tenantry/internal/tenants"
)

func TestSuspend_ShutsTheTenantAndResumeOpensIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	op := w.suspend()
	require.Equal(t, operations.Pending, op.State)
	require.Equal(t, ids.TenantAccessWorkflow(w.tenant, op.ID), op.WorkflowID)
	require.Equal(t, tenants.Suspended, w.state())
	require.True(t, w.login(), "the worker has not run yet")
	require.Equal(t, 1, value[int](w, `SELECT count(*) FROM outbox WHERE kind = 'start' AND name = 'ApplyTenantAccess' AND operation_id = $1`, op.ID.UUID()))
	require.Equal(t, 1, value[int](w, `SELECT count(*) FROM audit_log WHERE action = 'tenant.suspend_requested' AND request_id = 'r1'`))

	for range 2 {
		require.NoError(t, w.lifecycle.Begin(ctx, call(op), ids.WorkflowApplyTenantAccess))
		w.apply(op)
		require.False(t, w.login())
		require.Equal(t, "succeeded", w.ended(op))
	}
	require.Equal(t, 1, value[int](w, `SELECT count(*) FROM audit_log WHERE action = 'tenant.suspended'`), "a repeated run is one effect")

	back := w.resume()
	require.Equal(t, tenants.Resuming, w.state())
	for range 2 {
		w.apply(back)
		require.True(t, w.login())
		require.Equal(t, tenants.Active, w.state())
		require.Equal(t, "succeeded", w.ended(back))
	}
	require.Equal(t, 1, value[int](w, `SELECT count(*) FROM audit_log WHERE action = 'tenant.resumed'`))
}

func TestSuspend_RepeatedIsAnsweredWithTheOperationThatDidIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	_, err := w.tenants.Resume(ctx, w.tenant, by, nil)
	require.Equal(t, "TENANT_STATE", apperr.ReasonOf(err), "never suspended")
	op := w.suspend()
	require.Equal(t, op.ID, w.suspend().ID)
	w.apply(op)
	require.Equal(t, op.ID, w.suspend().ID)
	require.Equal(t, operations.Succeeded, w.suspend().State)
	back := w.resume()
	require.Equal(t, back.ID, w.resume().ID)
	w.apply(back)
	require.Equal(t, back.ID, w.resume().ID)
	require.Equal(t, 2, value[int](w, `SELECT count(*) FROM operations WHERE kind <> 'tenant.provision'`))
	require.NotEqual(t, op.ID, w.suspend().ID, "a new suspension")

	for _, state := range []string{tenants.Reserved, tenants.Provisioning, tenants.Failing} {
		w.SetState(t, w.tenant, state)
		for _, ask := range []func() error{
			func() error { _, err := w.tenants.Suspend(ctx, w.tenant, by, nil); return err },
			func() error { _, err := w.tenants.Resume(ctx, w.tenant, by, nil); return err },
			func() error { _, err := w.tenants.InviteOwner(ctx, w.tenant, "", by, nil); return err },
		} {
			require.Equal(t, "TENANT_STATE", apperr.ReasonOf(ask()), state)
		}
	}
	_, err = w.tenants.Suspend(ctx, ids.NewTenant(), by, nil)
	require.Equal(t, "TENANT_NOT_FOUND", apperr.ReasonOf(err))
}

func TestApplyAccess_AWishThatWasTakenBackEndsAsSuperseded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	// Suspended and resumed before the worker came: its runs in any order.
	first, second := w.suspend(), w.resume()
	w.apply(second)
	require.Equal(t, tenants.Active, w.state())
	w.apply(first)
	require.True(t, w.login(), "a late run undid a later wish")
	require.Equal(t, "failed/SUPERSEDED", w.ended(first))
	require.Equal(t, "succeeded", w.ended(second))

	third, fourth, fifth := w.suspend(), w.resume(), w.suspend()
	w.apply(fourth)
	require.False(t, w.login())
	require.Equal(t, "failed/SUPERSEDED", w.ended(fourth))
	w.apply(fifth)
	w.apply(third)
	require.Equal(t, "succeeded", w.ended(third))
	require.Equal(t, "succeeded", w.ended(fifth))
	require.Equal(t, tenants.Suspended, w.state())

	// The first run to come makes it so; the one whose wish it was finds it done.
	sixth, seventh, eighth := w.resume(), w.suspend(), w.resume()
	w.apply(seventh)
	require.Equal(t, tenants.Active, w.state())
	require.Equal(t, "failed/SUPERSEDED", w.ended(seventh))
	w.apply(eighth)
	w.apply(sixth)
	require.Equal(t, "succeeded", w.ended(eighth))
	require.Equal(t, "succeeded", w.ended(sixth))
	require.True(t, w.login())
	require.Equal(t, 2, value[int](w, `SELECT count(*) FROM audit_log WHERE action = 'tenant.resumed'`))
}

func TestBegin_StartingAWorkflowByHandGrantsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	op := w.suspend()
	for name, try := range map[string]func() error{
		"no operation": func() error {
			return w.lifecycle.Begin(ctx, lifecycle.Call{Tenant: w.tenant, Operation: ids.NewOperation()}, ids.WorkflowApplyTenantAccess)
		},
		"another tenant": func() error {
			return w.lifecycle.Begin(ctx, lifecycle.Call{Tenant: ids.NewTenant(), Operation: op.ID}, ids.WorkflowApplyTenantAccess)
		},
		"another workflow": func() error { return w.lifecycle.Begin(ctx, call(op), ids.WorkflowInviteOwner) },
		"unknown workflow": func() error { return w.lifecycle.Begin(ctx, call(op), "Other") },
	} {
		require.Equal(t, "OPERATION_NOT_FOUND", apperr.ReasonOf(try()), name)
	}
	require.Equal(t, operations.Pending, w.ended(op))
	require.NoError(t, w.lifecycle.Begin(ctx, call(op), ids.WorkflowApplyTenantAccess))
	require.Equal(t, operations.Running, w.ended(op))
}

func TestCancel_OfACallOfOneStepIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	op := w.suspend()
	_, err := w.operations.RequestCancel(t.Context(), op.ID, by.Actor, "r1", nil)
	require.Equal(t, "OPERATION_NOT_CANCELLABLE", apperr.ReasonOf(err))
	require.False(t, value[bool](w, `SELECT cancel_requested FROM operations WHERE id = $1`, op.ID.UUID()))
}

func TestDirectory_ForgetsThePoolOfASuspendedTenant(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	l := w.lease()
	one := func() (int, error) {
		return db.InTenantRead(ctx, l, func(tx db.TenantTx) (n int, err error) {
			return n, tx.SQL().QueryRowContext(ctx, `SELECT 1`).Scan(&n)
		})
	}
	_, err := one()
	require.NoError(t, err)
	op := w.suspend()
	w.apply(op)
	_, err = one()
	require.Equal(t, apperr.Unavailable, apperr.KindOf(err), "a lease that is held cannot go on: %v", err)
	require.Eventually(t, func() bool {
		_, err := w.router.Lease(ctx, w.tenant)
		return apperr.ReasonOf(err) == "TENANT_NOT_ACTIVE"
	}, 10*time.Second, 20*time.Millisecond)

	w.apply(w.resume())
	require.Eventually(t, func() bool {
		again, err := w.router.Lease(ctx, w.tenant)
		if err != nil {
			return false
		}
		l = again
		_, err = one()
		return err == nil
	}, 10*time.Second, 20*time.Millisecond)
}

// Parallel callers, and workers that run what they have asked for in another
// order, some of it twice: role and state agree at the end.
func TestAccess_RoleAndStateAgreeAfterAStormOfCalls(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for seed := range uint64(4) {
		rnd := rand.New(rand.NewPCG(seed, 50))
		wishes := make([]bool, 50)
		for i := range wishes {
			wishes[i] = rnd.IntN(2) == 0
		}
		runs := make(chan lifecycle.Call, 2*len(wishes))
		var callers, workers sync.WaitGroup
		for i := range 5 {
			callers.Go(func() {
				for _, wish := range wishes[i*10 : i*10+10] {
					ask := w.tenants.Suspend
					if wish {
						ask = w.tenants.Resume
					}
					op, err := ask(t.Context(), w.tenant, by, nil)
					if apperr.ReasonOf(err) == "TENANT_STATE" {
						continue
					}
					if err != nil {
						t.Error(err)
						return
					}
					runs <- call(op)
					runs <- call(op)
				}
			})
		}
		for range 4 {
			workers.Go(func() {
				for c := range runs {
					if err := w.lifecycle.ApplyAccess(t.Context(), c); err != nil {
						t.Error(err)
					}
				}
			})
		}
		callers.Wait()
		close(runs)
		workers.Wait()
		state := w.state()
		require.Contains(t, []string{tenants.Active, tenants.Suspended}, state, "seed %d", seed)
		require.Equal(t, state == tenants.Active, w.login(), "seed %d: the role disagrees with %s", seed, state)
		require.Zero(t, value[int](w, `SELECT count(*) FROM operations WHERE ended_at IS NULL`), "seed %d", seed)
	}
}
