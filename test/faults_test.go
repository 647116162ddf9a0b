package test

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tenantry/internal/devstack"
	"tenantry/internal/systest"
)

func TestTemporalDown_AcceptsAndProvisionsWhenItReturns(t *testing.T) {
	t.Parallel()
	s := own(t, systest.Options{})
	ctx := within(t, 2*time.Minute)
	before, err := s.Provision(ctx, systest.NewOrder("before"))
	require.NoError(t, err)
	require.NoError(t, s.StopTemporal())

	op, err := s.Order(ctx, systest.NewOrder("patient"))
	require.NoError(t, err, "the hook is accepted while Temporal is down")
	op, err = s.Operation(ctx, op.ID)
	require.NoError(t, err, "and its operation answers")
	require.True(t, op.Is("pending"), "%+v", op)
	require.False(t, op.ProgressAvailable)
	old, err := s.Operation(ctx, before.ID)
	require.NoError(t, err)
	require.True(t, old.Is("succeeded"), "an ended operation keeps its state")
	require.False(t, old.ProgressAvailable)
	_, err = s.Owner(ctx, systest.NewOrder("before"), password)
	require.NoError(t, err, "a tenant that exists does not need Temporal")

	require.NoError(t, s.StartTemporal(ctx))
	op, err = s.WaitOperation(ctx, op.ID)
	require.NoError(t, err)
	whole(t, s, op, "patient")
	clean(t, s)
}

// TestAPIKilledAfterTheAnswer: what was answered 202 is in the database, and
// needs the API no more.
func TestAPIKilledAfterTheAnswer_TheTenantIsBorn(t *testing.T) {
	t.Parallel()
	s := own(t, systest.Options{})
	ctx := within(t, 2*time.Minute)
	require.NoError(t, s.KillWorker())
	op, err := s.Order(ctx, systest.NewOrder("orphan"))
	require.NoError(t, err)
	require.NoError(t, s.KillAPI())
	require.NoError(t, s.StartWorker(ctx))
	require.NoError(t, systest.Until(ctx, "the tenant is active", func(ctx context.Context) (bool, error) {
		state, err := systest.Value[string](ctx, s, "", `SELECT state FROM tenants WHERE id = $1`, op.TenantID)
		return state == "active", err
	}))
	_, err = s.Link(ctx, "owner@orphan.example", "/m/invitation")
	require.NoError(t, err)
	require.NoError(t, s.StartAPI(ctx))
	op, err = s.Operation(ctx, op.ID)
	require.NoError(t, err)
	whole(t, s, op, "orphan")
	clean(t, s)
}

// TestRedisDown: Redis is a doorbell; without it all is only a little later.
func TestRedisDown_TheJourneyStillWorks(t *testing.T) {
	t.Parallel()
	s := own(t, systest.Options{})
	require.NoError(t, s.Redis.Stop())
	o := systest.NewOrder("quiet").Open()
	op, token := tenant(t, s, o)
	whole(t, s, op, o.Slug)
	require.Equal(t, []string{"owner"}, whoAmI(t, s, o.Slug, token).Roles)
	register(t, s, o.Slug, "ben@quiet.example")
	ctx := within(t, time.Minute)
	link, err := s.Link(ctx, "ben@quiet.example", "/m/verify")
	require.NoError(t, err)
	_, err = s.Confirm(ctx, link)
	require.NoError(t, err)
	_, err = s.Login(ctx, o.Slug, "ben@quiet.example", password)
	require.NoError(t, err)
	clean(t, s)
}

// TestServersRestarted breaks everything under five provisionings.
func TestServersRestarted_EveryTenantIsWhole(t *testing.T) {
	t.Parallel()
	s := own(t, systest.Options{Fsync: true})
	ctx := within(t, 3*time.Minute)
	orders := make([]systest.Order, 5)
	ops := make([]systest.Operation, len(orders))
	for i, slug := range []string{"one", "two", "three", "four", "five"} {
		orders[i] = systest.NewOrder(slug)
		var err error
		ops[i], err = s.Order(ctx, orders[i])
		require.NoError(t, err)
	}
	underWay := func(op systest.Operation) bool { return op.Is("running") || op.Ended() }
	for _, fault := range []func() error{
		func() error { return s.RestartPostgres(ctx, devstack.Immediate) },
		s.StopTemporal,
		func() error { return s.FlushRedis(ctx) },
		func() error { return s.StartTemporal(ctx) },
	} {
		_, err := s.WaitOperationUntil(ctx, ops[0].ID, underWay)
		require.NoError(t, err)
		require.NoError(t, fault())
	}
	for i, o := range orders {
		op, err := s.WaitOperation(ctx, ops[i].ID)
		require.NoError(t, err)
		_, err = s.WaitWorkflow(ctx, op.WorkflowID)
		require.NoError(t, err)
		whole(t, s, op, o.Slug)
	}
	clean(t, s)
}

