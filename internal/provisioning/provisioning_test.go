package provisioning_test

import (
	"encoding/base64"
	"net/netip"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"tenantry/internal/apperr"
	"tenantry/internal/argon/argontest"
	"tenantry/internal/audit"
	"tenantry/internal/auth"
	"tenantry/internal/clock"
	"tenantry/internal/db"
	"tenantry/internal/hooks"
	"tenantry/internal/ids"
	"tenantry/internal/invitations"
	"tenantry/internal/lists"
	"tenantry/internal/mail"
	"tenantry/internal/mailbox"
	"tenantry/internal/mailer"
	"tenantry/internal/operations"
	"tenantry/internal/outbox"
	"tenantry/internal/pgadmin"
	"tenantry/internal/provisioning"
	"tenantry/internal/secrets"
	"tenantry/internal/settings"
	"tenantry/internal/tenants"
	"tenantry/internal/testdb"
	"tenantry/internal/users"
)

const password = "a sentence long enough"

// world is an installation with the modules wired as the processes do.
type world struct {
	*testdb.Installation
	t           *testing.T
	tenants     *tenants.Service
	directory   *tenants.Directory
	router      *tenants.Router
	prov        *provisioning.Service
	auth        *auth.Service
	invitations *invitations.Service
	operations  *operations.Service
	hooks       *hooks.Service
	mailer      *mailer.Mailer
	mailbox     *mailbox.Mailbox
}

func newWorld(t *testing.T) *world {
	t.Helper()
	in := testdb.New(t)
	now := clock.System
	urls := tenants.NewURLs(&url.URL{Scheme: "http", Host: "localhost:8080"})
	conns := in.Connections(t, 40, 4)
	w := &world{Installation: in, t: t, directory: tenants.NewDirectory(in.Central)}
	var err error
	w.router, err = tenants.NewRouter(w.directory, conns, outbox.NewMarks(in.Central, testdb.Log()), in.CentralURL)
	require.NoError(t, err)
	peppers, err := secrets.ParseKeyring("p:" + base64.StdEncoding.EncodeToString(make([]byte, secrets.KeySize)))
	require.NoError(t, err)
	h, err := auth.NewHasher(peppers, 2, argontest.Cheap)
	require.NoError(t, err)
	w.tenants = tenants.New(in.Central, now, nil)
	w.prov = provisioning.New(in.Central, w.router, now, nil, testdb.Log())
	w.auth = auth.New(auth.Deps{Now: now, Hasher: h, URLs: urls})
	w.invitations = invitations.New(now, h, nil)
	w.operations = operations.New(in.Central, now, nil, nil)
	w.hooks = hooks.New(in.Central, now, nil)
	w.startMail(urls, now)
	return w
}

func (w *world) startMail(urls tenants.URLs, now clock.Clock) {
	var err error
	w.mailbox, err = mailbox.New(mailbox.Options{})
	require.NoError(w.t, err)
	require.NoError(w.t, w.mailbox.Start("127.0.0.1:0", "127.0.0.1:0"))
	w.t.Cleanup(func() { _ = w.mailbox.Close() })
	sender, err := mail.NewSender("smtp://"+w.mailbox.SMTPAddr(), "Tenantry <no-reply@tenantry.example>")
	require.NoError(w.t, err)
	w.mailer = mailer.New(mailer.Deps{
		Directory: w.directory, URLs: urls, Sender: sender, Now: now, Log: testdb.Log(),
		Drafts: map[string]mailer.DraftFunc{
			auth.MailVerify: w.auth.DraftVerification, auth.MailResend: w.auth.DraftVerification, invitations.MailInvitation: w.invitations.Draft,
		},
	})
}

// otherProcess is a router that shares nothing with the world's.
func (w *world) otherProcess() *tenants.Router {
	w.t.Helper()
	conns := w.Connections(w.t, 4, 2)
	r, err := tenants.NewRouter(w.directory, conns, outbox.NewMarks(w.Central, testdb.Log()), w.CentralURL)
	require.NoError(w.t, err)
	return r
}

func reserveInput(slug string) tenants.ReserveInput {
	return tenants.ReserveInput{
		Slug: slug, Name: "Acme", OwnerEmail: "owner@acme.example",
		Settings: settings.Document{RegistrationPolicy: settings.Open, MaxUsers: 2},
	}
}

func (w *world) reserve(slug string) operations.Operation {
	w.t.Helper()
	op, err := w.tenants.Reserve(w.t.Context(), reserveInput(slug), tenants.Requester{Actor: audit.System}, nil)
	require.NoError(w.t, err)
	return op
}

