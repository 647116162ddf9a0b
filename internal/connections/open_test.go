package connections_test

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"tenantry/internal/connections"
)

const crowd = 32

type counter = atomic.Int64

func TestOpen_OnceForACrowd(t *testing.T) {
	t.Parallel()
	f := setup(t, connections.Options{Budget: 4, Share: 1})
	d, gate, calls := gated(dsn(0))
	var g errgroup.Group
	for range crowd {
		g.Go(func() error { return query(bounded(t), f.Database(f.key(0), d), 0) })
	}
	f.await(t, "all wait", func(s connections.Stats) bool { return s.Waiting == crowd })
	close(gate)
	require.NoError(t, g.Wait())
	require.EqualValues(t, 1, calls.Load())
	require.EqualValues(t, 1, f.Stats().Opens)
}

func TestOpen_OneFailureIsSharedAndNotKept(t *testing.T) {
	t.Parallel()
	f := setup(t, connections.Options{Budget: 1, Share: 1})
	boom := errors.New("no such credential")
	d, gate, calls := gated(func(context.Context) (string, error) { return "", boom })
	errs := make(chan error, crowd)
	for range crowd {
		go func() { errs <- query(bounded(t), f.Database(f.key(0), d), 0) }()
	}
	f.await(t, "all wait", func(s connections.Stats) bool { return s.Waiting == crowd })
	close(gate)
	first := <-errs
	require.ErrorIs(t, first, boom)
	for range crowd - 1 {
		require.Same(t, first, <-errs)
	}
	require.EqualValues(t, 1, calls.Load())
	require.NoError(t, query(t.Context(), f.db(0), 0))
	require.EqualValues(t, 1, f.Stats().Failures)
}

func TestOpen_ARefusalOfTheServerGivesThePlaceBack(t *testing.T) {
	t.Parallel()
	f := setup(t, connections.Options{Budget: 1, Share: 1})
	missing := func(context.Context) (string, error) { return dsnOf("connections_missing_" + token()), nil }

	err := query(t.Context(), f.Database(f.key(0), missing), 0)
	var open *connections.OpenError
	require.ErrorAs(t, err, &open)
	require.Equal(t, f.ids[0], open.Tenant)
	var refusal *pgconn.PgError
	require.ErrorAs(t, err, &refusal)
	require.Equal(t, "3D000", refusal.Code)

	// Another tenant needs the whole budget.
	require.NoError(t, query(t.Context(), f.db(1), 1))
}

func TestOpen_KeepsTheConnectionStringOutOfErrors(t *testing.T) {
	t.Parallel()
	f := setup(t, connections.Options{Budget: 4, Share: 2})
	for name, dsn := range map[string]string{
		"unparsable URL":   "postgres://u:hunter2secret@[::1/db?sslmode=nonsense",
		"unparsable port":  "postgres://u:hunter2secret@h:port/db",
		"unparsable pairs": "host=h password=hunter2secret sslmode=nonsense",
		"refused":          "postgres://u:hunter2secret@127.0.0.1:1/db",
	} {
		err := query(t.Context(), f.Database(f.key(0), func(context.Context) (string, error) { return dsn, nil }), 0)
		require.Error(t, err, name)
		require.NotContains(t, err.Error(), "hunter2secret", name)
	}
	err := query(t.Context(), f.Database(f.key(0), func(context.Context) (string, error) { panic("hunter2secret") }), 0)
	require.Error(t, err)
	require.NotContains(t, err.Error(), "hunter2secret")
}

func TestOpen_APanicInDSNFailsTheOpenAlone(t *testing.T) {
	t.Parallel()
	f := setup(t, connections.Options{Budget: 1, Share: 1})
	err := query(t.Context(), f.Database(f.key(0), func(context.Context) (string, error) { panic("bug") }), 0)
	var open *connections.OpenError
	require.ErrorAs(t, err, &open)
	require.NoError(t, query(t.Context(), f.db(0), 0))
}

