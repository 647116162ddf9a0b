package app

import (
	"context"
	"log/slog"

	"go.temporal.io/sdk/client"

	"tenantry/api"
	"tenantry/internal/apikeys"
	"tenantry/internal/argon"
	"tenantry/internal/auth"
	"tenantry/internal/config"
	"tenantry/internal/factors"
	"tenantry/internal/hooks"
	"tenantry/internal/ids"
	"tenantry/internal/invitations"
	"tenantry/internal/magiclink"
	"tenantry/internal/metrics"
	"tenantry/internal/operations"
	"tenantry/internal/operators"
	"tenantry/internal/rbac"
	"tenantry/internal/recovery"
	"tenantry/internal/replay"
	"tenantry/internal/settings"
	"tenantry/internal/tenants"
	"tenantry/internal/users"
	"tenantry/worker"
)

// RunAPI serves the API until ctx ends, then drains. It starts and answers
// while Temporal, Redis or a database is down, each answer as far as it goes.
func RunAPI(ctx context.Context, c config.Config, log *slog.Logger) error {
	b, err := newBase(ctx, c, "api", log)
	if err != nil {
		return err
	}
	defer b.close()
	tc, err := dialTemporal(c, log)
	if err != nil {
		return err
	}
	defer tc.Close()
	sums := argon.NewPool(c.HashConcurrency, log)
	defer sums.Close()
	hasher, err := auth.NewHasher(c.PepperKeys.Ring(), c.HashConcurrency, sums.Sum)
	if err != nil {
		return err
	}
	limits, closeLimits, err := newLimits(b, c)
	if err != nil {
		return err
	}
	defer closeLimits()
	ringCentral := func(ctx context.Context) { b.bell.Ring(ctx, ids.Tenant{}) }
	accounts := auth.New(auth.Deps{Now: b.now, Hasher: hasher, URLs: b.urls, Bell: b.bell})
	server, err := api.New(api.Deps{
		PublicURL: &c.PublicURL, Log: log, Now: b.now, Ready: b.ready,
		Flood:  api.Flood{PerSecond: float64(c.FloodPerSecond)},
		Limits: limits, TrustedProxies: c.TrustedProxies, Metrics: b.metrics,
		Directory: b.directory, Router: b.router,
		Auth:       accounts,
		Recovery:   recovery.New(recovery.Deps{Now: b.now, Hasher: hasher, Auth: accounts, Bell: b.bell}),
		MagicLinks: magiclink.New(magiclink.Deps{Now: b.now, Auth: accounts, Bell: b.bell}),
		Factors: factors.New(factors.Deps{
			Now: b.now, Auth: accounts, Hasher: hasher, Router: b.router, Central: b.central, Bell: b.bell,
		}),
		Users:       users.New(b.now),
		Roles:       rbac.New(b.now),
		Settings:    settings.New(b.now),
		Invitations: invitations.New(b.now, hasher, b.bell),
		Tenants:     tenants.New(b.central, b.now, b.bell),
		Operations:  operations.New(b.central, b.now, worker.Progress(tc), ringCentral),
		Operators:   operators.New(b.central, b.now),
		Hooks:       hooks.New(b.central, b.now, b.bell),
		APIKeys:     apikeys.New(b.now),
		Central:     b.central,
		Replays:     replay.New(b.redis, func(down bool) { b.metrics.Fallback(metrics.Idempotency, down) }),
	})
	if err != nil {
		return err
	}
	return runAll(ctx,
		b.keepBudget,
		func(ctx context.Context) error { return b.serveMetrics(ctx, c.MetricsAddr) },
		func(ctx context.Context) error { return serve(ctx, log, "api", c.APIAddr, server) })
}

func dialTemporal(c config.Config, log *slog.Logger) (client.Client, error) {
	codec, err := worker.NewCodec(c.CodecKeys.Ring())
	if err != nil {
		return nil, err
	}
	return worker.Dial(worker.ClientConfig{Address: c.TemporalAddress, Namespace: c.TemporalNamespace, Codec: codec, Log: log})
}
