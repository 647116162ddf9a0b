package lifecycle_test

import (
	"encoding/base64"
	"net/netip"
	"net/url"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"tenantry/internal/argon/argontest"
	"tenantry/internal/audit"
	"tenantry/internal/auth"
	"tenantry/internal/clock"
	"tenantry/internal/db"
	"tenantry/internal/ids"
	"tenantry/internal/invitations"
	"tenantry/internal/lifecycle"
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
)

const owner = "owner@acme.example"

// world is an installation with one active tenant whose owner is invited.
type world struct {
	*testdb.Installation
	t           *testing.T
	tenants     *tenants.Service
	directory   *tenants.Directory
	router      *tenants.Router
	lifecycle   *lifecycle.Service
	operations  *operations.Service
	invitations *invitations.Service
	mailer      *mailer.Mailer
	mailbox     *mailbox.Mailbox

	tenant ids.Tenant
	target pgadmin.Target
}

func newWorld(t *testing.T) *world {
	t.Helper()
	in, now := testdb.New(t), clock.System
	conns := in.Connections(t, 40, 4)
	w := &world{Installation: in, t: t, directory: tenants.NewDirectory(in.Central)}
	var err error
	w.router, err = tenants.NewRouter(w.directory, conns, outbox.NewMarks(in.Central, testdb.Log()), in.CentralURL)
	require.NoError(t, err)
	peppers, err := secrets.ParseKeyring("p:" + base64.StdEncoding.EncodeToString(make([]byte, secrets.KeySize)))
	require.NoError(t, err)
	hasher, err := auth.NewHasher(peppers, 2, argontest.Cheap)
	require.NoError(t, err)
	w.tenants = tenants.New(in.Central, now, nil)
	w.operations = operations.New(in.Central, now, nil, nil)
	w.invitations = invitations.New(now, hasher, nil)
	w.lifecycle = lifecycle.New(in.Central, w.router, in.Admin, now, nil, testdb.Log())
	w.startMail()
	w.provision(provisioning.New(in.Central, w.router, now, nil, testdb.Log()))
	return w
}

// otherProcess is the service of a process that shares nothing with this one.
func (w *world) otherProcess() *lifecycle.Service {
	w.t.Helper()
	conns := w.Connections(w.t, 4, 2)
	r, err := tenants.NewRouter(tenants.NewDirectory(w.Central), conns, outbox.NewMarks(w.Central, testdb.Log()), w.CentralURL)
	require.NoError(w.t, err)
	return lifecycle.New(w.Central, r, w.Admin, clock.System, nil, testdb.Log())
}

func (w *world) startMail() {
	var err error
	w.mailbox, err = mailbox.New(mailbox.Options{})
	require.NoError(w.t, err)
	require.NoError(w.t, w.mailbox.Start("127.0.0.1:0", "127.0.0.1:0"))
	w.t.Cleanup(func() { _ = w.mailbox.Close() })
	sender, err := mail.NewSender("smtp://"+w.mailbox.SMTPAddr(), "Tenantry <no-reply@tenantry.example>")
	require.NoError(w.t, err)
	w.mailer = mailer.New(mailer.Deps{
		Directory: w.directory, URLs: tenants.NewURLs(&url.URL{Scheme: "http", Host: "localhost:8080"}), Sender: sender, Now: clock.System, Log: testdb.Log(),
		Drafts: map[string]mailer.DraftFunc{invitations.MailInvitation: w.invitations.Draft},
	})
}

