package tenants_test

import (
	"net/url"
	"sync"
	"testing"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"tenantry/internal/apperr"
	"tenantry/internal/db"
	"tenantry/internal/ids"
	"tenantry/internal/outbox"
	"tenantry/internal/tenants"
	"tenantry/internal/testdb"
)

// cuttable is a central database that can be cut off.
type cuttable struct {
	*testdb.Installation
	proxy   *toxiproxy.Proxy
	central *db.Central
}

func newCuttable(t *testing.T) cuttable {
	t.Helper()
	in := testdb.New(t)
	u, err := url.Parse(in.CentralURL)
	require.NoError(t, err)
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(prometheus.NewRegistry()), zerolog.Nop())
	p := toxiproxy.NewProxy(server, t.Name(), "127.0.0.1:0", u.Host)
	require.NoError(t, p.Start())
	t.Cleanup(p.Stop)
	u.Host = p.Listen
	return cuttable{Installation: in, proxy: p, central: db.NewCentral(in.OpenPool(t, u.String(), 4), in.Ring)}
}

func TestDirectory_ServesTheLastEntryWhileCentralIsDown(t *testing.T) {
	t.Parallel()
	c := newCuttable(t)
	tn := c.InsertTenant(t, "acme", tenants.Active)
	d := tenants.NewDirectory(c.central)
	_, err := d.BySlug(t.Context(), "acme")
	require.NoError(t, err)
	_, err = d.BySlug(t.Context(), "nobody")
	require.Equal(t, "UNKNOWN_HOST", apperr.ReasonOf(err))

	c.proxy.Stop()
	// Until the entries are too old to be fresh, nobody asks the database.
	require.Eventually(t, func() bool {
		_, err := d.ByID(t.Context(), tn.ID) // never loaded: must fail while it is down
		return apperr.ReasonOf(err) == "CENTRAL_UNREACHABLE"
	}, 10*time.Second, 50*time.Millisecond)
	stale := time.NewTimer(1100 * time.Millisecond)
	<-stale.C
	e, err := d.BySlug(t.Context(), "acme")
	require.NoError(t, err)
	require.Equal(t, tn.ID, e.ID)
	_, err = d.BySlug(t.Context(), "nobody")
	require.Equal(t, "UNKNOWN_HOST", apperr.ReasonOf(err), "unknown hosts are remembered too")
	_, err = d.BySlug(t.Context(), "other")
	require.Equal(t, apperr.Unavailable, apperr.KindOf(err), "what was never seen is not said to be unknown")
}

func TestDirectory_SeesAChangeWithinASecond(t *testing.T) {
	t.Parallel()
	in := testdb.New(t)
	tn := in.InsertTenant(t, "acme", tenants.Active)
	d := tenants.NewDirectory(in.Central)
	e, err := d.BySlug(t.Context(), "acme")
	require.NoError(t, err)
	require.Equal(t, tenants.Active, e.State)
	in.SetState(t, tn.ID, tenants.Failing)
	require.Eventually(t, func() bool {
		e, err := d.BySlug(t.Context(), "acme")
		return err == nil && e.State == tenants.Failing
	}, 10*time.Second, 20*time.Millisecond)
}

func TestDirectory_AsksOnceForManyCallers(t *testing.T) {
	t.Parallel()
	in := testdb.New(t)
	in.InsertTenant(t, "acme", tenants.Active)
	d := tenants.NewDirectory(in.Central)
	before := in.Central.Pool().Stat().AcquireCount()
	var wg sync.WaitGroup
	for range 200 {
		wg.Go(func() {
			_, err := d.BySlug(t.Context(), "acme")
			require.NoError(t, err)
		})
	}
	wg.Wait()
	// A slow machine may let an entry go stale in between; never one each.
	require.Less(t, in.Central.Pool().Stat().AcquireCount()-before, int64(20))
}

func TestRouter_RefusesZeroUnknownAndInactive(t *testing.T) {
	t.Parallel()
	in := testdb.New(t)
	reserved := in.InsertTenant(t, "acme", tenants.Reserved)
	born := in.InsertTenant(t, "born", tenants.Provisioning)
	in.Provision(t, born)
	active := in.Active(t, "globex")
	conns := in.Connections(t, 8, 2)
	r, err := tenants.NewRouter(tenants.NewDirectory(in.Central), conns, outbox.NewMarks(in.Central, testdb.Log()), in.CentralURL)
	require.NoError(t, err)

	_, err = r.Lease(t.Context(), ids.Tenant{})
	require.ErrorContains(t, err, "zero tenant")
	_, err = r.Lease(t.Context(), ids.NewTenant())
	require.Equal(t, apperr.NotFound, apperr.KindOf(err))
	_, err = r.Lease(t.Context(), reserved.ID)
	require.Equal(t, "TENANT_NOT_ACTIVE", apperr.ReasonOf(err))
	_, err = r.Lease(t.Context(), born.ID)
	require.Equal(t, "TENANT_NOT_ACTIVE", apperr.ReasonOf(err))
	_, err = r.LeaseProvisioning(t.Context(), active.ID)
	require.Equal(t, "TENANT_STATE", apperr.ReasonOf(err))

	for name, lease := range map[string]func() (*db.Lease, error){
		"active":       func() (*db.Lease, error) { return r.Lease(t.Context(), active.ID) },
		"provisioning": func() (*db.Lease, error) { return r.LeaseProvisioning(t.Context(), born.ID) },
	} {
		l, err := lease()
		require.NoError(t, err, name)
		var user, database string
		require.NoError(t, l.Database().QueryRow(t.Context(), `SELECT current_user::text, current_database()::text`).Scan(&user, &database))
		require.Equal(t, database, user, "each tenant's traffic runs as its own role")
	}
}
