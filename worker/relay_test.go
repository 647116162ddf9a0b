package worker

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"

	"tenantry/internal/apperr"
	"tenantry/internal/devstack"
	"tenantry/internal/ids"
	"tenantry/internal/operations"
	"tenantry/internal/outbox"
)

// desk is an outbox in memory in front of the relay.
type desk struct {
	mu       sync.Mutex
	rows     []outbox.Row
	done     map[uuid.UUID]int
	failed   map[uuid.UUID]string
	wishes   []operations.Operation
	claims   int
	claimErr error
	dirty    []ids.Tenant
	dirtyErr error
	sinces   []time.Time
	began    time.Time
	drains   map[ids.Tenant]int
	drain    func(ids.Tenant) error
	rings    chan ids.Tenant
}

func newDesk() *desk {
	return &desk{
		done: map[uuid.UUID]int{}, failed: map[uuid.UUID]string{}, drains: map[ids.Tenant]int{},
		rings: make(chan ids.Tenant, 8), began: time.Unix(1_000_000, 0),
	}
}

func (d *desk) relay(t *testing.T, c client.Client) *relay {
	t.Helper()
	return &relay{
		log: testLog(t), client: c, sweep: time.Hour, asked: map[string]time.Time{}, again: map[ids.Tenant]bool{}, busy: map[ids.Tenant]bool{},
		claim: func(_ context.Context, limit int) ([]outbox.Row, error) {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.claims++
			n := min(limit, len(d.rows))
			taken := d.rows[:n]
			d.rows = d.rows[n:]
			return taken, d.claimErr
		},
		done: func(_ context.Context, id uuid.UUID) error {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.done[id]++
			return nil
		},
		failed: func(_ context.Context, id uuid.UUID, code string) error {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.failed[id] = code
			return nil
		},
		cancels: func(context.Context) ([]operations.Operation, error) { return d.wishes, nil },
		dirty: func(_ context.Context, since time.Time) ([]ids.Tenant, time.Time, error) {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.sinces = append(d.sinces, since)
			return slices.Clone(d.dirty), d.began, d.dirtyErr
		},
		drain: func(_ context.Context, t ids.Tenant) error {
			d.mu.Lock()
			d.drains[t]++
			f := d.drain
			d.mu.Unlock()
			if f != nil {
				return f(t)
			}
			return nil
		},
		listen: func(ctx context.Context) <-chan ids.Tenant {
			out := make(chan ids.Tenant)
			go func() {
				defer close(out)
				for {
					select {
					case <-ctx.Done():
						return
					case t := <-d.rings:
						out <- t
					}
				}
			}()
			return out
		},
	}
}

func (d *desk) drained(t ids.Tenant) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.drains[t]
}

func intent(t ids.Tenant) outbox.Row {
	return outbox.Row{ID: ids.New(), Kind: outbox.KindStart, Name: ids.WorkflowProvisionTenant, TenantID: t, OperationID: ids.NewOperation()}
}

func TestRelay_StartsEveryCallUnderItsOperation(t *testing.T) {
	t.Parallel()
	server := devServer(t, devstack.TemporalOptions{})
	c := dial(t, server.Address, newCodec(t, "k1"))
	ctx := within(t, time.Minute)
	for name, want := range map[string]struct{ id, kind string }{
		ids.WorkflowApplyTenantAccess: {"tenant/" + tenantText + "/access/" + operationText, kindAccess},
		ids.WorkflowInviteOwner:       {"tenant/" + tenantText + "/invite-owner/" + operationText, operations.KindInviteOwner},
		ids.WorkflowApplyTenantLimits: {"tenant/" + tenantText + "/limits/" + operationText, operations.KindSetLimits},
	} {
		row := outbox.Row{ID: ids.New(), Kind: outbox.KindStart, Name: name, TenantID: someTenant(t), OperationID: someOperation(t)}
		for range 2 {
			require.NoError(t, start(ctx, c, row), name)
		}
		desc, err := c.DescribeWorkflow(ctx, want.id, "")
		require.NoError(t, err)
		require.Equal(t, name, desc.WorkflowType.Name)
		kind, ok := desc.TypedSearchAttributes.GetKeyword(searchKind)
		require.True(t, ok)
		require.Equal(t, want.kind, kind)
		row.OperationID = ids.Operation{}
		require.ErrorIs(t, start(ctx, c, row), errUnknownWorkflow, "a call without its operation")
	}
}

