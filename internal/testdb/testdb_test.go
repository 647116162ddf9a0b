package testdb_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tenantry/internal/db"
	"tenantry/internal/testdb"
)

func TestNew_TenantWorksUnderItsOwnRole(t *testing.T) {
	t.Parallel()
	start := time.Now()
	in := testdb.New(t)
	t.Logf("installation after %s", time.Since(start).Round(time.Millisecond))
	start = time.Now()
	id, lease := in.ActiveTenant(t, "acme")
	t.Logf("tenant after %s", time.Since(start).Round(time.Millisecond))
	require.Equal(t, id, lease.Tenant)

	who, err := db.InTenant(context.Background(), lease, func(tx db.TenantTx) (string, error) {
		var who string
		return who, tx.SQL().QueryRow(`SELECT current_user::text`).Scan(&who)
	})
	require.NoError(t, err)
	require.Equal(t, in.Names.Tenant(id), who)

	iid, _, err := in.Central.Installation(context.Background())
	require.NoError(t, err)
	require.Equal(t, in.IID, iid)
}
