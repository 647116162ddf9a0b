package test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tenantry/internal/devstack"
	"tenantry/internal/systest"
)

// canaries are values that must not be found again. Each is a word of its own,
// so that a hit says where it came from.
type canaries struct {
	words map[string]string // by what it stands for
}

// plant answers a fresh word for a purpose: 64 random bits, all in letters, as
// some are passwords and digits after a known word make none.
func (c *canaries) plant(what string) string {
	if c.words == nil {
		c.words = map[string]string{}
	}
	word := "canary" + strings.Map(func(r rune) rune {
		if r <= '9' {
			return r - '0' + 'm'
		}
		return r
	}, fmt.Sprintf("%016x", rand.Uint64()))
	c.words[what] = word
	return word
}

// note keeps a value that the system has made: a token, a key.
func (c *canaries) note(what, value string) {
	c.words[what] = value
}

// forms are the ways a value can stand in a file.
func forms(word string) map[string][]byte {
	out := map[string][]byte{
		"plain": []byte(word), "hex": []byte(hex.EncodeToString([]byte(word))), "query": []byte(url.QueryEscape(word)),
		"quoted": []byte(strings.Trim(string(jsonText(word)), `"`)),
	}
	// Base64 looks different at each of the three places in a longer text.
	for shift := range 3 {
		text := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", shift) + word))
		out[fmt.Sprintf("base64+%d", shift)] = []byte(text[4 : len(text)-4])
	}
	return out
}

func jsonText(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // strings and maps of them
	}
	return text
}

// search answers where any of the values stands, in any form.
func search(t *testing.T, files []string, words map[string]string) []string {
	t.Helper()
	var found []string
	for _, file := range files {
		content, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) && strings.HasSuffix(file, "-journal") {
			continue // SQLite deletes it at each commit; it held pages as they were before
		}
		require.NoError(t, err)
		for what, word := range words {
			for form, needle := range forms(word) {
				if at := bytes.Index(content, needle); at >= 0 {
					around := content[max(0, at-120):min(len(content), at+len(needle)+40)]
					found = append(found, fmt.Sprintf("%s (%s) in %s: %q", what, form, filepath.Base(file), around))
				}
			}
		}
	}
	return found
}

// temporalFiles are the raw database of Temporal with what is not yet merged.
func temporalFiles(t *testing.T, s *systest.System) []string {
	t.Helper()
	files, err := filepath.Glob(s.TemporalFile() + "*")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	return files
}

// TestLeaks_NothingPersonalInTemporalOrTheLogs sends names, addresses,
// passwords and tokens through every door, well and badly, and searches the
// raw files for them.
func TestLeaks_NothingPersonalInTemporalOrTheLogs(t *testing.T) {
	t.Parallel()
	s := own(t, systest.Options{Tags: "crashpoints", Env: map[string]string{"LOG_LEVEL": "debug"}})
	c := &canaries{}
	plantInHooks(t, s, c)
	plantInAccounts(t, s, c)
	plantInFailures(t, s, c)
	for _, name := range []string{"KEK_KEYS", "CODEC_KEYS", "PEPPER_KEYS"} {
		_, key, _ := strings.Cut(s.Setting(name), ":")
		c.note("a key of "+name, key)
	}
	for _, name := range []string{"CENTRAL_URL", "PROVISIONER_URL"} {
		u, err := url.Parse(s.Setting(name))
		require.NoError(t, err)
		secret, _ := u.User.Password()
		c.note("the password in "+name, secret)
	}
	c.note("the operator key", s.OperatorKey)
	c.note("the source's key", s.Hook.OperatorKey)
	c.note("the hook secret", s.Hook.Secret)
	require.GreaterOrEqual(t, len(c.words), 20)

	files := append(temporalFiles(t, s), s.LogFiles()...)
	require.Empty(t, search(t, files, c.words))
	t.Logf("%d values, %d files", len(c.words), len(files))

	// Control: the same search finds what a client without the codec sends.
	shown := map[string]string{"the control": c.plant("control")}
	ran, err := s.TemporalCLI(within(t, 30*time.Second), "workflow", "start", "--type", "Control", "--task-queue", "nobody",
		"--workflow-id", "control", "--input", string(jsonText(shown)))
	require.NoError(t, err)
	require.Zero(t, ran.Code, ran.Stderr)
	require.NotEmpty(t, search(t, temporalFiles(t, s), shown), "the search would find it")
	shown = map[string]string{"the log's control": s.Hook.Source}
	require.NotEmpty(t, search(t, s.LogFiles(), shown), "and in the logs too")
	clean(t, s)
}

