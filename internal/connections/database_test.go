package connections_test

import (
	"context"
	"database/sql"
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"tenantry/internal/connections"
)

func TestDatabase_EachUseGivesItsConnectionBack(t *testing.T) {
	t.Parallel()
	// With a budget of one, whatever is kept starves the next use.
	f := setup(t, connections.Options{Budget: 1, Share: 1})
	d, ctx := f.db(0), bounded(t)
	var n int
	for name, use := range map[string]func() error{
		"exec":                  func() error { _, err := d.Exec(ctx, "SELECT 1"); return err },
		"a row":                 func() error { return d.QueryRow(ctx, "SELECT 1").Scan(&n) },
		"no row":                func() error { return ignore(d.QueryRow(ctx, "SELECT 1 WHERE false").Scan(&n)) },
		"rows read to the end":  func() error { _, err := readAll(d.Query(ctx, "SELECT generate_series(1, 3)")); return err },
		"rows closed early":     func() error { return closeEarly(d.Query(ctx, "SELECT generate_series(1, 30000)")) },
		"wrong statement":       func() error { _, err := d.Exec(ctx, "SELEC"); return ignore(err) },
		"wrong query":           func() error { return ignore(closeEarly(d.Query(ctx, "SELEC"))) },
		"transaction":           func() error { return transact(ctx, d, 0) },
		"transaction undone":    func() error { return undo(ctx, d, "SELECT 1") },
		"transaction broken":    func() error { return undo(ctx, d, "SELECT 1/0") },
		"transaction left open": func() error { _, err := d.Exec(ctx, "BEGIN"); return err },
		"read only": func() error {
			tx, err := d.BeginTx(ctx, &sql.TxOptions{ReadOnly: true, Isolation: sql.LevelRepeatableRead})
			if err != nil {
				return err
			}
			return tx.Commit()
		},
		"context ends first": func() error {
			ended, cancel := context.WithCancel(ctx)
			cancel()
			_, err := d.BeginTx(ended, nil)
			return ignore(err)
		},
	} {
		require.NoError(t, use(), name)
		require.Eventually(t, func() bool { return f.Stats().Busy == 0 }, forever, time.Millisecond, name)
		require.NoError(t, query(ctx, d, 0), name)
	}
	var state string
	require.NoError(t, d.QueryRow(ctx, "SELECT coalesce(pg_current_xact_id_if_assigned()::text, 'none')").Scan(&state))
	require.Equal(t, "none", state, "nobody gets another's transaction")
}

func ignore(error) error { return nil }

func readAll(rows pgx.Rows, err error) ([]int, error) {
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[int])
}

func closeEarly(rows pgx.Rows, err error) error {
	if err != nil {
		return err
	}
	rows.Next()
	rows.Close()
	return rows.Err()
}

func undo(ctx context.Context, d *connections.Database, statement string) error {
	tx, err := d.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	_, _ = tx.ExecContext(ctx, statement)
	return tx.Rollback()
}

// A transaction whose context ends is rolled back by database/sql on a goroutine
// of its own: the connection comes back only when that is done.
func TestDatabase_ATransactionWhoseContextEndedIsOverBeforeItsConnectionIsLent(t *testing.T) {
	t.Parallel()
	f := setup(t, connections.Options{Budget: 1, Share: 1})
	d := f.db(0)
	for range 50 {
		ctx, cancel := context.WithCancel(bounded(t))
		tx, err := d.BeginTx(ctx, nil)
		require.NoError(t, err)
		var others sync.WaitGroup
		for range 3 {
			others.Go(func() {
				var open bool
				err := d.QueryRow(bounded(t), "SELECT pg_current_xact_id_if_assigned() IS NOT NULL").Scan(&open)
				if err != nil || open {
					t.Errorf("in another's transaction: %v %v", open, err)
				}
			})
		}
		_, err = tx.ExecContext(ctx, "SELECT pg_current_xact_id()")
		require.NoError(t, err)
		cancel()
		_ = tx.Rollback()
		others.Wait()
	}
}

func TestDatabase_DeadIdleConnectionsAreNotNoticed(t *testing.T) {
	t.Parallel()
	f := setup(t, connections.Options{Budget: 4, Share: 4})
	conn := superuser(t)
	for range 5 {
		require.NoError(t, both(bounded(t), f.db(0), 0))
		_, err := conn.Exec(t.Context(), "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = $1", f.app)
		require.NoError(t, err)
		require.NoError(t, both(bounded(t), f.db(0), 0))
	}
}

// slowWrites is a connection to a busy machine: pgx then reads on a goroutine of
// its own, which is not over when the statement is.
type slowWrites struct{ *net.TCPConn }

func (c slowWrites) Write(b []byte) (int, error) {
	n, err := c.TCPConn.Write(b)
	<-time.After(50 * time.Millisecond) // the answer comes meanwhile
	return n, err
}

func TestDatabase_AReadInTheBackgroundHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	f := setup(t, connections.Options{Budget: 1, Share: 1, Configure: func(c *pgx.ConnConfig) {
		dial := c.DialFunc
		c.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := dial(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			return slowWrites{conn.(*net.TCPConn)}, nil
		}
	}})
	for range 5 {
		ctx, cancel := context.WithTimeout(t.Context(), forever/2)
		require.NoError(t, query(ctx, f.db(0), 0))
		cancel()
	}
	require.EqualValues(t, 1, f.Stats().Opens)
}

