package app

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"tenantry/activities"
	"tenantry/internal/attempts"
	"tenantry/internal/auth"
	"tenantry/internal/capacity"
	"tenantry/internal/config"
	"tenantry/internal/db"
	"tenantry/internal/expiry"
	"tenantry/internal/invitations"
	"tenantry/internal/lifecycle"
	"tenantry/internal/magiclink"
	"tenantry/internal/mail"
	"tenantry/internal/mailer"
	"tenantry/internal/notices"
	"tenantry/internal/pgadmin"
	"tenantry/internal/provisioning"
	"tenantry/internal/recovery"
	"tenantry/internal/schema"
	"tenantry/internal/signingkeys"
	"tenantry/internal/tenants"
	"tenantry/worker"
)

// RunWorker works until ctx ends, then drains. It alone, beside the command
// line, holds the provisioning credential.
func RunWorker(ctx context.Context, c config.Config, log *slog.Logger) error {
	b, err := newBase(ctx, c, "worker", log)
	if err != nil {
		return err
	}
	defer b.close()
	provisioner, err := openPool(ctx, c.ProvisionerURL.Reveal(), capacity.ProvisionerPool, "provisioner", b.crowded)
	if err != nil {
		return err
	}
	defer provisioner.Close()
	admin := pgadmin.New(provisioner, log)
	mails, err := newMailer(b, c)
	if err != nil {
		return err
	}
	tc, err := dialTemporal(c, log)
	if err != nil {
		return err
	}
	defer tc.Close()
	w, err := worker.New(worker.Deps{
		Log: log, Now: b.now, Client: tc, Namespace: c.TemporalNamespace, Central: b.central, Bell: b.bell,
		Provisioning: &activities.Provisioning{
			Service:  provisioning.New(b.central, b.router, b.now, b.bell, log),
			Admin:    admin,
			Template: schema.New(admin, c.ProvisionerURL.Reveal(), log).EnsureTemplate,
		},
		Lifecycle: &activities.Lifecycle{Service: lifecycle.New(b.central, b.router, admin, b.now, b.bell, log)},
		Fleet: &activities.Fleet{
			Active: tenants.New(b.central, b.now, b.bell).ActiveAfter, Lease: b.router.Lease, Drain: mails.DrainTenant,
			Expire: func(ctx context.Context, l *db.Lease, limit int) (int, error) {
				return expired(ctx, l, b.now(), limit)
			},
			ExpireCentral: func(ctx context.Context, limit int) (int, error) {
				return db.SweepCentralMarks(ctx, b.central, b.now(), limit)
			},
			KeepKeys: signingkeys.New(b.central, b.now).Keep,
		},
		Options: worker.Options{StickyTimeout: c.StickyTimeout},
	})
	if err != nil {
		return err
	}
	return runAll(ctx,
		b.keepBudget,
		func(ctx context.Context) error { return w.Run(ctx) },
		func(ctx context.Context) error { return serve(ctx, log, "worker", c.WorkerAddr, b.health(w.Ready)) })
}

// expired is all that the nightly pass deletes at a tenant.
var expired = expiry.Each(db.SweepTenantMarks, expiry.Sweep, attempts.Sweep)

func newMailer(b *base, c config.Config) (*mailer.Mailer, error) {
	sender, err := mail.NewSender(c.SMTPURL.Reveal(), c.MailFrom.String())
	if err != nil {
		return nil, err
	}
	accounts := auth.New(auth.Deps{Now: b.now, URLs: b.urls, Bell: b.bell})
	recoveries := recovery.New(recovery.Deps{Now: b.now})
	drafts := map[string]mailer.DraftFunc{
		magiclink.Mail:             magiclink.New(magiclink.Deps{Now: b.now}).Draft,
		recovery.MailReset:         recoveries.DraftReset,
		recovery.MailSecured:       recoveries.DraftReset,
		recovery.MailEmailChange:   recoveries.DraftEmailChange,
		recovery.MailEmailChanged:  recoveries.DraftEmailChanged,
		auth.MailVerify:            accounts.DraftVerification,
		auth.MailResend:            accounts.DraftVerification,
		invitations.MailInvitation: invitations.New(b.now, nil, nil).Draft,
	}
	for _, kind := range notices.Kinds {
		drafts[string(kind)] = notices.New(b.now).Draft
	}
	return mailer.New(mailer.Deps{Directory: b.directory, URLs: b.urls, Sender: sender, Now: b.now, Log: b.log, Drafts: drafts}), nil
}

// runAll runs loops until ctx ends or one fails, and waits for all. It returns
// the first error.
func runAll(ctx context.Context, loops ...func(context.Context) error) error {
	g, ctx := errgroup.WithContext(ctx)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for _, loop := range loops {
		g.Go(func() error { defer cancel(); return loop(ctx) })
	}
	return g.Wait()
}

// health answers /livez, /readyz and /metrics of a process that serves nothing else.
func (b *base) health(pollers func(context.Context) error) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", b.metrics.Handler())
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, nil) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), 3*time.Second)
		defer cancel()
		parts := b.ready(ctx)
		parts["temporal_pollers"] = pollers(ctx)
		var down []string
		for name, err := range parts {
			if err != nil {
				b.log.WarnContext(ctx, "not ready", "part", name, "error", err)
				down = append(down, name)
			}
		}
		status := http.StatusOK
		if len(down) > 0 {
			status = http.StatusServiceUnavailable
		}
		answer(w, status, down)
	})
	return mux
}

func answer(w http.ResponseWriter, status int, down []string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	body := map[string]any{"status": "ok"}
	if len(down) > 0 {
		body = map[string]any{"status": "unavailable", "down": down}
	}
	_ = json.NewEncoder(w).Encode(body) // the prober has left
}