// TestHook_CopiesOfOneMessageAreOne sends a message a hundred times at once.
func TestHook_CopiesOfOneMessageAreOne(t *testing.T) {
	t.Parallel()
	s := own(t, systest.Options{})
	ctx := within(t, 2*time.Minute)
	o := systest.NewOrder("once")
	body, err := json.Marshal(o)
	require.NoError(t, err)
	m, err := s.Hook.Sign(systest.NewMessageID(), time.Now(), body)
	require.NoError(t, err)
	answers := inParallel(t, 100, func(int) (systest.Answer, error) { return s.Send(ctx, m) })
	first, err := systest.Accepted(answers[0])
	require.NoError(t, err)
	for _, a := range answers {
		op, err := systest.Accepted(a)
		require.NoError(t, err)
		require.Equal(t, first.ID, op.ID)
		require.Equal(t, first.TenantID, op.TenantID)
	}
	op, err := s.WaitOperation(ctx, first.ID)
	require.NoError(t, err)
	whole(t, s, op, o.Slug)
	for sql, want := range map[string]int64{
		`SELECT count(*) FROM tenants`:                                          1,
		`SELECT count(*) FROM operations`:                                       1,
		`SELECT count(*) FROM hook_receipts`:                                    1,
		`SELECT count(*) FROM outbox WHERE kind = 'start'`:                      1,
		`SELECT count(*) FROM pg_database WHERE datname ~ '_t_[0-9a-f]{32}$'`:   1,
		`SELECT count(*) FROM pg_roles WHERE rolname ~ '_t_[0-9a-f]{32}$'`:      1,
		`SELECT count(*) FROM audit_log WHERE action LIKE 'tenant.provisioned'`: 1,
	} {
		n, err := systest.Value[int64](ctx, s, "", sql)
		require.NoError(t, err)
		require.Equal(t, want, n, sql)
	}
	_, err = s.Link(ctx, o.OwnerEmail, "/m/invitation")
	require.NoError(t, err)
	settled(t, s, op.TenantID)
	require.Len(t, s.Mailbox.Messages(o.OwnerEmail), 1, "one owner, one invitation")

	// Later, and after Redis has forgotten everything: the same answer still.
	require.NoError(t, s.FlushRedis(ctx))
	a, err := s.Send(ctx, m)
	require.NoError(t, err)
	again, err := systest.Accepted(a)
	require.NoError(t, err)
	require.Equal(t, first.ID, again.ID)
	// The id is used for another body: that is no repetition.
	other, err := s.Hook.Sign(m.ID, time.Now(), []byte(`{"slug":"twice","name":"Twice","owner_email":"owner@twice.example"}`))
	require.NoError(t, err)
	a, err = s.Send(ctx, other)
	require.NoError(t, err)
	require.Equal(t, http.StatusConflict, a.Status, a.String())
	require.Equal(t, "HOOK_MESSAGE_REUSED", a.Reason())
	clean(t, s)
}

// TestHook_OneOfTwoMessagesGetsTheSlug races different messages for a name.
func TestHook_OneOfTwoMessagesGetsTheSlug(t *testing.T) {
	t.Parallel()
	s := shared(t)
	ctx := within(t, 2*time.Minute)
	for _, slug := range []string{"race-a", "race-b", "race-c", "race-d", "race-e"} {
		messages := make([]systest.Message, 2)
		for i, owner := range []string{"first", "second"} {
			body, err := json.Marshal(systest.Order{Slug: slug, Name: owner, OwnerEmail: owner + "@" + slug + ".example"})
			require.NoError(t, err)
			messages[i], err = s.Hook.Sign(systest.NewMessageID(), time.Now(), body)
			require.NoError(t, err)
		}
		answers := inParallel(t, 2, func(i int) (systest.Answer, error) { return s.Send(ctx, messages[i]) })
		winner := 0
		if answers[0].Status != http.StatusAccepted {
			winner = 1
		}
		op, err := systest.Accepted(answers[winner])
		require.NoError(t, err)
		refused := answers[1-winner]
		require.Equal(t, http.StatusConflict, refused.Status, refused.String())
		require.Equal(t, "already_exists", refused.Code())
		require.Equal(t, "SLUG_TAKEN", refused.Reason())
		for i, m := range messages {
			a, err := s.Send(ctx, m)
			require.NoError(t, err)
			require.Equal(t, answers[i].Status, a.Status, "a repetition gets the first answer")
			require.Equal(t, answers[i].Reason(), a.Reason())
		}
		op, err = s.WaitOperation(ctx, op.ID)
		require.NoError(t, err)
		whole(t, s, op, slug)
	}
}

