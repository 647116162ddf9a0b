package api

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"html"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"tenantry/internal/hooks"
	"tenantry/internal/ids"
)

// get decodes a field of an answer of a status: get(a, 200, "user.id").
func (a answer) get(t *testing.T, status int, path string) string {
	t.Helper()
	require.Equal(t, status, a.status, a.body)
	var v any
	require.NoError(t, json.Unmarshal([]byte(a.body), &v))
	for _, part := range strings.Split(path, ".") {
		m, ok := v.(map[string]any)
		require.True(t, ok, "%s in %s", path, a.body)
		v = m[part]
	}
	text, ok := v.(string)
	require.True(t, ok, "%s in %s", path, a.body)
	return text
}

// message is a signed message of a hook's source.
type message struct{ secret, id, body string }

func (m message) call(t *testing.T, at time.Time) call {
	t.Helper()
	raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(m.secret, "whsec_"))
	require.NoError(t, err)
	ts := strconv.FormatInt(at.Unix(), 10)
	return call{method: "POST", host: centralHost, path: hookPath, body: m.body, header: map[string]string{
		"webhook-id": m.id, "webhook-timestamp": ts, "webhook-signature": "v1," + hooks.Sign(raw, m.id, ts, []byte(m.body)),
	}}
}

func (w *world) source(t *testing.T) (secret, key string) {
	t.Helper()
	a := w.do(t, call{method: "POST", host: centralHost, path: "/v1/hook-sources", bearer: w.operator, body: `{"source":"billing"}`})
	return a.get(t, http.StatusOK, "secret"), a.get(t, http.StatusOK, "operator_key")
}

func order(slug string) string {
	return `{"slug":"` + slug + `","name":"` + slug + ` Inc","owner_email":"owner@` + slug + `.example","settings":{"registration_policy":"open"}}`
}

// settle makes a tenant whose owner has accepted, and answers its id and host.
func (w *world) settle(t *testing.T, slug string) (ids.Tenant, string) {
	t.Helper()
	a := w.do(t, call{method: "POST", host: centralHost, path: "/v1/tenants", bearer: w.operator, body: order(slug)})
	id, err := ids.ParseTenant(a.get(t, http.StatusAccepted, "tenant_id"))
	require.NoError(t, err)
	w.birth(t, id)
	host := slug + "." + centralHost
	w.fillIn(t, host, w.link(t, id, "owner@"+slug+".example"), url.Values{"name": {"Olivia"}, "password": {goodPassword}})
	return id, host
}

// fillIn opens a page, then submits its form.
func (w *world) fillIn(t *testing.T, host, page string, values url.Values) {
	t.Helper()
	if values == nil {
		values = url.Values{}
	}
	a := w.do(t, call{method: "GET", host: host, path: page})
	require.Equal(t, http.StatusOK, a.status, a.body)
	for _, m := range hidden.FindAllStringSubmatch(a.body, -1) {
		values.Set(m[1], html.UnescapeString(m[2]))
	}
	path, _, _ := strings.Cut(page, "?")
	a = w.do(t, call{
		method: "POST", host: host, path: path, body: values.Encode(), contentType: "application/x-www-form-urlencoded",
		header: map[string]string{"Origin": "http://" + host},
	})
	require.Equal(t, http.StatusOK, a.status, a.body)
	require.Contains(t, a.body, "Log in")
}

func (w *world) logIn(t *testing.T, host, email string) string {
	t.Helper()
	a := w.do(t, call{method: "POST", host: host, path: "/v1/auth/login", body: `{"email":"` + email + `","password":"` + goodPassword + `"}`})
	return a.get(t, http.StatusOK, "access_token")
}

