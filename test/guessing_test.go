package test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"tenantry/internal/systest"
)

// guessed is a tenant whose passwords are guessed, on a system where the
// address of a client is what X-Forwarded-For says.
type guessed struct {
	t        *testing.T
	s        *systest.System
	slug     string
	database string
}

// guess is a login; device may be empty.
type guess struct{ email, password, from, device string }

func newGuessed(t *testing.T, s *systest.System, o systest.Order) *guessed {
	t.Helper()
	op, _ := tenant(t, s, o)
	database, err := systest.Value[string](within(t, time.Minute), s, "", `SELECT database_name FROM tenants WHERE id = $1`, op.TenantID)
	require.NoError(t, err)
	return &guessed{t: t, s: s, slug: o.Slug, database: database}
}

// limit answers a test's size: a small one, or what the environment says for
// its long form.
func limit(t *testing.T, name string, small int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return small
	}
	n, err := strconv.Atoi(text)
	require.NoError(t, err, name)
	return n
}

// try sends a guess; anything but 200 or the one refusal is an error.
func (g *guessed) try(ctx context.Context, in guess) (systest.Answer, error) {
	body, err := json.Marshal(map[string]string{"email": in.email, "password": in.password})
	if err != nil {
		return systest.Answer{}, err
	}
	h := http.Header{"Content-Type": {"application/json"}}
	if in.from != "" {
		h.Set("X-Forwarded-For", in.from)
	}
	if in.device != "" {
		h.Set("Tenantry-Device", in.device)
	}
	a, err := g.s.Do(ctx, systest.Request{Method: http.MethodPost, URL: g.s.TenantURL(g.slug, "/v1/auth/login"), Header: h, Body: body})
	if err == nil && a.Status != http.StatusOK && a.Reason() != "LOGIN_FAILED" {
		err = fmt.Errorf("a guess answers %s", a)
	}
	return a, err
}

func (g *guessed) login(in guess) systest.Answer {
	g.t.Helper()
	a, err := g.try(within(g.t, time.Minute), in)
	require.NoError(g.t, err)
	return a
}

// device logs in and answers the device's token.
func (g *guessed) device(in guess) string {
	g.t.Helper()
	a := g.login(in)
	require.Equal(g.t, http.StatusOK, a.Status, a.String())
	var out struct {
		DeviceToken string `json:"device_token"`
	}
	require.NoError(g.t, a.JSON(&out))
	require.NotEmpty(g.t, out.DeviceToken)
	return out.DeviceToken
}

func (g *guessed) value(sql string, args ...any) int64 {
	g.t.Helper()
	n, err := systest.Value[int64](within(g.t, time.Minute), g.s, g.database, sql, args...)
	require.NoError(g.t, err)
	return n
}

func (g *guessed) exec(sql string, args ...any) {
	g.t.Helper()
	ctx := within(g.t, time.Minute)
	conn, err := g.s.Connect(ctx, g.database)
	require.NoError(g.t, err)
	_, err = conn.Exec(ctx, sql, args...)
	require.NoError(g.t, err)
	require.NoError(g.t, conn.Close(ctx))
}

// patience is what an attacker has who waits out every wait: it does to the
// rows what the clock would do.
func (g *guessed) patience() {
	g.exec(`UPDATE login_counters SET blocked_until = now() - interval '1 s'`)
}

// hold makes the wait of those who wait long enough for a slow machine.
func (g *guessed) hold() {
	g.exec(`UPDATE login_counters SET blocked_until = now() + interval '10 min' WHERE blocked_until IS NOT NULL`)
}

// checked is how many wrong passwords were compared with the account's own
// hash; one that is refused before has the outcome "blocked".
func (g *guessed) checked(email string) int64 {
	g.t.Helper()
	return g.value(`SELECT count(*) FROM login_events e JOIN users u ON u.id = e.user_id WHERE u.email_normalized = $1 AND e.outcome = 'failure'`, email)
}

