// Package app wires the processes by hand: what uses what stands here and
// nowhere else.
package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"

	"tenantry/internal/capacity"
	"tenantry/internal/clock"
	"tenantry/internal/config"
	"tenantry/internal/connections"
	"tenantry/internal/db"
	"tenantry/internal/metrics"
	"tenantry/internal/outbox"
	"tenantry/internal/schema"
	"tenantry/internal/tenants"
)

// drainTime is how long a process that was told to stop may still work.
const drainTime = 20 * time.Second

// base is what the API and the worker share.
type base struct {
	log       *slog.Logger
	now       clock.Clock
	urls      tenants.URLs
	central   *db.Central
	redis     *redis.Client
	bell      *outbox.Bell
	metrics   *metrics.Metrics
	directory *tenants.Directory
	router    *tenants.Router

	// connections are those to tenant databases, share this process's part of
	// what the server allows.
	connections *connections.Cache
	share       capacity.Process
	planned     capacity.Plan // belongs to keepBudget
	crowded     *yielding
}

func newBase(ctx context.Context, c config.Config, process string, log *slog.Logger) (*base, error) {
	crowded := &yielding{}
	pool, err := openPool(ctx, c.CentralURL.Reveal(), c.CentralPool, process, crowded)
	if err != nil {
		return nil, err
	}
	ropts, err := redis.ParseURL(c.RedisURL.Reveal())
	if err != nil {
		return nil, errors.New("redis URL: cannot be read")
	}
	// Redis is a hint: a slow one must not slow the request.
	ropts.DialTimeout, ropts.ReadTimeout, ropts.WriteTimeout = 500*time.Millisecond, time.Second, time.Second
	ropts.MaxRetries = 1
	// Else a caller's own, shorter bound (the doorbell's 200 ms) holds for
	// waiting alone, not for a server that has taken the call and says nothing.
	ropts.ContextTimeoutEnabled = true
	rdb := redis.NewClient(ropts)
	b := &base{
		log: log, now: clock.System, urls: tenants.NewURLs(&c.PublicURL), central: db.NewCentral(pool, c.KEKKeys.Ring()),
		redis: rdb, bell: outbox.NewBell(rdb),
		crowded: crowded, share: capacity.Process{Processes: c.Processes, Central: c.CentralPool, Budget: c.PoolBudget},
		connections: connections.New(connections.Options{
			Budget: max(c.PoolBudget, 1), Share: c.PoolShare, Log: log,
			Configure: func(p *pgx.ConnConfig) { tune(p, process) },
		}),
	}
	crowded.cache.Store(b.connections)
	if process == "worker" {
		b.share.Provisioner = capacity.Provisioner
	}
	b.metrics = newMetrics(b.connections)
	b.directory = tenants.NewDirectory(b.central)
	b.router, err = tenants.NewRouter(b.directory, b.connections, outbox.NewMarks(b.central, log), c.CentralURL.Reveal())
	return b, err
}

func (b *base) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := b.connections.Close(ctx); err != nil {
		b.log.Warn("connections to tenant databases not closed in time", "error", err)
	}
	b.central.Pool().Close()
	_ = b.redis.Close()
}

// ready asks what this process cannot work without.
func (b *base) ready(ctx context.Context) map[string]error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	_, _, err := b.central.Installation(ctx)
	parts := map[string]error{"central_database": err}
	if err == nil {
		// A binary refuses politely outside the schemas it knows.
		parts["central_schema"] = schema.CheckCentral(ctx, b.central.Pool())
	}
	return parts
}

// serve listens until ctx ends, then lets requests under way finish.
func serve(ctx context.Context, log *slog.Logger, name, addr string, h http.Handler) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("%s cannot listen on %s: %w", name, addr, err)
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	srv := &http.Server{
		Handler: h, Protocols: protocols, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second,
		WriteTimeout: 60 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 32 << 10,
		// What HTTP/2 takes before somebody reads it, of each connection: the least.
		HTTP2: &http.HTTP2Config{MaxReceiveBufferPerConnection: 64 << 10, MaxReceiveBufferPerStream: 64 << 10},
		// "OPTIONS *" gets our answer too.
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	log.Info(name+" listening", "addr", l.Addr().String())
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
	defer cancel()
	log.Info(name + " draining")
	return srv.Shutdown(stop)
}