// plantInHooks: well and badly formed messages that hold names and addresses.
func plantInHooks(t *testing.T, s *systest.System, c *canaries) {
	t.Helper()
	ctx := within(t, time.Minute)
	good := systest.Order{Slug: "leaky", Name: c.plant("organization"), OwnerEmail: c.plant("owner") + "@leaky.example"}.Open()
	_, err := s.Provision(ctx, good)
	require.NoError(t, err)
	bodies := map[string]string{
		"a taken slug":     `{"slug":"leaky","name":"%s","owner_email":"owner@leaky.example"}`,
		"a malformed slug": `{"slug":"Not A Slug","name":"x","owner_email":"%s@leaky.example"}`,
		"a bad address":    `{"slug":"other","name":"x","owner_email":"%s at leaky.example"}`,
		"no JSON":          `{"slug":"other","owner_email":"%s`,
		"an unknown field": `{"slug":"other","%s":"x"}`,
		"a bad setting":    `{"slug":"other","name":"x","owner_email":"a@leaky.example","settings":{"app_url":"ftp://%s.example"}}`,
	}
	for what, body := range bodies {
		a, err := s.Send(ctx, signed(t, s.Hook, time.Now(), fmt.Sprintf(body, c.plant("hook with "+what))))
		require.NoError(t, err)
		require.GreaterOrEqual(t, a.Status, 400, what)
	}
	unsigned := signed(t, s.Hook, time.Now(), fmt.Sprintf(`{"owner_email":"%s@leaky.example"}`, c.plant("unsigned hook")))
	unsigned.Signature = "v1," + c.plant("signature")
	a, err := s.Send(ctx, unsigned)
	require.NoError(t, err)
	require.Equal(t, http.StatusUnauthorized, a.Status)
}

// plantInAccounts: the ways of the owner and of a second person.
func plantInAccounts(t *testing.T, s *systest.System, c *canaries) {
	t.Helper()
	ctx := within(t, time.Minute)
	post := func(path string, in map[string]string) systest.Answer {
		a, err := s.Post(ctx, "leaky", path, "", in)
		require.NoError(t, err)
		return a
	}
	owner := c.words["owner"] + "@leaky.example"
	link, err := s.Link(ctx, owner, "/m/invitation")
	require.NoError(t, err)
	token, err := systest.Token(link)
	require.NoError(t, err)
	c.note("the invitation's token", token)
	secret := c.plant("owner's password")
	_, err = s.Accept(ctx, link, c.plant("owner's name"), "short")
	require.Error(t, err)
	_, err = s.Accept(ctx, link, c.words["owner's name"], secret)
	require.NoError(t, err)
	access, err := s.Login(ctx, "leaky", owner, secret)
	require.NoError(t, err)
	c.note("the access token", access)
	c.note("the access token's claims", strings.Split(access, ".")[1])
	whoAmI(t, s, "leaky", access)

	person := map[string]string{
		"name": c.plant("person's name"), "email": c.plant("person") + "@leaky.example", "password": c.plant("person's password"),
	}
	require.Equal(t, 200, post("/v1/auth/register", person).Status)
	link, err = s.Link(ctx, person["email"], "/m/verify")
	require.NoError(t, err)
	token, err = systest.Token(link)
	require.NoError(t, err)
	c.note("the verification's token", token)
	_, err = s.Confirm(ctx, link)
	require.NoError(t, err)
	_, err = s.Login(ctx, "leaky", person["email"], person["password"])
	require.NoError(t, err)

	for _, bad := range []struct {
		path string
		in   map[string]string
	}{
		{"/v1/auth/register", map[string]string{"name": c.plant("refused name"), "email": c.plant("refused address"), "password": password}},
		{"/v1/auth/register", map[string]string{"name": "x", "email": "a@leaky.example", "password": c.plant("long") + strings.Repeat("x", 300)}},
		{"/v1/auth/login", map[string]string{"email": owner, "password": c.plant("wrong password")}},
		{"/v1/auth/login", map[string]string{"email": c.plant("unknown person") + "@leaky.example", "password": password}},
		{"/v1/auth/login", map[string]string{"email": "a@leaky.example", c.plant("unknown field"): "x"}},
		{"/v1/auth/verify-email", map[string]string{"token": c.plant("bogus verification")}},
		{"/v1/invitations:accept", map[string]string{"token": c.plant("bogus invitation"), "name": "x", "password": password}},
	} {
		require.GreaterOrEqual(t, post(bad.path, bad.in).Status, 400, bad.path)
	}
	a, err := s.Get(ctx, "leaky", "/v1/me", c.plant("bogus bearer"))
	require.NoError(t, err)
	require.Equal(t, http.StatusUnauthorized, a.Status)
	a, err = s.Get(ctx, "leaky", "/m/verify?token="+c.plant("token in a link"), "")
	require.NoError(t, err)
	require.Equal(t, http.StatusBadRequest, a.Status)
	a, err = s.Get(ctx, "leaky", "/v1/me?"+c.plant("unknown parameter")+"=x", access)
	require.NoError(t, err)
	require.Equal(t, "UNKNOWN_PARAMETER", a.Reason(), a.String())
}