func TestJourney_FromTheSignedHookToTwoPeopleAtTheirTenant(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	secret, sourceKey := w.source(t)

	// The hook answers 202, and its repetition the same.
	hook := message{secret, "msg-1", order("acme")}.call(t, time.Now())
	first := w.do(t, hook)
	operation := first.get(t, http.StatusAccepted, "id")
	require.Equal(t, "/v1/operations/"+operation, first.header.Get("Location"))
	require.Equal(t, operation, w.do(t, hook).get(t, http.StatusAccepted, "id"))

	// Its source follows it, and nothing else.
	a := w.do(t, call{method: "GET", host: centralHost, path: first.header.Get("Location"), bearer: sourceKey})
	require.Equal(t, "OPERATION_STATE_PENDING", a.get(t, http.StatusOK, "state"))
	require.Equal(t, http.StatusForbidden, w.do(t, call{method: "GET", host: centralHost, path: "/v1/tenants", bearer: sourceKey}).status)
	id, err := ids.ParseTenant(a.get(t, http.StatusOK, "tenant_id"))
	require.NoError(t, err)
	require.Equal(t, "TENANT_NOT_ACTIVE", w.do(t, call{method: "GET", host: acmeHost, path: "/v1/me"}).problem(t).Reason)

	w.birth(t, id)
	a = w.do(t, call{method: "POST", host: centralHost, path: first.header.Get("Location") + ":wait", bearer: sourceKey, body: `{"timeout_seconds":1}`})
	require.Equal(t, "OPERATION_STATE_SUCCEEDED", a.get(t, http.StatusOK, "state"))

	// The owner accepts on the page behind the mail's link; the link is spent.
	page := w.link(t, id, "owner@acme.example")
	require.Eventually(t, func() bool { return w.do(t, call{method: "HEAD", host: acmeHost, path: page}).status == http.StatusOK }, 5*time.Second, 50*time.Millisecond)
	w.fillIn(t, acmeHost, page, url.Values{"name": {"Olivia"}, "password": {goodPassword}})
	require.Equal(t, http.StatusBadRequest, w.do(t, call{method: "GET", host: acmeHost, path: page}).status)
	owner := w.logIn(t, acmeHost, "owner@acme.example")

	// A second person registers, confirms the address, and logs in.
	a = w.do(t, call{method: "POST", host: acmeHost, path: "/v1/auth/register", body: `{"name":"Max","email":"max@acme.example","password":"` + goodPassword + `"}`})
	require.Equal(t, http.StatusOK, a.status, a.body)
	w.fillIn(t, acmeHost, w.link(t, id, "max@acme.example"), url.Values{})
	member := w.logIn(t, acmeHost, "max@acme.example")
	a = w.do(t, call{method: "GET", host: acmeHost, path: "/v1/me", bearer: member})
	require.Equal(t, "Max", a.get(t, http.StatusOK, "user.name"))
	require.Equal(t, "1", a.get(t, http.StatusOK, "user.login_count"))

	// The owner sees both, page by page; the member may not look.
	users := w.do(t, call{method: "GET", host: acmeHost, path: "/v1/users?limit=1", bearer: owner})
	cursor := users.get(t, http.StatusOK, "next_cursor")
	users = w.do(t, call{method: "GET", host: acmeHost, path: "/v1/users?limit=1&cursor=" + url.QueryEscape(cursor), bearer: owner})
	require.Contains(t, users.body, "max@acme.example")
	require.Equal(t, "PERMISSION_MISSING", w.do(t, call{method: "GET", host: acmeHost, path: "/v1/users", bearer: member}).problem(t).Reason)
	w.requireVerifiable(t, acmeHost, owner)

	require.NotContains(t, w.logs.String(), "acme.example")
	require.NotContains(t, w.logs.String(), goodPassword)
	require.NotContains(t, w.logs.String(), owner)
}

// requireVerifiable checks a token the way a product's backend would.
func (w *world) requireVerifiable(t *testing.T, host, token string) {
	t.Helper()
	a := w.do(t, call{method: "GET", host: host, path: jwksPath})
	var set struct{ Keys []struct{ Kid, X string } }
	require.NoError(t, json.Unmarshal([]byte(a.body), &set))
	require.Len(t, set.Keys, 1)
	parsed, err := jwt.Parse(token, func(tok *jwt.Token) (any, error) {
		require.Equal(t, set.Keys[0].Kid, tok.Header["kid"])
		raw, err := base64.RawURLEncoding.DecodeString(set.Keys[0].X)
		return ed25519.PublicKey(raw), err
	}, jwt.WithValidMethods([]string{"EdDSA"}), jwt.WithIssuer("http://"+host))
	require.NoError(t, err)
	require.True(t, parsed.Valid)
}

func TestTenants_NothingOfOneIsWorthAnythingAtAnother(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, acme := w.settle(t, "acme")
	id, globex := w.settle(t, "globex")
	ours, theirs := w.logIn(t, acme, "owner@acme.example"), w.logIn(t, globex, "owner@globex.example")
	w.do(t, call{method: "POST", host: globex, path: "/v1/auth/register", body: `{"name":"M","email":"m@globex.example","password":"` + goodPassword + `"}`})
	w.fillIn(t, globex, w.link(t, id, "m@globex.example"), url.Values{})
	cursor := w.do(t, call{method: "GET", host: globex, path: "/v1/users?limit=1", bearer: theirs}).get(t, http.StatusOK, "next_cursor")

	same := map[string]string{"X-Request-Id": "same"}
	garbage := w.do(t, call{method: "GET", host: acme, path: "/v1/me", bearer: "a.b.c", header: same})
	foreign := w.do(t, call{method: "GET", host: acme, path: "/v1/me", bearer: theirs, header: same})
	operator := w.do(t, call{method: "GET", host: acme, path: "/v1/me", bearer: w.operator, header: same})
	require.Equal(t, garbage.problem(t), foreign.problem(t))
	require.Equal(t, garbage.problem(t), operator.problem(t))
	require.Equal(t, "CREDENTIAL_INVALID", garbage.problem(t).Reason)

	centralGarbage := w.do(t, call{method: "GET", host: centralHost, path: "/v1/tenants", bearer: "a.b.c", header: same})
	person := w.do(t, call{method: "GET", host: centralHost, path: "/v1/tenants", bearer: ours, header: same})
	require.Equal(t, centralGarbage.problem(t), person.problem(t))

	wrong := w.do(t, call{method: "GET", host: acme, path: "/v1/users?cursor=" + url.QueryEscape(cursor), bearer: ours, header: same})
	random := w.do(t, call{method: "GET", host: acme, path: "/v1/users?cursor=AAAA", bearer: ours, header: same})
	require.Equal(t, "CURSOR_INVALID", wrong.problem(t).Reason)
	require.Equal(t, random.problem(t), wrong.problem(t))
}