func TestRelay_StartsAnIntentOnceWithItsIDSummaryAndAttributes(t *testing.T) {
	t.Parallel()
	server := devServer(t, devstack.TemporalOptions{})
	codec := newCodec(t, "k1")
	c := dial(t, server.Address, codec)
	d, tenant, ctx := newDesk(), someTenant(t), within(t, time.Minute)
	row := intent(tenant)
	again := row // a crash between the start and its note
	again.ID = ids.New()
	d.rows = []outbox.Row{row, again}
	d.relay(t, c).centralOnce(ctx)
	require.Equal(t, map[uuid.UUID]int{row.ID: 1, again.ID: 1}, d.done)
	require.Empty(t, d.failed)

	desc, err := c.DescribeWorkflow(ctx, ids.ProvisionTenantWorkflow(tenant), "")
	require.NoError(t, err)
	require.Equal(t, ids.QueueProvisioning, desc.TaskQueueName)
	summary, err := desc.GetStaticSummary()
	require.NoError(t, err)
	require.Equal(t, "Provision tenant "+tenantText, summary)
	for key, want := range map[string]string{
		ids.SearchTenant: tenantText, ids.SearchOperation: row.OperationID.String(), ids.SearchKind: operations.KindProvision,
	} {
		got, ok := desc.TypedSearchAttributes.GetKeyword(temporal.NewSearchAttributeKeyKeyword(key))
		require.True(t, ok, key)
		require.Equal(t, want, got, key)
	}
	require.Equal(t, []string{`{"tenant_id":"` + tenantText + `"}`}, inputs(t, c, codec, ids.ProvisionTenantWorkflow(tenant)))

	// Closed is as good as running: the id is used once for ever.
	require.NoError(t, c.TerminateWorkflow(ctx, ids.ProvisionTenantWorkflow(tenant), "", ""))
	late := intent(tenant)
	d.rows = []outbox.Row{late}
	d.relay(t, c).centralOnce(ctx)
	require.Equal(t, 1, d.done[late.ID])
	after, err := c.DescribeWorkflow(ctx, ids.ProvisionTenantWorkflow(tenant), "")
	require.NoError(t, err)
	require.Equal(t, desc.WorkflowExecution.RunID, after.WorkflowExecution.RunID)
}