func (w *world) provision(p *provisioning.Service) {
	ctx := w.t.Context()
	op, err := w.tenants.Reserve(ctx, tenants.ReserveInput{
		Slug: "acme", Name: "Acme", OwnerEmail: owner, Settings: settings.Document{MaxUsers: 2},
	}, by, nil)
	require.NoError(w.t, err)
	w.tenant = op.Tenant
	plan, err := p.TakeReservation(ctx, op.Tenant, op.WorkflowID)
	require.NoError(w.t, err)
	w.target = pgadmin.Target{Tenant: op.Tenant, Database: plan.Database, Role: plan.Role}
	password, err := p.RolePassword(ctx, op.Tenant)
	require.NoError(w.t, err)
	tpl, err := w.Schema.EnsureTemplate(ctx)
	require.NoError(w.t, err)
	require.NoError(w.t, w.Admin.CreateRole(ctx, w.target, password))
	require.NoError(w.t, w.Admin.CreateDatabase(ctx, w.target, tpl))
	require.NoError(w.t, w.Admin.GrantAndOpen(ctx, w.target))
	require.NoError(w.t, p.SeedTenant(ctx, op.Tenant))
	require.NoError(w.t, p.InviteOwner(ctx, op.Tenant))
	require.NoError(w.t, p.CreateSigningKey(ctx, op.Tenant))
	require.NoError(w.t, p.Activate(ctx, op.Tenant))
}

var by = tenants.Requester{Actor: audit.System, RequestID: "r1"}

// call answers the call that an operation stands for.
func call(op operations.Operation) lifecycle.Call {
	return lifecycle.Call{Tenant: op.Tenant, Operation: op.ID}
}

func (w *world) suspend() operations.Operation {
	w.t.Helper()
	op, err := w.tenants.Suspend(w.t.Context(), w.tenant, by, nil)
	require.NoError(w.t, err)
	return op
}

func (w *world) resume() operations.Operation {
	w.t.Helper()
	op, err := w.tenants.Resume(w.t.Context(), w.tenant, by, nil)
	require.NoError(w.t, err)
	return op
}

func (w *world) apply(op operations.Operation) {
	w.t.Helper()
	require.NoError(w.t, w.lifecycle.ApplyAccess(w.t.Context(), call(op)))
}

// ended answers "state" or "state/REASON" of an operation.
func (w *world) ended(op operations.Operation) string {
	w.t.Helper()
	got, err := w.operations.Get(w.t.Context(), op.ID, nil)
	require.NoError(w.t, err)
	if got.Reason != "" {
		return got.State + "/" + got.Reason
	}
	return got.State
}

func (w *world) state() string {
	w.t.Helper()
	got, err := w.tenants.Get(w.t.Context(), w.tenant)
	require.NoError(w.t, err)
	return got.State
}

// value reads one value of the central database.
func value[T any](w *world, sql string, args ...any) (v T) {
	w.t.Helper()
	require.NoError(w.t, w.Provisioner.QueryRow(w.t.Context(), sql, args...).Scan(&v))
	return v
}

// login reports whether the tenant's role may.
func (w *world) login() bool {
	return value[bool](w, `SELECT rolcanlogin FROM pg_roles WHERE rolname = $1`, w.target.Role)
}

// inside runs a statement in the tenant's database as superuser.
func (w *world) inside(fn func(*pgx.Conn) error) {
	w.t.Helper()
	ctx := w.t.Context()
	conn, err := pgx.Connect(ctx, w.SuperURLOn(w.target.Database))
	require.NoError(w.t, err)
	defer func() { _ = conn.Close(ctx) }()
	require.NoError(w.t, fn(conn))
}

func (w *world) lease() *db.Lease {
	w.t.Helper()
	l, err := w.router.Lease(w.t.Context(), w.tenant)
	require.NoError(w.t, err)
	return l
}

// mails sends what waits and answers the token of each mail to an address, the
// oldest first.
func (w *world) mails(to string) (tokens []string) {
	w.t.Helper()
	_, err := w.mailer.DrainTenant(w.t.Context(), w.lease(), 10)
	require.NoError(w.t, err)
	for _, m := range w.mailbox.Messages(to) {
		for _, link := range m.Links {
			u, err := url.Parse(link)
			require.NoError(w.t, err)
			if tok := u.Query().Get("token"); tok != "" {
				tokens = append(tokens, tok)
			}
		}
	}
	return tokens
}

func (w *world) accept(token string) error {
	_, err := w.invitations.Accept(w.t.Context(), w.lease(), tenants.Entry{}, invitations.AcceptInput{Token: token, Name: "Olga", Password: "a sentence long enough"},
		auth.Meta{RequestID: "r1", IP: netip.MustParseAddr("127.0.0.1")})
	return err
}