func TestHook_RefusedMessagesWriteNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	secret, _ := w.source(t)
	accepted := message{secret, "msg-1", order("acme")}.call(t, time.Now())
	require.Equal(t, http.StatusAccepted, w.do(t, accepted).status)
	before := w.rows(t)

	without := func(c call, header string) call {
		c.header = map[string]string{"webhook-id": c.header["webhook-id"], "webhook-timestamp": c.header["webhook-timestamp"], "webhook-signature": c.header["webhook-signature"]}
		delete(c.header, header)
		return c
	}
	good := message{secret, "msg-2", order("globex")}.call(t, time.Now())
	changed := func(change func(*call)) call {
		c := without(good, "")
		change(&c)
		return c
	}
	signed := func(body string) call { return message{secret, "msg-3", body}.call(t, time.Now()) }
	for name, tt := range map[string]struct {
		call   call
		status int
		reason string
	}{
		"no signature":         {without(good, "webhook-signature"), 401, "HOOK_SIGNATURE_MISSING"},
		"no id":                {without(good, "webhook-id"), 401, "HOOK_SIGNATURE_MISSING"},
		"wrong signature":      {changed(func(c *call) { c.header["webhook-signature"] = "v1,AAAA" }), 401, "HOOK_SIGNATURE_INVALID"},
		"re-serialized body":   {changed(func(c *call) { c.body = strings.Replace(c.body, ":", ": ", 1) }), 401, "HOOK_SIGNATURE_INVALID"},
		"another id":           {changed(func(c *call) { c.header["webhook-id"] = "msg-9" }), 401, "HOOK_SIGNATURE_INVALID"},
		"unknown source":       {changed(func(c *call) { c.path = hookPrefix + "crm" }), 401, "HOOK_SIGNATURE_INVALID"},
		"six minutes old":      {message{secret, "msg-4", order("globex")}.call(t, time.Now().Add(-6*time.Minute)), 401, "HOOK_TIMESTAMP_INVALID"},
		"six minutes ahead":    {message{secret, "msg-4", order("globex")}.call(t, time.Now().Add(6*time.Minute)), 401, "HOOK_TIMESTAMP_INVALID"},
		"same id, other body":  {message{secret, "msg-1", order("globex")}.call(t, time.Now()), 409, "HOOK_MESSAGE_REUSED"},
		"unknown field":        {signed(`{"slug":"globex","colour":"red"}`), 400, "MALFORMED_BODY"},
		"no JSON":              {signed(`slug=globex`), 400, "MALFORMED_BODY"},
		"reserved slug":        {signed(order("admin")), 400, "SLUG_RESERVED"},
		"malformed slug":       {signed(order("Globex")), 400, "INVALID_ARGUMENT"},
		"two hyphens":          {signed(order("xn--glob")), 400, "INVALID_ARGUMENT"},
		"reserve only":         {signed(`{"slug":"globex","name":"G","owner_email":"o@g.example","reserve_only":true}`), 400, "INVALID_ARGUMENT"},
		"2 MiB":                {signed(`{"slug":"` + strings.Repeat("g", 2<<20) + `"}`), 413, "BODY_TOO_LARGE"},
		"another content type": {changed(func(c *call) { c.contentType = "text/plain" }), 415, "UNSUPPORTED_MEDIA_TYPE"},
	} {
		t.Run(name, func(t *testing.T) {
			a := w.do(t, tt.call)
			require.Equal(t, tt.reason, a.problem(t).Reason, a.body)
			require.Equal(t, tt.status, a.status)
			require.Equal(t, before, w.rows(t), "nothing is written")
		})
	}
	// Control: the message that all of these are variations of is good.
	require.Equal(t, http.StatusAccepted, w.do(t, good).status)
	// A taken slug keeps a receipt, and reads the same again.
	taken := message{secret, "msg-5", order("acme")}.call(t, time.Now())
	for range 2 {
		a := w.do(t, taken)
		require.Equal(t, "SLUG_TAKEN", a.problem(t).Reason)
		require.Equal(t, http.StatusConflict, a.status)
	}
}

// The same as with the fakes, over real modules and databases.
func TestRandomRequests_OfRealModulesAreAnsweredWithoutA5xx(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, host := w.settle(t, "acme")
	token := w.logIn(t, host, "owner@acme.example")
	g := requestGenerator{rand.New(rand.NewPCG(26, 2)), w.procedureNames()} //nolint:gosec // seeded, so a failure can be repeated
	for i := range 1000 {
		c := g.next()
		if c.bearer == userToken {
			c.bearer = token
		}
		if c.bearer == operatorKey {
			c.bearer = w.operator
		}
		a := w.do(t, c)
		require.Less(t, a.status, 500, "request %d: %+v\n%s", i, c, a.body)
		require.True(t, isJSON(a.header.Get("Content-Type")), "request %d: %+v\n%s", i, c, a.body)
	}
}