// TestGuessing_FromManyAddresses: an attacker with an address for each guess
// and all the time of the world has a hundred guesses, while the owner logs in
// from a device that the account knows. TENANTRY_TEST_GUESSES=10000 is the long
// form. Planted: Login checks the password whatever the verdict says.
func TestGuessing_FromManyAddresses(t *testing.T) {
	t.Parallel()
	s := own(t, systest.Options{Env: map[string]string{"TENANTRY_TRUSTED_PROXIES": "127.0.0.0/8"}})
	o := systest.NewOrder("guessed")
	g := newGuessed(t, s, o)
	owner := guess{email: o.OwnerEmail, password: password, from: "203.0.113.7"}
	owner.device = g.device(owner)
	before := g.checked(o.OwnerEmail)

	const rounds = 100
	guesses := limit(t, "TENANTRY_TEST_GUESSES", 3*rounds)
	ctx := within(t, 20*time.Minute)
	sent := 0
	for round := range rounds {
		var burst errgroup.Group
		burst.SetLimit(8) // more would wait for their turn to be hashed in vain
		for range guesses / rounds {
			sent++
			in := guess{email: o.OwnerEmail, password: fmt.Sprintf("a guess of the attacker's, number %d", sent), from: fmt.Sprintf("10.%d.%d.9", sent/256, sent%256)}
			burst.Go(func() error {
				a, err := g.try(ctx, in)
				if err == nil && a.Status != http.StatusUnauthorized {
					err = fmt.Errorf("a wrong guess answers %s", a)
				}
				return err
			})
		}
		require.NoError(t, burst.Wait())
		g.patience()
		if round%10 == 9 {
			a := g.login(owner)
			require.Equal(t, http.StatusOK, a.Status, "the owner, after %d guesses: %s", sent, a)
		}
	}
	checked := g.checked(o.OwnerEmail) - before
	t.Logf("%d guesses from as many addresses, %d of them compared with the hash", sent, checked)
	require.EqualValues(t, 100, checked)
	require.Equal(t, http.StatusUnauthorized, g.login(guess{email: o.OwnerEmail, password: password, from: "192.0.2.1"}).Status, "the right password is a guess too")
	require.EqualValues(t, 100, g.value(`SELECT failures FROM login_counters WHERE kind = 'stranger'`))
	require.EqualValues(t, 0, g.value(`SELECT count(*) FROM login_counters WHERE kind = 'known'`))
	require.EqualValues(t, 96, g.value(`SELECT count(*) FROM audit_log WHERE action = 'account.locked' AND target_id IS NOT NULL`), "each lock-out has its row")

	// What is counted outlives the process and Redis.
	require.NoError(t, s.KillAPI())
	require.NoError(t, s.Redis.Stop())
	require.NoError(t, s.StartAPI(ctx))
	g.patience()
	require.Equal(t, http.StatusUnauthorized, g.login(guess{email: o.OwnerEmail, password: password, from: "192.0.2.2"}).Status, "after SIGKILL, without Redis")
	require.Equal(t, http.StatusOK, g.login(owner).Status, "the owner is let in all the same")
	require.NoError(t, s.Redis.Start(ctx))
	clean(t, s)
}

// TestGuessing_SurvivesSIGKILL kills the API while it compares: each guess was
// counted before, and stays so. Planted: Reserve after the hash. The helper
// that hashes ends with the API, and the API does not end with the helper.
func TestGuessing_SurvivesSIGKILL(t *testing.T) {
	t.Parallel()
	s := own(t, systest.Options{Fsync: true, Env: map[string]string{"TENANTRY_HASH_CONCURRENCY": "1", "TENANTRY_RATE_CREDENTIAL": "off"}})
	o := systest.NewOrder("killed")
	g := newGuessed(t, s, o)
	ctx := within(t, 3*time.Minute)
	const (
		counted = `SELECT coalesce(sum(failures), 0)::bigint FROM login_counters WHERE kind = 'stranger'`
		// ahead are guesses that are counted and not compared yet.
		ahead = `SELECT (` + counted + `) - count(*) FROM login_events WHERE outcome = 'failure'`
	)
	lost := int64(0)
	for round := range 3 {
		var burst sync.WaitGroup
		for i := range 24 {
			burst.Go(func() {
				for n, alive := 0, true; alive; n++ { // so that some are on their way whenever it is killed
					a, _ := g.try(ctx, guess{email: fmt.Sprintf("nobody%d-%d-%d@killed.example", round, i, n), password: "a guess of the attacker's"})
					alive = a.Status != 0 // the killed process answers nobody
				}
			})
		}
		require.NoError(t, systest.Until(ctx, "guesses are counted that are not compared", func(ctx context.Context) (bool, error) {
			n, err := systest.Value[int64](ctx, s, g.database, ahead)
			return n >= lost+2, err // one is being compared, one has its turn next
		}), "round %d", round)
		seen := g.value(counted)
		helper := onlyChild(t, s.API().PID())
		require.NoError(t, s.KillAPI())
		require.NoError(t, systest.Until(ctx, "the helper is gone", func(context.Context) (bool, error) {
			return errors.Is(syscall.Kill(helper, 0), syscall.ESRCH), nil
		}))
		burst.Wait()
		require.GreaterOrEqual(t, g.value(counted), seen)
		lost = g.value(ahead)
		require.Positive(t, lost, "some were killed on their way")
		require.NoError(t, s.StartAPI(ctx))
	}
	require.NoError(t, syscall.Kill(onlyChild(t, s.API().PID()), syscall.SIGKILL))
	require.Equal(t, http.StatusOK, g.login(guess{email: o.OwnerEmail, password: password}).Status)
	clean(t, s)
}