func inputs(t *testing.T, c client.Client, codec *Codec, id string) []string {
	t.Helper()
	h := c.GetWorkflowHistory(t.Context(), id, "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	e, err := h.Next()
	require.NoError(t, err)
	sealed := e.GetWorkflowExecutionStartedEventAttributes().GetInput().GetPayloads()
	for _, p := range sealed {
		require.Equal(t, payloadEncoding, string(p.GetMetadata()[converter.MetadataEncoding]))
	}
	var opened []*commonpb.Payload
	opened, err = codec.Decode(sealed)
	require.NoError(t, err)
	var out []string
	for _, p := range opened {
		out = append(out, string(p.GetData()))
	}
	return out
}

func TestRelay_PostponesWhatItCannotCarryAndNeverEnds(t *testing.T) {
	t.Parallel()
	server := devServer(t, devstack.TemporalOptions{})
	c := dial(t, server.Address, newCodec(t, "k1"))
	d := newDesk()
	unknown := intent(someTenant(t))
	unknown.Name = "DropEverything"
	nobody := intent(ids.Tenant{})
	good := intent(someTenant(t))
	d.rows = []outbox.Row{unknown, nobody, good}
	r := d.relay(t, c)
	r.centralOnce(within(t, time.Minute))
	require.Equal(t, map[uuid.UUID]string{unknown.ID: codeUnknownWorkflow, nobody.ID: codeUnknownWorkflow}, d.failed)
	require.Equal(t, 1, d.done[good.ID])
	d.claimErr = errors.New("central is away")
	r.centralOnce(within(t, time.Minute))
	d.claimErr, d.rows = nil, []outbox.Row{good}
	r.centralOnce(within(t, time.Minute))
	require.Equal(t, 2, d.done[good.ID])
}

func TestRelay_ClaimsNothingWhileTemporalIsDownAndGoesOnAfter(t *testing.T) {
	t.Parallel()
	server := devServer(t, devstack.TemporalOptions{})
	c := dial(t, server.Address, newCodec(t, "k1"))
	require.NoError(t, server.Stop())
	d := newDesk()
	row := intent(someTenant(t))
	d.rows = []outbox.Row{row}
	r := d.relay(t, c)
	r.centralOnce(t.Context())
	require.Equal(t, map[uuid.UUID]string{row.ID: codeTemporalDown}, d.failed)
	require.Equal(t, 1, d.claims)
	d.rows = []outbox.Row{row}
	r.centralOnce(t.Context())
	require.Equal(t, 1, d.claims, "attempts are not spent on a server that is away")

	require.NoError(t, server.Start(t.Context()))
	require.Eventually(t, func() bool { r.centralOnce(t.Context()); return d.done[row.ID] == 1 }, time.Minute, 200*time.Millisecond)
}

func TestRelay_CancelsARunningWorkflowAndOneThatHasNotStarted(t *testing.T) {
	t.Parallel()
	server := devServer(t, devstack.TemporalOptions{})
	c := dial(t, server.Address, newCodec(t, "k1"))
	ctx := within(t, time.Minute)
	running, reserved, closed := ids.NewTenant(), ids.NewTenant(), ids.NewTenant()
	d := newDesk()
	d.rows = []outbox.Row{intent(running), intent(closed)}
	r := d.relay(t, c)
	r.centralOnce(ctx)
	require.NoError(t, c.TerminateWorkflow(ctx, ids.ProvisionTenantWorkflow(closed), "", ""))
	for _, tn := range []ids.Tenant{running, reserved, closed} {
		d.wishes = append(d.wishes, operations.Operation{
			ID: ids.NewOperation(), Kind: operations.KindProvision, Tenant: tn, WorkflowID: ids.ProvisionTenantWorkflow(tn),
		})
	}
	r.centralOnce(ctx)
	r.centralOnce(ctx)
	for _, tn := range []ids.Tenant{running, reserved} {
		require.Equal(t, 1, wishesIn(t, c, ids.ProvisionTenantWorkflow(tn)), tn)
	}
	desc, err := c.DescribeWorkflow(ctx, ids.ProvisionTenantWorkflow(closed), "")
	require.NoError(t, err)
	require.Equal(t, enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED, desc.Status)
}

func wishesIn(t *testing.T, c client.Client, id string) int {
	t.Helper()
	h, err := c.WorkflowService().GetWorkflowExecutionHistory(t.Context(), &workflowservice.GetWorkflowExecutionHistoryRequest{
		Namespace: devstack.TemporalNamespace, Execution: &commonpb.WorkflowExecution{WorkflowId: id},
	})
	require.NoError(t, err)
	n := 0
	for _, e := range h.History.Events {
		if e.EventType == enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED {
			n++
		}
	}
	return n
}

func TestSweep_BeginsWithEveryMarkAndGoesOnFromItsOwnStart(t *testing.T) {
	t.Parallel()
	d := newDesk()
	r := d.relay(t, nil)
	a, b := ids.NewTenant(), ids.NewTenant()
	d.dirty = []ids.Tenant{a, b}
	r.sweepOnce(t.Context())
	first := d.began
	d.began = first.Add(time.Minute)
	r.sweepOnce(t.Context())
	require.Equal(t, []time.Time{{}, first}, d.sinces)
	require.Equal(t, map[ids.Tenant]int{a: 2, b: 2}, d.drains)
}

func TestSweep_DoesNotAdvanceWhenTheMarksCannotBeRead(t *testing.T) {
	t.Parallel()
	d := newDesk()
	r := d.relay(t, nil)
	r.sweepOnce(t.Context())
	d.dirtyErr, d.began = errors.New("central is away"), d.began.Add(time.Minute)
	r.sweepOnce(t.Context())
	d.dirtyErr = nil
	r.sweepOnce(t.Context())
	require.Equal(t, time.Unix(1_000_000, 0), d.sinces[2])
}

func TestSweep_VisitsAFailedTenantAgainAfterItsMarkHasEnded(t *testing.T) {
	t.Parallel()
	d := newDesk()
	r := d.relay(t, nil)
	bad, gone := ids.NewTenant(), ids.NewTenant()
	d.dirty = []ids.Tenant{bad, gone}
	d.drain = func(t ids.Tenant) error {
		if t == gone {
			return apperr.New(apperr.Precondition, "TENANT_NOT_ACTIVE", "")
		}
		return apperr.New(apperr.Unavailable, "TENANT_UNREACHABLE", "")
	}
	r.sweepOnce(t.Context())
	d.dirty, d.drain = nil, nil
	r.sweepOnce(t.Context())
	r.sweepOnce(t.Context())
	require.Equal(t, map[ids.Tenant]int{bad: 2, gone: 1}, d.drains)
}

func TestSweep_IsNotHeldUpByATenantThatHangs(t *testing.T) {
	t.Parallel()
	d := newDesk()
	r := d.relay(t, nil)
	slow, quick := ids.NewTenant(), ids.NewTenant()
	release := make(chan struct{})
	d.drain = func(t ids.Tenant) error {
		if t == slow {
			<-release
		}
		return nil
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); r.run(ctx) }()
	d.rings <- slow
	require.Eventually(t, func() bool { return d.drained(slow) == 1 }, 10*time.Second, time.Millisecond)
	d.rings <- slow // a second ring does not drain it twice at one time
	d.rings <- quick
	require.Eventually(t, func() bool { return d.drained(quick) == 1 }, 10*time.Second, time.Millisecond)
	require.Equal(t, 1, d.drained(slow))
	stop()
	select {
	case <-ended:
		t.Fatal("the relay left a drain behind")
	case <-time.After(50 * time.Millisecond):
	}
	close(release)
	<-ended
}

func TestSweep_DrainsAFewAtATime(t *testing.T) {
	t.Parallel()
	d := newDesk()
	r := d.relay(t, nil)
	var mu sync.Mutex
	now, most := 0, 0
	full := make(chan struct{})
	for range 40 {
		d.dirty = append(d.dirty, ids.NewTenant())
	}
	d.drain = func(ids.Tenant) error {
		mu.Lock()
		now++
		most = max(most, now)
		if now == parallel {
			select {
			case <-full:
			default:
				close(full)
			}
		}
		mu.Unlock()
		<-full
		mu.Lock()
		now--
		mu.Unlock()
		return nil
	}
	r.sweepOnce(t.Context())
	require.Equal(t, parallel, most)
	require.Len(t, d.drains, 40)
}
