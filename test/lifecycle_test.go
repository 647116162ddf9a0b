package test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tenantry/internal/systest"
)

// Suspend and resume, called 50 times in random order by parallel callers,
// while the worker is killed and started again: role, directory and state
// agree at the end, every operation has ended, and verify finds nothing.
func TestSuspend_RoleDirectoryAndStateAgreeAfterAStormAndAKilledWorker(t *testing.T) {
	t.Parallel()
	s := own(t, systest.Options{})
	for seed := range uint64(3) {
		o := systest.NewOrder(fmt.Sprintf("storm%c", 'a'+rune(seed)))
		op, token := tenant(t, s, o)
		storm(t, s, op.TenantID, seed)
		agree(t, s, op.TenantID, o.Slug, token)
	}
	clean(t, s)
}

// storm sends 50 calls from 5 callers and kills the worker in the middle.
func storm(t *testing.T, s *systest.System, id string, seed uint64) {
	t.Helper()
	ctx := within(t, 2*time.Minute)
	var all sync.WaitGroup
	half := make(chan struct{})
	for caller := range uint64(5) {
		rnd := rand.New(rand.NewPCG(seed, caller))
		all.Go(func() {
			for i := range 10 {
				if caller == 0 && i == 5 {
					close(half)
				}
				verb := []string{":suspend", ":resume"}[rnd.IntN(2)]
				a, err := s.Call(ctx, "POST", s.URL("/v1/tenants/"+id+verb), s.OperatorKey, map[string]string{})
				if err != nil || a.Status != http.StatusAccepted && a.Reason() != "TENANT_STATE" {
					t.Errorf("%s: %v %s", verb, err, a)
				}
			}
		})
	}
	<-half
	require.NoError(t, s.KillWorker())
	require.NoError(t, s.StartWorker(ctx))
	all.Wait()
	require.NoError(t, systest.Until(ctx, "every operation has ended", func(ctx context.Context) (bool, error) {
		open, err := systest.Value[int64](ctx, s, "", `SELECT count(*) FROM operations WHERE ended_at IS NULL`)
		return open == 0, err
	}))
}

// agree compares the state, the role, its sessions and what the edge says.
func agree(t *testing.T, s *systest.System, id, slug, token string) {
	t.Helper()
	ctx := within(t, time.Minute)
	state, err := systest.Value[string](ctx, s, "", `SELECT state FROM tenants WHERE id = $1`, id)
	require.NoError(t, err)
	require.Contains(t, []string{"active", "suspended"}, state)
	login, err := systest.Value[bool](ctx, s, "", `SELECT rolcanlogin FROM pg_roles r JOIN tenants t ON t.role_name = r.rolname WHERE t.id = $1`, id)
	require.NoError(t, err)
	require.Equal(t, state == "active", login)
	want := map[string]int{"active": http.StatusOK, "suspended": http.StatusBadRequest}[state]
	require.NoError(t, systest.Until(ctx, "the edge says "+state, func(ctx context.Context) (bool, error) {
		a, err := s.Get(ctx, slug, "/v1/me", token)
		return a.Status == want && (want == http.StatusOK || a.Reason() == "TENANT_SUSPENDED"), err
	}))
	if state == "suspended" {
		sessions, err := systest.Value[int64](ctx, s, "", `SELECT count(*) FROM pg_stat_activity a JOIN tenants t ON t.role_name = a.usename WHERE t.id = $1`, id)
		require.NoError(t, err)
		require.Zero(t, sessions)
	}
}

// The command line end to end: shut, opened, its owner invited anew, limited.
func TestTenantCommands_ShutOpenInviteAndLimit(t *testing.T) {
	t.Parallel()
	s := shared(t)
	ctx := within(t, 2*time.Minute)
	o := systest.NewOrder("lifecli")
	op, err := s.Provision(ctx, o)
	require.NoError(t, err)
	for _, args := range [][]string{
		{"suspend", "lifecli"}, {"resume", op.TenantID}, {"invite-owner", "lifecli", "--email", "second@lifecli.example"}, {"set-limits", "lifecli", "--max-users", "9"},
	} {
		out, err := s.Output(ctx, append(append([]string{"tenant"}, args...), "--wait")...)
		require.NoError(t, err, "%v", args)
		require.Contains(t, out, "succeeded", "%v", args)
	}
	database, err := systest.Value[string](ctx, s, "", `SELECT database_name FROM tenants WHERE id = $1`, op.TenantID)
	require.NoError(t, err)
	limit, err := systest.Value[int64](ctx, s, database, `SELECT (document->>'max_users')::bigint FROM settings`)
	require.NoError(t, err)
	require.EqualValues(t, 9, limit)
	link, err := s.Link(ctx, "second@lifecli.example", "/m/invitation")
	require.NoError(t, err)
	a, err := s.Accept(ctx, link, "Second", password)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, a.Status)
	// Now an owner is there.
	ran, err := s.CLI(ctx, "tenant", "invite-owner", "lifecli", "--wait")
	require.NoError(t, err)
	require.Equal(t, 1, ran.Code, ran.Stderr)
	require.Contains(t, ran.Stderr, "OWNER_PRESENT")
	settled(t, s, op.TenantID)
}