// onlyChild answers the one process that a process has started.
func onlyChild(t *testing.T, parent int) int {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	require.NoError(t, err)
	var children []int
	for _, path := range stats {
		stat, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended since
		}
		// pid (name) state ppid …: a name may hold anything (proc(5)).
		var state string
		var of int
		_, err = fmt.Sscan(string(stat[bytes.LastIndexByte(stat, ')')+1:]), &state, &of)
		require.NoError(t, err, path)
		if of == parent {
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			require.NoError(t, err)
			children = append(children, pid)
		}
	}
	require.Len(t, children, 1, "children of process %d", parent)
	return children[0]
}

// TestGuessing_OneAddressInManyForms is attack 6 at the account's count: forms
// of one address share it. An address with a plus is another account by its
// definition (U5), and has a count of its own. Planted: AddressHash of the
// address as it was sent.
func TestGuessing_OneAddressInManyForms(t *testing.T) {
	t.Parallel()
	o := systest.NewOrder("forms")
	g := newGuessed(t, shared(t), o)
	forms := []string{"OWNER@FORMS.EXAMPLE", "Owner@forms.example", " owner@forms.example ", "ｏｗｎｅｒ@forms.example", "owner@forms．example"}
	for _, form := range forms {
		require.Equal(t, http.StatusUnauthorized, g.login(guess{email: form, password: "a guess of the attacker's"}).Status)
	}
	require.EqualValues(t, 5, g.checked(o.OwnerEmail))
	g.hold()
	require.Equal(t, http.StatusUnauthorized, g.login(guess{email: o.OwnerEmail, password: password}).Status, "the sixth waits, whatever its form")
	require.EqualValues(t, 1, g.value(`SELECT count(*) FROM login_events WHERE outcome = 'blocked'`))
	for range 3 {
		g.login(guess{email: "owner+1@forms.example", password: password})
	}
	require.EqualValues(t, 3, g.value(`SELECT count(*) FROM login_events WHERE outcome = 'failure' AND user_id IS NULL`), "checked against nobody")
	require.EqualValues(t, 2, g.value(`SELECT count(*) FROM login_counters WHERE kind = 'stranger' AND failures > 0`))
}

// TestKnownDevice_IsTrustedWithNothing: a device token takes its own device
// out of the strangers' count, spares a notice, and does nothing else.
func TestKnownDevice_IsTrustedWithNothing(t *testing.T) {
	t.Parallel()
	s := shared(t)
	ctx := within(t, 2*time.Minute)
	o := systest.NewOrder("devices").Open()
	g := newGuessed(t, s, o)
	register(t, s, o.Slug, "mia@devices.example")
	link, err := s.Link(ctx, "mia@devices.example", "/m/verify")
	require.NoError(t, err)
	_, err = s.Confirm(ctx, link)
	require.NoError(t, err)
	notices := func() int64 {
		return g.value(`SELECT count(*) FROM outbox WHERE name = 'notice_new_device'`)
	}

	device := g.device(guess{email: o.OwnerEmail, password: password})
	require.EqualValues(t, 1, notices(), "the second login, from a device that said nothing")
	renewed := g.device(guess{email: o.OwnerEmail, password: password, device: device})
	require.EqualValues(t, 1, notices(), "a known device is no news")
	mia := g.device(guess{email: "mia@devices.example", password: password})
	require.EqualValues(t, 1, notices(), "nor is the first login, which follows a mail")
	g.device(guess{email: o.OwnerEmail, password: password, device: mia})
	require.EqualValues(t, 2, notices(), "another account's device is a stranger's")

	require.Equal(t, http.StatusUnauthorized, g.login(guess{email: o.OwnerEmail, password: "wrong, from a known device", device: renewed}).Status)
	a, err := s.Get(ctx, o.Slug, "/v1/me", renewed)
	require.NoError(t, err)
	require.Equal(t, http.StatusUnauthorized, a.Status, "it is no credential")

	for range 6 {
		g.login(guess{email: o.OwnerEmail, password: "a guess of the attacker's"})
		g.login(guess{email: o.OwnerEmail, password: "a guess of Mia's", device: mia})
	}
	g.hold()
	require.Equal(t, http.StatusUnauthorized, g.login(guess{email: o.OwnerEmail, password: password}).Status, "strangers are locked")
	require.Equal(t, http.StatusUnauthorized, g.login(guess{email: o.OwnerEmail, password: password, device: strings.ToUpper(renewed)}).Status)
	require.Equal(t, http.StatusUnauthorized, g.login(guess{email: o.OwnerEmail, password: password, device: mia}).Status, "Mia's device is one of them")
	g.device(guess{email: o.OwnerEmail, password: password, device: renewed})
	require.Equal(t, http.StatusUnauthorized, g.login(guess{email: o.OwnerEmail, password: password}).Status, "and its success opens nothing for them")

	g.exec(`UPDATE users SET device_epoch = device_epoch + 1`)
	require.Equal(t, http.StatusUnauthorized, g.login(guess{email: o.OwnerEmail, password: password, device: renewed}).Status, "an account that has forgotten its devices")
}