// TestCancel_LeavesNothing cancels in the middle: the worker has died before a
// step, and the next one carries the wish.
func TestCancel_LeavesNothing(t *testing.T) {
	t.Parallel()
	s := own(t, systest.Options{Tags: "crashpoints"})
	ctx := within(t, 2*time.Minute)
	require.NoError(t, s.KillWorker())
	marker := "TENANTRY_CRASH_MARKER=" + filepath.Join(s.Dir, "killed")
	worker, err := s.SpawnWorker("TENANTRY_CRASH=kill=SeedRoles:before", marker)
	require.NoError(t, err)
	o := systest.NewOrder("changed-my-mind")
	op, err := s.Order(ctx, o)
	require.NoError(t, err)
	require.Error(t, worker.Wait(ctx), "killed")

	asked, err := s.Cancel(ctx, op.ID)
	require.NoError(t, err)
	require.True(t, asked.Is("running"), "%+v", asked)
	require.NoError(t, s.StartWorker(ctx))
	op, err = s.WaitOperation(ctx, op.ID)
	require.NoError(t, err)
	status, err := s.WaitWorkflow(ctx, op.WorkflowID)
	require.NoError(t, err)
	require.Equal(t, "Failed", status)
	gone(t, s, op, o.Slug)
	require.Equal(t, "CANCELLED", op.Reason)
	require.Empty(t, s.Mailbox.Messages(o.OwnerEmail))
	clean(t, s)

	// Too late is said, and the slug is free for somebody else.
	a, err := s.Post(ctx, "", "/v1/operations/"+op.ID+":cancel", s.OperatorKey, map[string]any{})
	require.NoError(t, err)
	require.Equal(t, "OPERATION_NOT_CANCELLABLE", a.Reason(), a.String())
	again, err := s.Provision(ctx, o)
	require.NoError(t, err)
	whole(t, s, again, o.Slug)
	clean(t, s)
}

// TestShutdown_Drains: told to stop, the worker ends what it has begun and the
// API answers what it was asked (O8).
func TestShutdown_Drains(t *testing.T) {
	t.Parallel()
	s := own(t, systest.Options{})
	ctx := within(t, 2*time.Minute)
	orders := make([]systest.Order, 4)
	ops := make([]systest.Operation, len(orders))
	for i, slug := range []string{"drain-a", "drain-b", "drain-c", "drain-d"} {
		orders[i] = systest.NewOrder(slug)
		var err error
		ops[i], err = s.Order(ctx, orders[i])
		require.NoError(t, err)
	}
	_, err := s.WaitOperationUntil(ctx, ops[0].ID, func(op systest.Operation) bool { return !op.Is("pending") })
	require.NoError(t, err)
	worker := s.Worker()
	require.NoError(t, s.StopWorker(), "it left within its grace")
	require.NoError(t, worker.Wait(ctx), "exit code 0")

	apiAnswersWhatItHolds(t, s, ops[3].ID)
	require.NoError(t, s.StartWorker(ctx))
	require.NoError(t, s.StartAPI(ctx))
	for i, o := range orders {
		op, err := s.WaitOperation(ctx, ops[i].ID)
		require.NoError(t, err)
		whole(t, s, op, o.Slug)
		_, err = s.Link(ctx, o.OwnerEmail, "/m/invitation")
		require.NoError(t, err)
	}
	clean(t, s)
}

// apiAnswersWhatItHolds stops the API while a request waits for a lock of ours.
func apiAnswersWhatItHolds(t *testing.T, s *systest.System, operation string) {
	t.Helper()
	ctx := within(t, time.Minute)
	conn, err := s.Connect(ctx, "")
	require.NoError(t, err)
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	lock, err := conn.Begin(ctx)
	require.NoError(t, err)
	_, err = lock.Exec(ctx, `LOCK TABLE operations IN ACCESS EXCLUSIVE MODE`)
	require.NoError(t, err)

	answer := make(chan systest.Answer, 1)
	go func() {
		a, _ := s.Get(ctx, "", "/v1/operations/"+operation, s.OperatorKey) // the zero answer fails below
		answer <- a
	}()
	require.NoError(t, systest.Until(ctx, "the request waits for the lock", func(ctx context.Context) (bool, error) {
		n, err := systest.Value[int64](ctx, s, "",
			`SELECT count(*) FROM pg_stat_activity WHERE application_name = 'tenantry-api' AND wait_event_type = 'Lock'`)
		return n > 0, err
	}))
	api := s.API()
	require.NoError(t, api.Signal(syscall.SIGTERM))
	require.NoError(t, systest.Until(ctx, "the API takes no more", func(context.Context) (bool, error) {
		other, err := net.DialTimeout("tcp", s.Setting("API_ADDR"), time.Second)
		if err == nil {
			_ = other.Close()
		}
		return err != nil, nil
	}))
	require.True(t, api.Alive(), "it waits for the request")
	require.NoError(t, lock.Rollback(ctx))
	a := <-answer
	require.Equal(t, http.StatusOK, a.Status, a.String())
	require.NoError(t, api.Wait(ctx), "exit code 0")
}

// inParallel calls fn n times at once.
func inParallel(t *testing.T, n int, fn func(int) (systest.Answer, error)) []systest.Answer {
	t.Helper()
	answers, errs := make([]systest.Answer, n), make([]error, n)
	begin := make(chan struct{})
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			<-begin
			answers[i], errs[i] = fn(i)
		})
	}
	close(begin)
	all.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
	return answers
}
