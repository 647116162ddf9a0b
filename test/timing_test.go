package test

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"tenantry/internal/systest"
)

// falseAlarm is the chance that any door of the family looks guilty without
// being so; each gets its part (Bonferroni).
const falseAlarm = 0.001

// TestTiming_NoDoorTellsKnownFromUnknown is attack 5 with a watch: pairs of a
// known and a fresh unknown address, in random order, at each door, and beside
// it the same test of the same door with a leak planted in the database, which
// it must find. TENANTRY_TEST_TIMING=500 is the long form: 500 samples of each
// and a leak of 2 ms. The short one finds 200 ms: that is what 30 samples can do on a busy machine.
func TestTiming_NoDoorTellsKnownFromUnknown(t *testing.T) {
	samples, leak := limit(t, "TENANTRY_TEST_TIMING", 30), 200*time.Millisecond
	if samples >= 500 {
		leak = 2 * time.Millisecond
	}
	s := own(t, systest.Options{})
	o := systest.NewOrder("timed").Open()
	g := newGuessed(t, s, o)
	owner, err := s.Login(within(t, time.Minute), o.Slug, o.OwnerEmail, password)
	require.NoError(t, err)
	settings(t, s, o.Slug, owner, map[string]any{"app_url": "https://app.timed.example"})
	w := newWatch(t, g, o.OwnerEmail)
	// What the mails cost comes after the answer, and would disturb the next one.
	require.NoError(t, s.StopWorker())
	bound := falseAlarm / float64(len(doors))
	for _, d := range doors {
		honest, p := w.compare(d, samples)
		t.Logf("%-10s %d pairs: known − unknown %+.2f ms in the median, p = %.5f (bound %.5f)", d.name, samples, honest, p, bound)
		require.Greater(t, p, bound, "%s tells a known address by its time", d.name)
		w.plant(d, leak)
		found, p := w.compare(d, samples)
		t.Logf("%-10s with a leak of %s: %+.2f ms, p = %.5f", d.name, leak, found, p)
		require.Less(t, p, bound, "%s: a leak of %s is not found: this test proves nothing", d.name, leak)
		w.exec(fmt.Sprintf(`DROP TRIGGER leak ON %s`, d.table))
	}
}

// watch times the answers to a known and to unknown addresses.
type watch struct {
	t      *testing.T
	g      *guessed
	known  string
	hash   string
	conn   *pgx.Conn
	client *http.Client
	rand   *rand.Rand
	n      int
}

func newWatch(t *testing.T, g *guessed, known string) *watch {
	t.Helper()
	ctx := within(t, time.Minute)
	hash, err := systest.Value[[]byte](ctx, g.s, g.database, `SELECT address_hash FROM users WHERE email = $1`, known)
	require.NoError(t, err)
	conn, err := g.s.Connect(ctx, g.database)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(ctx)) })
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		_, port, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		return new(net.Dialer).DialContext(ctx, network, net.JoinHostPort("127.0.0.1", port))
	}
	// One connection that stays: making one is noise.
	client := &http.Client{Transport: &http.Transport{DialContext: dial, MaxIdleConnsPerHost: 1}}
	t.Cleanup(client.CloseIdleConnections)
	return &watch{t: t, g: g, known: known, hash: hex.EncodeToString(hash), conn: conn, client: client, rand: rand.New(rand.NewPCG(1, uint64(time.Now().UnixNano())))}
}

func (w *watch) exec(sql string) {
	w.t.Helper()
	_, err := w.conn.Exec(within(w.t, time.Minute), sql)
	require.NoError(w.t, err)
}

// plant makes a row of the known address slower to write.
func (w *watch) plant(d door, leak time.Duration) {
	w.t.Helper()
	w.exec(fmt.Sprintf(`CREATE OR REPLACE FUNCTION leak() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN PERFORM pg_sleep(%f); RETURN NEW; END $f$`, leak.Seconds()))
	when := strings.ReplaceAll(d.leak, "$1", `'\x`+w.hash+`'`)
	w.exec(fmt.Sprintf(`CREATE TRIGGER leak BEFORE INSERT ON %s FOR EACH ROW WHEN (%s) EXECUTE FUNCTION leak()`, d.table, when))
}

// compare answers the median of the differences, in milliseconds, and how
// likely such differences are where there is none.
func (w *watch) compare(d door, pairs int) (median, p float64) {
	w.t.Helper()
	differences := make([]float64, 0, pairs)
	for i := range 10 + pairs {
		// Nobody's guesses count against the next pair's.
		w.exec(`DELETE FROM login_counters`)
		w.n++
		unknown := fmt.Sprintf("p%0*d@timed.example", len(w.known)-len("p@timed.example"), w.n)
		var known, other time.Duration
		if w.rand.IntN(2) == 0 {
			known, other = w.time(d, w.known), w.time(d, unknown)
		} else {
			other, known = w.time(d, unknown), w.time(d, w.known)
		}
		if i >= 10 { // the first warm up caches and prepared statements
			differences = append(differences, (known-other).Seconds()*1000)
		}
	}
	p = signFlip(w.rand, differences, 50_000)
	slices.Sort(differences)
	return differences[len(differences)/2], p
}

// time sends one request and answers how long its answer took.
func (w *watch) time(d door, email string) time.Duration {
	w.t.Helper()
	body, err := json.Marshal(d.body(email))
	require.NoError(w.t, err)
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.g.s.TenantURL(w.g.slug, d.path), bytes.NewReader(body))
	require.NoError(w.t, err)
	req.Header.Set("Content-Type", "application/json")
	start := time.Now()
	resp, err := w.client.Do(req)
	require.NoError(w.t, err)
	_, err = io.Copy(io.Discard, resp.Body)
	took := time.Since(start)
	require.NoError(w.t, err)
	require.NoError(w.t, resp.Body.Close())
	require.Equal(w.t, d.status, resp.StatusCode, d.name)
	return took
}
