package activities

import (
	"context"
	"errors"
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"

	"tenantry/internal/apperr"
	"tenantry/internal/db"
	"tenantry/internal/ids"
	"tenantry/internal/secrets"
)

func TestNames_AreTheMethodsAndComplete(t *testing.T) {
	t.Parallel()
	for _, area := range []interface{ Activities() []Named }{&Provisioning{}, &Fleet{}} {
		registered := map[string]uintptr{}
		for _, n := range area.Activities() {
			require.NotContains(t, registered, n.Name)
			registered[n.Name] = reflect.ValueOf(n.Func).Pointer()
		}
		v := reflect.TypeOf(area)
		for i := range v.NumMethod() {
			if name := v.Method(i).Name; name != "Activities" {
				require.Contains(t, registered, name)
			}
		}
		require.Len(t, registered, v.NumMethod()-1)
	}
}

func TestPage_BeginsWithNoTenant(t *testing.T) {
	t.Parallel()
	dc := converter.GetDefaultDataConverter()
	for _, want := range []Page{{Limit: 5}, {After: ids.NewTenant(), Limit: 5}} {
		p, err := dc.ToPayload(want)
		require.NoError(t, err)
		var got Page
		require.NoError(t, dc.FromPayload(p, &got))
		require.Equal(t, want, got)
	}
}

// yard is a fleet of one tenant.
type yard struct {
	fleet    Fleet
	leaseErr error
	batches  []int
	drainErr error
	// expired are the batches of what has expired, at the tenant and centrally.
	expired, central int
	// kept counts the visits of signing keys.
	kept int
}

func newYard() *yard {
	y := &yard{}
	y.fleet = Fleet{
		Active: func(context.Context, ids.Tenant, int) ([]ids.Tenant, error) { return nil, y.leaseErr },
		Lease: func(_ context.Context, t ids.Tenant) (*db.Lease, error) {
			if y.leaseErr != nil {
				return nil, y.leaseErr
			}
			return db.NewLease(t, secrets.DataKey{}, nil, nil), nil
		},
		Drain: func(_ context.Context, _ *db.Lease, limit int) (int, error) {
			y.batches = append(y.batches, limit)
			if y.drainErr != nil {
				return 0, y.drainErr
			}
			if len(y.batches) < 3 {
				return limit, nil
			}
			return 0, nil
		},
		Expire: func(_ context.Context, _ *db.Lease, limit int) (int, error) {
			y.expired++
			return map[bool]int{true: limit, false: 1}[y.expired < 3], nil
		},
		ExpireCentral: func(context.Context, int) (int, error) { y.central++; return 0, nil },
		KeepKeys:      func(context.Context, ids.Tenant) error { y.kept++; return nil },
	}
	return y
}

func (y *yard) visit(t *testing.T, steps ...string) (VisitResult, error) {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestActivityEnvironment()
	env.RegisterActivityWithOptions(y.fleet.FleetVisit, activity.RegisterOptions{Name: NameFleetVisit})
	var r VisitResult
	v, err := env.ExecuteActivity(NameFleetVisit, Visit{TenantID: ids.NewTenant(), Steps: steps})
	if err == nil {
		require.NoError(t, v.Get(&r))
	}
	return r, err
}

func TestFleetVisit_DrainsUntilNothingIsLeftOnOneLease(t *testing.T) {
	t.Parallel()
	y := newYard()
	_, err := y.visit(t, StepOutboxSweep)
	require.NoError(t, err)
	require.Len(t, y.batches, 3)
}

func TestFleetVisit_RunsOnlyTheStepsAskedFor(t *testing.T) {
	t.Parallel()
	y := newYard()
	_, err := y.visit(t)
	require.NoError(t, err)
	require.Empty(t, y.batches)
}

func TestFleetVisit_SkipsATenantThatIsNotActive(t *testing.T) {
	t.Parallel()
	for _, k := range []apperr.Kind{apperr.NotFound, apperr.Precondition} {
		y := newYard()
		y.leaseErr = apperr.New(k, "TENANT_NOT_ACTIVE", "")
		r, err := y.visit(t, StepOutboxSweep)
		require.NoError(t, err)
		require.True(t, r.Skipped)
	}
}

func TestFleetVisit_FailsWithACodeAndGivesTheLeaseBack(t *testing.T) {
	t.Parallel()
	y := newYard()
	y.drainErr = errors.New("ada@example.org")
	_, err := y.visit(t, StepOutboxSweep)
	var app *temporal.ApplicationError
	require.ErrorAs(t, err, &app)
	require.Equal(t, "INTERNAL", app.Type())
	require.NotContains(t, err.Error(), "ada")
}

func TestFleetVisit_DeletesWhatHasExpiredBatchByBatch(t *testing.T) {
	t.Parallel()
	y := newYard()
	_, err := y.visit(t, StepSweepExpired)
	require.NoError(t, err)
	require.Equal(t, 3, y.expired)
	require.Empty(t, y.batches)
}

func TestFleetVisit_KeepsTheSigningKeys(t *testing.T) {
	t.Parallel()
	y := newYard()
	_, err := y.visit(t, StepRotateKeys)
	require.NoError(t, err)
	require.Equal(t, 1, y.kept)
	require.Zero(t, y.expired)
}

func TestFleetPage_OnlyTheFirstSweepsTheCentralDatabase(t *testing.T) {
	t.Parallel()
	y := newYard()
	for _, after := range []ids.Tenant{{}, ids.NewTenant()} {
		var suite testsuite.WorkflowTestSuite
		env := suite.NewTestActivityEnvironment()
		env.RegisterActivityWithOptions(y.fleet.FleetPage, activity.RegisterOptions{Name: NameFleetPage})
		_, err := env.ExecuteActivity(NameFleetPage, Page{After: after, Limit: 10})
		require.NoError(t, err)
	}
	require.Equal(t, 1, y.central)
}