// advance takes a reservation through the steps before activation.
func (w *world) advance(op operations.Operation) pgadmin.Target {
	w.t.Helper()
	ctx, t := w.t.Context(), op.Tenant
	plan, err := w.prov.TakeReservation(ctx, t, op.WorkflowID)
	require.NoError(w.t, err)
	target := pgadmin.Target{Tenant: t, Database: plan.Database, Role: plan.Role}
	pw, err := w.prov.RolePassword(ctx, t)
	require.NoError(w.t, err)
	tpl, err := w.Schema.EnsureTemplate(ctx)
	require.NoError(w.t, err)
	require.NoError(w.t, w.Admin.CreateRole(ctx, target, pw))
	require.NoError(w.t, w.Admin.CreateDatabase(ctx, target, tpl))
	require.NoError(w.t, w.Admin.GrantAndOpen(ctx, target))
	for range 2 { // each step may run again
		require.NoError(w.t, w.prov.SeedTenant(ctx, t))
		require.NoError(w.t, w.prov.InviteOwner(ctx, t))
		require.NoError(w.t, w.prov.CreateSigningKey(ctx, t))
	}
	return target
}

func (w *world) provision(slug string) (tenants.Entry, *db.Lease) {
	w.t.Helper()
	op := w.reserve(slug)
	w.advance(op)
	require.NoError(w.t, w.prov.Activate(w.t.Context(), op.Tenant))
	e, err := w.directory.Fresh(w.t.Context(), op.Tenant)
	require.NoError(w.t, err)
	l, err := w.router.LeaseEntry(e)
	require.NoError(w.t, err)
	return e, l
}

// token drains the outbox and answers the link's token of the mail to an
// address.
func (w *world) token(l *db.Lease, to string) string {
	w.t.Helper()
	_, err := w.mailer.DrainTenant(w.t.Context(), l, 10)
	require.NoError(w.t, err)
	msgs := w.mailbox.Messages(to)
	require.NotEmpty(w.t, msgs, "no mail to %s", to)
	for _, link := range msgs[0].Links {
		u, err := url.Parse(link)
		require.NoError(w.t, err)
		if tok := u.Query().Get("token"); tok != "" {
			return tok
		}
	}
	require.Fail(w.t, "no link with a token", "%v", msgs[0].Links)
	return ""
}

func meta() auth.Meta { return auth.Meta{RequestID: "r1", IP: netip.MustParseAddr("127.0.0.1")} }

func TestJourney_OwnerAndMemberFromReservationToLogin(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	e, l := w.provision("acme")

	op, err := w.operations.List(ctx, lists.Request{}, nil)
	require.NoError(t, err)
	require.Equal(t, operations.Succeeded, op.Items[0].State)

	owner, err := w.invitations.Accept(ctx, l, tenants.Entry{}, invitations.AcceptInput{Token: w.token(l, "owner@acme.example"), Name: "Olga", Password: password}, meta())
	require.NoError(t, err)
	res, err := w.auth.Login(ctx, l, e, auth.LoginInput{Email: " OWNER@acme.example", Password: password}, meta())
	require.NoError(t, err)
	c, err := w.auth.VerifyAccess(e, res.Tokens.AccessToken)
	require.NoError(t, err)
	p, err := w.auth.LoadPrincipal(ctx, l, c)
	require.NoError(t, err)
	require.Equal(t, owner, p.User)
	require.Equal(t, []string{"owner"}, p.Roles)
	require.True(t, p.Can("tenant.manage"))
	require.EqualValues(t, 1, p.LoginCount)

	require.NoError(t, w.auth.Register(ctx, l, tenants.Entry{}, auth.RegisterInput{Name: "Mia", Email: "mia@acme.example", Password: password}, meta()))
	require.NoError(t, w.auth.VerifyEmail(ctx, l, w.token(l, "mia@acme.example"), meta()))
	res, err = w.auth.Login(ctx, l, e, auth.LoginInput{Email: "mia@acme.example", Password: password}, meta())
	require.NoError(t, err)
	c, err = w.auth.VerifyAccess(e, res.Tokens.AccessToken)
	require.NoError(t, err)
	p, err = w.auth.LoadPrincipal(ctx, l, c)
	require.NoError(t, err)
	require.False(t, p.Can("users.read"))

	first, err := users.New(clock.System).List(ctx, l, lists.Request{Limit: 1})
	require.NoError(t, err)
	second, err := users.New(clock.System).List(ctx, l, lists.Request{Limit: 1, Cursor: first.Next})
	require.NoError(t, err)
	require.Equal(t, "Olga", first.Items[0].Name)
	require.Equal(t, "Mia", second.Items[0].Name)
	require.Empty(t, second.Next)
	assertAuditSealed(t, l)
}