// A server that says something unasked is asked before its connection is lent.
func TestDatabase_AnUnaskedMessageEndsNoConnection(t *testing.T) {
	t.Parallel()
	f := setup(t, connections.Options{Budget: 1, Share: 1})
	ctx := bounded(t)
	_, err := f.db(0).Exec(ctx, "LISTEN something")
	require.NoError(t, err)
	other, err := pgx.Connect(ctx, dsnOf(databases[0]))
	require.NoError(t, err)
	defer func() { _ = other.Close(ctx) }()
	for range 3 {
		_, err = other.Exec(ctx, "NOTIFY something")
		require.NoError(t, err)
		require.NoError(t, query(ctx, f.db(0), 0))
	}
	require.EqualValues(t, 1, f.Stats().Opens)
}

func TestForget_ClosesWhatIsIdleAndSparesOtherTenants(t *testing.T) {
	t.Parallel()
	f := setup(t, connections.Options{Budget: 4, Share: 2})
	second := f.key(0)
	second.Endpoint = "there"
	ctx := bounded(t)
	require.NoError(t, query(ctx, f.db(0), 0))
	require.NoError(t, query(ctx, f.Database(second, dsn(0)), 0))
	require.NoError(t, query(ctx, f.db(1), 1))
	f.Forget(f.ids[0])
	f.await(t, "both endpoints closed", func(s connections.Stats) bool { return s.Held() == 1 })
	require.NoError(t, query(ctx, f.db(1), 1))
	require.EqualValues(t, 3, f.Stats().Opens)
}

func TestForget_LetsWhatIsInUseFinishAndClosesItThen(t *testing.T) {
	t.Parallel()
	f := setup(t, connections.Options{Budget: 4, Share: 2})
	tx, err := f.db(0).BeginTx(t.Context(), nil)
	require.NoError(t, err)
	f.Forget(f.ids[0])
	var one int
	require.NoError(t, tx.QueryRow("SELECT 1").Scan(&one))
	require.NoError(t, query(bounded(t), f.db(0), 0), "new callers get a new one")
	require.EqualValues(t, 2, f.Stats().Opens)
	require.NoError(t, tx.Commit())
	f.await(t, "closed when it came back", func(s connections.Stats) bool { return s.Held() == 1 })
}

func TestRevision_ANewerOneRetiresTheOlder(t *testing.T) {
	t.Parallel()
	f := setup(t, connections.Options{Budget: 4, Share: 2})
	ctx := bounded(t)
	old, newer := f.db(0), f.key(0)
	newer.Revision = 1
	require.NoError(t, query(ctx, old, 0))
	require.NoError(t, query(ctx, f.Database(newer, dsn(0)), 0))
	f.await(t, "the older one is closed", func(s connections.Stats) bool { return s.Held() == 1 })
	require.NoError(t, query(ctx, old, 0), "a request that began before the rotation goes on")
	f.await(t, "and leaves nothing", func(s connections.Stats) bool { return s.Held() == 1 })
	require.NoError(t, query(ctx, f.Database(newer, dsn(0)), 0))
	require.EqualValues(t, 3, f.Stats().Opens)
}

func TestClose_WaitsForWhatIsInUseAndRefusesCallers(t *testing.T) {
	t.Parallel()
	f := setup(t, connections.Options{Budget: 1, Share: 1})
	tx, err := f.db(0).BeginTx(t.Context(), nil)
	require.NoError(t, err)
	waiting := make(chan error, 1)
	go func() { waiting <- query(bounded(t), f.db(1), 1) }()
	f.await(t, "waits", func(s connections.Stats) bool { return s.Waiting == 1 })
	closed := make(chan error, 1)
	go func() { closed <- f.Close(bounded(t)) }()
	require.ErrorIs(t, <-waiting, connections.ErrClosed)
	require.ErrorIs(t, query(t.Context(), f.db(2), 2), connections.ErrClosed)
	var one int
	require.NoError(t, tx.QueryRow("SELECT 1").Scan(&one), "it works while Close waits")
	require.Empty(t, closed)
	require.NoError(t, tx.Commit())
	require.NoError(t, <-closed)
}

func TestClose_EndsAnOpenUnderWay(t *testing.T) {
	t.Parallel()
	f := setup(t, connections.Options{Budget: 1, Share: 1})
	d, _, _ := gated(dsn(0)) // the gate stays shut: only the cancelled context ends it
	opening := make(chan error, 1)
	go func() { opening <- query(bounded(t), f.Database(f.key(0), d), 0) }()
	f.await(t, "opening", func(s connections.Stats) bool { return s.Opens == 1 })
	require.NoError(t, f.Close(bounded(t)))
	require.ErrorIs(t, <-opening, connections.ErrClosed)
}

func TestClose_OutOfTimeCutsConnectionsUnderTheirHolders(t *testing.T) {
	t.Parallel()
	f := setup(t, connections.Options{Budget: 1, Share: 1})
	tx, err := f.db(0).BeginTx(t.Context(), nil)
	require.NoError(t, err)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, f.Close(ended), context.Canceled)
	var one int
	require.Error(t, tx.QueryRow("SELECT 1").Scan(&one))
	require.False(t, errors.Is(tx.Commit(), sql.ErrTxDone))
	require.NoError(t, f.Close(bounded(t)))
}