// plantInFailures: a mail server that refuses, a step that fails and is taken
// back, a worker that dies, a database that is away.
func plantInFailures(t *testing.T, s *systest.System, c *canaries) {
	t.Helper()
	ctx := within(t, 2*time.Minute)
	s.Mailbox.Refuse(true)
	email := c.plant("undeliverable address") + "@leaky.example"
	register(t, s, "leaky", email)
	require.NoError(t, systest.Until(ctx, "the worker has been refused", func(ctx context.Context) (bool, error) {
		database, err := s.Database(ctx, "leaky")
		if err != nil {
			return false, err
		}
		n, err := systest.Value[int64](ctx, s, database, `SELECT count(*) FROM outbox WHERE last_error IS NOT NULL`)
		return n > 0, err
	}))
	s.Mailbox.Refuse(false)

	require.NoError(t, s.KillWorker())
	_, err := s.SpawnWorker("TENANTRY_CRASH=fail=InviteOwner:after,kill=SeedRoles:after", "TENANTRY_CRASH_MARKER="+filepath.Join(s.Dir, "killed"))
	require.NoError(t, err)
	o := systest.Order{Slug: "doomed", Name: c.plant("doomed organization"), OwnerEmail: c.plant("doomed owner") + "@leaky.example"}
	op, err := s.Order(ctx, o)
	require.NoError(t, err)
	require.Error(t, s.Worker().Wait(ctx), "killed")
	require.NoError(t, s.StartWorker(ctx, "TENANTRY_CRASH=fail=InviteOwner:after"))
	op, err = s.WaitOperation(ctx, op.ID)
	require.NoError(t, err)
	gone(t, s, op, o.Slug)
	_, err = s.WaitWorkflow(ctx, op.WorkflowID)
	require.NoError(t, err)

	require.NoError(t, s.KillWorker())
	require.NoError(t, s.StartWorker(ctx))
	require.NoError(t, s.Postgres.Stop(devstack.Fast))
	for path, in := range map[string]map[string]string{
		"/v1/auth/login":    {"email": c.plant("login without a database") + "@leaky.example", "password": c.plant("its password")},
		"/v1/auth/register": {"name": c.plant("name without a database"), "email": c.plant("address without one") + "@leaky.example", "password": password},
	} {
		a, err := s.Post(ctx, "leaky", path, "", in)
		require.NoError(t, err)
		require.GreaterOrEqual(t, a.Status, 500, a.String())
	}
	a, err := s.Send(ctx, signed(t, s.Hook, time.Now(), string(jsonText(systest.Order{
		Slug: "no-database", Name: c.plant("hook without a database"), OwnerEmail: c.plant("its owner") + "@leaky.example",
	}))))
	require.NoError(t, err)
	require.Equal(t, http.StatusServiceUnavailable, a.Status, a.String())
	require.Equal(t, "CENTRAL_UNREACHABLE", a.Reason())
	require.NoError(t, s.Postgres.Start(ctx))
	_, err = s.Provision(ctx, systest.NewOrder("recovered"))
	require.NoError(t, err)
}
