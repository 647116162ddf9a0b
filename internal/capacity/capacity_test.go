package capacity_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"tenantry/internal/capacity"
	"tenantry/internal/testdb"
)

func TestFor_DividesWhatTheServerLeaves(t *testing.T) {
	t.Parallel()
	server := capacity.Server{MaxConnections: 211, Reserved: 3, Connected: 20}
	api := server.For(capacity.Process{Processes: 4, Central: 8})
	require.Equal(t, 50, api.Part) // (211 - 3 - 8) / 4
	require.Equal(t, 42, api.Tenants)
	require.Empty(t, api.Warnings())
	worker := server.For(capacity.Process{Processes: 4, Central: 8, Provisioner: capacity.Provisioner})
	require.Equal(t, 50-8-capacity.Provisioner, worker.Tenants)
	require.LessOrEqual(t, 3*(8+api.Tenants)+8+capacity.Provisioner+worker.Tenants+3+capacity.Operators, 211, "all together fit")
}

func TestFor_TakesAnExplicitBudgetAndWarnsWhereItDoesNotFit(t *testing.T) {
	t.Parallel()
	server := capacity.Server{MaxConnections: 100, Reserved: 3, Connected: 10}
	plan := server.For(capacity.Process{Processes: 2, Central: 8, Budget: 60})
	require.Equal(t, 60, plan.Tenants)
	require.Equal(t, 2*68+11, plan.Needs())
	require.Len(t, plan.Warnings(), 1)
	require.Contains(t, plan.Warnings()[0], "147")
}

func TestFor_LowersAnExplicitBudgetThatNoServerOfThatSizeCouldHold(t *testing.T) {
	t.Parallel()
	plan := capacity.Server{MaxConnections: 32, Reserved: 3}.For(capacity.Process{Processes: 1, Central: 8, Budget: 60})
	require.Equal(t, 32-3-capacity.Operators-8, plan.Tenants)
	require.Len(t, plan.Warnings(), 1)
	require.Contains(t, plan.Warnings()[0], "TENANTRY_POOL_BUDGET is 60")
}

func TestFor_LeavesOneConnectionWhereNothingIsLeftAndWarns(t *testing.T) {
	t.Parallel()
	plan := capacity.Server{MaxConnections: 20, Reserved: 3}.For(capacity.Process{Processes: 4, Central: 8})
	require.Equal(t, 1, plan.Tenants)
	require.NotEmpty(t, plan.Warnings())
}

func TestWarnings_TellOfStrangersOnTheServer(t *testing.T) {
	t.Parallel()
	server := capacity.Server{MaxConnections: 100, Reserved: 3, Connected: 95}
	require.Len(t, server.For(capacity.Process{Processes: 1, Central: 8, Budget: 4}).Warnings(), 1)
}

func TestAsk_ReadsTheServersLimitsWithoutPrivileges(t *testing.T) {
	t.Parallel()
	in := testdb.New(t)
	server, err := capacity.Ask(t.Context(), in.Central.Pool())
	require.NoError(t, err)
	var limit int
	require.NoError(t, in.Provisioner.QueryRow(t.Context(), `SELECT current_setting('max_connections')::int`).Scan(&limit))
	require.Equal(t, limit, server.MaxConnections)
	require.Positive(t, server.Reserved)
	require.Positive(t, server.Connected)
}