// assertAuditSealed checks every audit row's HMAC and that none has a number.
func assertAuditSealed(t *testing.T, l *db.Lease) {
	t.Helper()
	var n, unsealed int
	require.NoError(t, l.Database().QueryRow(t.Context(), `SELECT count(*), count(*) FILTER (WHERE seq IS NULL AND length(mac) = 32) FROM audit_log`).Scan(&n, &unsealed))
	require.Positive(t, n)
	require.Equal(t, n, unsealed)
}

func TestActivate_IsThePointOfNoReturn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	op := w.reserve("acme")
	w.advance(op)
	require.NoError(t, w.prov.Activate(ctx, op.Tenant))
	require.NoError(t, w.prov.Activate(ctx, op.Tenant), "a repeated attempt succeeds")
	active, err := w.prov.BeginCompensation(ctx, op.Tenant)
	require.NoError(t, err)
	require.True(t, active)
	require.Equal(t, "TENANT_STATE", apperr.ReasonOf(w.prov.Release(ctx, op.Tenant, "X")))
	var wiped bool
	require.NoError(t, w.Provisioner.QueryRow(ctx, `SELECT owner_email IS NULL FROM tenants`).Scan(&wiped))
	require.True(t, wiped, "the owner's address is wiped")
}

func TestBeginCompensation_StopsEveryStepForward(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	op := w.reserve("acme")
	target := w.advance(op)
	active, err := w.prov.BeginCompensation(ctx, op.Tenant)
	require.NoError(t, err)
	require.False(t, active)
	for name, step := range map[string]func() error{
		"activate": func() error { return w.prov.Activate(ctx, op.Tenant) },
		"key":      func() error { return w.prov.CreateSigningKey(ctx, op.Tenant) },
		"seed":     func() error { return w.prov.SeedTenant(ctx, op.Tenant) },
		"invite":   func() error { return w.prov.InviteOwner(ctx, op.Tenant) },
		"role":     func() error { return w.Admin.CreateRole(ctx, target, "x") },
	} {
		require.Equal(t, "TENANT_STATE", apperr.ReasonOf(step()), name)
	}
	for range 2 {
		require.NoError(t, w.prov.DeleteSigningKeys(ctx, op.Tenant))
		require.NoError(t, w.Admin.CloseDatabase(ctx, target))
		require.NoError(t, w.Admin.DropDatabase(ctx, target))
		require.NoError(t, w.Admin.DropRole(ctx, target))
		require.NoError(t, w.prov.Release(ctx, op.Tenant, "CREATE_FAILED"))
	}
	got, err := w.operations.Get(ctx, op.ID, nil)
	require.NoError(t, err)
	require.Equal(t, operations.Failed, got.State)
	require.Equal(t, "CREATE_FAILED", got.Reason)
	w.reserve("acme") // the slug is free again
}

func TestTakeReservation_GoesOnWithOneCancelledBeforeItsFirstStep(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	op := w.reserve("acme")
	active, err := w.prov.BeginCompensation(t.Context(), op.Tenant)
	require.NoError(t, err)
	require.False(t, active)
	plan, err := w.prov.TakeReservation(t.Context(), op.Tenant, op.WorkflowID)
	require.NoError(t, err)
	require.Equal(t, tenants.Failing, plan.State, "a second run must be able to take it back")
}

func TestTakeReservation_RefusesAnotherWorkflow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	op := w.reserve("acme")
	_, err := w.prov.TakeReservation(t.Context(), op.Tenant, op.WorkflowID)
	require.NoError(t, err)
	_, err = w.prov.TakeReservation(t.Context(), op.Tenant, op.WorkflowID)
	require.NoError(t, err)
	_, err = w.prov.TakeReservation(t.Context(), op.Tenant, "tenant/other/provision")
	require.Equal(t, "TENANT_STATE", apperr.ReasonOf(err))
	_, err = w.prov.TakeReservation(t.Context(), ids.NewTenant(), "x")
	require.Equal(t, "TENANT_NOT_FOUND", apperr.ReasonOf(err))
}
