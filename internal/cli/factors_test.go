package cli_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	authv1 "tenantry/api/gen/tenantry/auth/v1"
	"tenantry/api/gen/tenantry/auth/v1/authv1connect"
	"tenantry/internal/cli"
)

// resets confirms what it is asked for, and keeps it.
type resets struct {
	authv1connect.UnimplementedFactorServiceHandler
	asked []*authv1.ConfirmTenantFactorResetRequest
}

func (r *resets) ConfirmTenantFactorReset(_ context.Context, req *authv1.ConfirmTenantFactorResetRequest) (*authv1.FactorReset, error) {
	r.asked = append(r.asked, req)
	return &authv1.FactorReset{Id: req.GetId(), UserId: "u"}, nil
}

func TestConfirmFactorReset_NamesTheTenantAndTheReset(t *testing.T) {
	t.Parallel()
	f := &resets{}
	s := (&fakeAPI{tenants: newLifecycle(), factors: f}).serve(t)
	require.NotEqual(t, cli.OK, at(s).run(t, "tenant", "confirm-factor-reset", "acme").code, "the reset is required")
	require.Empty(t, f.asked)
	r := at(s).run(t, "tenant", "confirm-factor-reset", "acme", operationID, "--json")
	require.Equal(t, cli.OK, r.code, r.stderr)
	require.Equal(t, operationID, decode[map[string]any](t, r.out)["id"])
	require.Len(t, f.asked, 1)
	require.Equal(t, []string{tenantID, operationID}, []string{f.asked[0].GetTenantId(), f.asked[0].GetId()})
	r = at(s).run(t, "tenant", "confirm-factor-reset", tenantID, operationID)
	require.Contains(t, r.out, "the second factor is gone")
}
