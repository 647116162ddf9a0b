package api

import (
	"encoding/base64"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tenantry/internal/apikeys"
	"tenantry/internal/argon/argontest"
	"tenantry/internal/audit"
	"tenantry/internal/auth"
	"tenantry/internal/clock"
	"tenantry/internal/connections"
	"tenantry/internal/factors"
	"tenantry/internal/hooks"
	"tenantry/internal/ids"
	"tenantry/internal/invitations"
	"tenantry/internal/magiclink"
	"tenantry/internal/mail"
	"tenantry/internal/mailbox"
	"tenantry/internal/mailer"
	"tenantry/internal/notices"
	"tenantry/internal/operations"
	"tenantry/internal/operators"
	"tenantry/internal/outbox"
	"tenantry/internal/pgadmin"
	"tenantry/internal/provisioning"
	"tenantry/internal/rbac"
	"tenantry/internal/recovery"
	"tenantry/internal/secrets"
	"tenantry/internal/settings"
	"tenantry/internal/tenants"
	"tenantry/internal/testdb"
	"tenantry/internal/users"
)

// world is an API over the real modules and an installation of its own. What
// the worker does, provisioning and mails, the test does step by step.
type world struct {
	*fake
	in        *testdb.Installation
	directory *tenants.Directory
	router    *tenants.Router
	prov      *provisioning.Service
	mailer    *mailer.Mailer
	mailbox   *mailbox.Mailbox
	// operator is a key with every scope.
	operator string
	// moved is how far this world's clock is from the machine's.
	moved *atomic.Int64
}

// sleep moves the world's clock on.
func (w *world) sleep(d time.Duration) { w.moved.Add(int64(d)) }