func TestOpen_IsLeftToTheOthersByACallerThatLeaves(t *testing.T) {
	t.Parallel()
	f := setup(t, connections.Options{Budget: 1, Share: 1})
	d, gate, calls := gated(dsn(0))

	// The opener is the one who leaves: the open must not be bound to it.
	ctx, cancel := context.WithCancel(t.Context())
	opener, other := make(chan error, 1), make(chan error, 1)
	go func() { opener <- query(ctx, f.Database(f.key(0), d), 0) }()
	f.await(t, "opener in", func(s connections.Stats) bool { return s.Opens == 1 })
	go func() { other <- query(bounded(t), f.Database(f.key(0), d), 0) }()
	f.await(t, "both in", func(s connections.Stats) bool { return s.Waiting == 2 })
	cancel()
	require.ErrorIs(t, <-opener, context.Canceled)
	close(gate)
	require.NoError(t, <-other)
	require.EqualValues(t, 1, calls.Load())
}

func TestOpen_ThatEveryoneLeftStaysForTheNext(t *testing.T) {
	t.Parallel()
	f := setup(t, connections.Options{Budget: 1, Share: 1})
	d, gate, calls := gated(dsn(0))
	ctx, cancel := context.WithCancel(t.Context())
	opener := make(chan error, 1)
	go func() { opener <- query(ctx, f.Database(f.key(0), d), 0) }()
	f.await(t, "opener in", func(s connections.Stats) bool { return s.Opens == 1 })
	cancel()
	require.ErrorIs(t, <-opener, context.Canceled)
	close(gate)
	f.await(t, "kept", func(s connections.Stats) bool { return s.Idle == 1 })
	require.NoError(t, query(t.Context(), f.Database(f.key(0), d), 0))
	require.EqualValues(t, 1, calls.Load())
}

func TestOpen_IsNotBegunForACallerThatLeft(t *testing.T) {
	t.Parallel()
	f := setup(t, connections.Options{Budget: 1, Share: 1})
	tx, err := f.db(0).BeginTx(t.Context(), nil)
	require.NoError(t, err)
	d, gate, calls := gated(dsn(1))
	close(gate)
	ctx, cancel := context.WithCancel(t.Context())
	w := make(chan error, 1)
	go func() { w <- query(ctx, f.Database(f.key(1), d), 1) }()
	f.await(t, "waits", func(s connections.Stats) bool { return s.Waiting == 1 })
	cancel()
	require.ErrorIs(t, <-w, context.Canceled)
	require.NoError(t, tx.Rollback())
	require.NoError(t, query(t.Context(), f.db(2), 2))
	require.Zero(t, calls.Load())
}

func TestOpen_RefusesTheZeroTenant(t *testing.T) {
	t.Parallel()
	f := setup(t, connections.Options{Budget: 1, Share: 1})
	require.Error(t, query(t.Context(), f.Database(connections.Key{Endpoint: "here"}, dsn(0)), 0))
	require.Error(t, query(t.Context(), f.Database(connections.Key{Tenant: uuid.Nil}, dsn(0)), 0))
	require.Zero(t, f.Stats().Opens)
}

// writes counts what is sent to the server: one write is a round trip.
type writes struct {
	net.Conn
	n *counter
}

func (w writes) Write(b []byte) (int, error) {
	w.n.Add(1)
	return w.Conn.Write(b)
}

// A new connection asks the server for nothing but what its caller asks: login,
// then one statement prepared and run. From the second time on, one round trip.
func TestOpen_FirstStatementCostsNoRoundTripOfItsOwn(t *testing.T) {
	t.Parallel()
	var ours, bare counter
	count := func(n *counter) func(*pgx.ConnConfig) {
		return func(c *pgx.ConnConfig) {
			dial := c.DialFunc
			c.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
				conn, err := dial(ctx, network, addr)
				return writes{conn, n}, err
			}
		}
	}
	f := setup(t, connections.Options{Budget: 1, Share: 1, Configure: count(&ours)})
	require.NoError(t, query(t.Context(), f.db(0), 0))

	config, err := pgx.ParseConfig(dsnOf(databases[0]))
	require.NoError(t, err)
	count(&bare)(config)
	conn, err := pgx.ConnectConfig(t.Context(), config)
	require.NoError(t, err)
	defer func() { _ = conn.Close(bounded(t)) }()
	var name string
	require.NoError(t, conn.QueryRow(t.Context(), "SELECT current_database()").Scan(&name))
	require.Equal(t, bare.Load(), ours.Load(), "as a bare connect and the same statement")

	before := ours.Load()
	require.NoError(t, query(t.Context(), f.db(0), 0))
	require.EqualValues(t, 1, ours.Load()-before)
}