func newWorld(t *testing.T) *world {
	t.Helper()
	in, moved := testdb.New(t), &atomic.Int64{}
	now := func() time.Time { return clock.System().Add(time.Duration(moved.Load())) }
	public := &url.URL{Scheme: "http", Host: centralHost}
	urls := tenants.NewURLs(public)
	conns := in.Connections(t, 40, 4)
	w := &world{fake: &fake{logs: &logBuffer{}}, in: in, directory: tenants.NewDirectory(in.Central), moved: moved}
	log := slog.New(slog.NewJSONHandler(w.logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	var err error
	w.router, err = tenants.NewRouter(w.directory, conns, outbox.NewMarks(in.Central, log), in.CentralURL)
	require.NoError(t, err)
	peppers, err := secrets.ParseKeyring("p:" + base64.StdEncoding.EncodeToString(make([]byte, secrets.KeySize)))
	require.NoError(t, err)
	hasher, err := auth.NewHasher(peppers, 2, argontest.Cheap)
	require.NoError(t, err)
	w.prov = provisioning.New(in.Central, w.router, now, nil, log)
	accounts := auth.New(auth.Deps{Now: now, Hasher: hasher, URLs: urls})
	d := Deps{
		PublicURL: public, Log: log, Now: now, Flood: Flood{PerSecond: -1}, Directory: w.directory, Router: w.router,
		Auth: accounts, Recovery: recovery.New(recovery.Deps{Now: now, Hasher: hasher, Auth: accounts}), MagicLinks: magiclink.New(magiclink.Deps{Now: now, Auth: accounts}),
		Factors: factors.New(factors.Deps{Now: now, Auth: accounts, Hasher: hasher, Router: w.router, Central: in.Central}),
		Users:   users.New(now), Roles: rbac.New(now), Settings: settings.New(now), Invitations: invitations.New(now, hasher, nil),
		Tenants: tenants.New(in.Central, now, nil), Operations: operations.New(in.Central, now, nil, nil),
		Operators: operators.New(in.Central, now), Hooks: hooks.New(in.Central, now, nil),
		APIKeys: apikeys.New(now), Central: in.Central,
	}
	w.startMail(t, d, urls)
	_, w.operator, err = d.Operators.Create(t.Context(), operators.CreateInput{Name: "tests", Scopes: operators.Scopes}, audit.System, "r1")
	require.NoError(t, err)
	w.server, err = New(d)
	require.NoError(t, err)
	w.serve(t)
	return w
}

func (w *world) startMail(t *testing.T, d Deps, urls tenants.URLs) {
	t.Helper()
	var err error
	w.mailbox, err = mailbox.New(mailbox.Options{})
	require.NoError(t, err)
	require.NoError(t, w.mailbox.Start("127.0.0.1:0", "127.0.0.1:0"))
	t.Cleanup(func() { _ = w.mailbox.Close() })
	sender, err := mail.NewSender("smtp://"+w.mailbox.SMTPAddr(), "Tenantry <no-reply@tenantry.example>")
	require.NoError(t, err)
	drafts := map[string]mailer.DraftFunc{
		auth.MailVerify: d.Auth.DraftVerification, auth.MailResend: d.Auth.DraftVerification, invitations.MailInvitation: d.Invitations.Draft,
		magiclink.Mail: d.MagicLinks.Draft, recovery.MailReset: d.Recovery.DraftReset, recovery.MailSecured: d.Recovery.DraftReset,
		recovery.MailEmailChange: d.Recovery.DraftEmailChange, recovery.MailEmailChanged: d.Recovery.DraftEmailChanged,
	}
	for _, kind := range notices.Kinds {
		drafts[string(kind)] = notices.New(d.Now).Draft
	}
	w.mailer = mailer.New(mailer.Deps{Directory: w.directory, URLs: urls, Sender: sender, Now: d.Now, Log: testdb.Log(), Drafts: drafts})
}

// birth does what the workflow does for a reservation.
func (w *world) birth(t *testing.T, id ids.Tenant) {
	t.Helper()
	ctx := t.Context()
	plan, err := w.prov.TakeReservation(ctx, id, ids.ProvisionTenantWorkflow(id))
	require.NoError(t, err)
	target := pgadmin.Target{Tenant: id, Database: plan.Database, Role: plan.Role}
	password, err := w.prov.RolePassword(ctx, id)
	require.NoError(t, err)
	template, err := w.in.Schema.EnsureTemplate(ctx)
	require.NoError(t, err)
	require.NoError(t, w.in.Admin.CreateRole(ctx, target, password))
	require.NoError(t, w.in.Admin.CreateDatabase(ctx, target, template))
	require.NoError(t, w.in.Admin.GrantAndOpen(ctx, target))
	require.NoError(t, w.prov.SeedTenant(ctx, id))
	require.NoError(t, w.prov.InviteOwner(ctx, id))
	require.NoError(t, w.prov.CreateSigningKey(ctx, id))
	require.NoError(t, w.prov.Activate(ctx, id))
}

// link sends what the tenant's outbox holds and answers the page of the
// newest mail with a link to an address: its path and query.
func (w *world) link(t *testing.T, id ids.Tenant, to string) string {
	t.Helper()
	e, err := w.directory.Fresh(t.Context(), id)
	require.NoError(t, err)
	lease, err := w.router.LeaseEntry(e)
	require.NoError(t, err)
	_, err = w.mailer.DrainTenant(t.Context(), lease, 500)
	require.NoError(t, err)
	msgs := w.mailbox.Messages(to)
	for _, msg := range slices.Backward(msgs) {
		for _, link := range msg.Links {
			if page, ours := strings.CutPrefix(link, w.server.urls.Tenant(e.Slug)); ours && strings.Contains(page, "token=") {
				return page
			}
		}
	}
	require.Fail(t, "no mail with a link", "to %s: %d mails", to, len(msgs))
	return ""
}

// rows counts what a refused request must not have written.
func (w *world) rows(t *testing.T) (n int) {
	t.Helper()
	err := w.in.Central.Pool().QueryRow(t.Context(), `
		SELECT (SELECT count(*) FROM tenants) + (SELECT count(*) FROM operations) + (SELECT count(*) FROM outbox)
			+ (SELECT count(*) FROM hook_receipts) + (SELECT count(*) FROM audit_log)`).Scan(&n)
	require.NoError(t, err)
	return n
}

// sql is the one tenant's database, as its owner sees it.
func (w *world) sql(t *testing.T) *connections.Database {
	t.Helper()
	e, err := w.directory.BySlug(t.Context(), "acme")
	require.NoError(t, err)
	lease, err := w.router.LeaseEntry(e)
	require.NoError(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(w.logs.String())
		}
	})
	return lease.Database()
}
