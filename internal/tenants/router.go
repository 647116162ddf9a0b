package tenants

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"tenantry/internal/apperr"
	"tenantry/internal/db"
	"tenantry/internal/ids"
	"tenantry/internal/outbox"
	"tenantry/internal/pools"
)

// decodePG reads Postgres's base64, which breaks lines.
func decodePG(s string) ([]byte, error) {
	return base64.StdEncoding.DecodeString(strings.ReplaceAll(s, "\n", ""))
}

// Router leases tenants' databases, each under its own role.
type Router struct {
	directory *Directory
	pools     *pools.Manager
	marks     *outbox.Marks
	// server is the central URL: its host and options, not its user.
	server url.URL
}

// NewRouter places every tenant on the server of centralURL.
func NewRouter(d *Directory, p *pools.Manager, m *outbox.Marks, centralURL string) (*Router, error) {
	u, err := url.Parse(centralURL)
	if err != nil {
		return nil, errors.New("central URL: not a URL")
	}
	u.User = nil
	// A suspended tenant's connections are being ended by the worker: the
	// pool must not stay for the day it comes back, nor hold its share.
	d.shut = func(t ids.Tenant) { p.Forget(t.UUID()) }
	return &Router{directory: d, pools: p, marks: m, server: *u}, nil
}

// Lease answers the database of an active tenant.
func (r *Router) Lease(ctx context.Context, t ids.Tenant) (*db.Lease, error) {
	if t.IsZero() {
		return nil, errors.New("lease for the zero tenant")
	}
	e, err := r.directory.ByID(ctx, t)
	if err != nil {
		return nil, err
	}
	return r.LeaseEntry(ctx, e)
}

// LeaseEntry is Lease for an entry the edge has just resolved.
func (r *Router) LeaseEntry(ctx context.Context, e Entry) (*db.Lease, error) {
	if e.State != Active {
		return nil, apperr.New(apperr.Precondition, "TENANT_NOT_ACTIVE", "This organization is not active.")
	}
	return r.lease(ctx, e)
}

// LeaseProvisioning answers the database of a tenant that is being made, for
// the steps before its activation.
func (r *Router) LeaseProvisioning(ctx context.Context, t ids.Tenant) (*db.Lease, error) {
	if t.IsZero() {
		return nil, errors.New("lease for the zero tenant")
	}
	e, err := r.directory.Fresh(ctx, t)
	if err != nil {
		return nil, err
	}
	if e.State != Provisioning {
		return nil, apperr.Newf(apperr.Precondition, "TENANT_STATE", "The tenant is %s, not provisioning.", e.State)
	}
	return r.lease(ctx, e)
}

func (r *Router) lease(ctx context.Context, e Entry) (*db.Lease, error) {
	key := pools.Key{Tenant: e.ID.UUID(), Endpoint: r.server.Host, Revision: e.Revision}
	l, err := r.pools.Acquire(ctx, key, func(context.Context) (string, error) { return r.dsn(e) })
	if err != nil {
		return nil, poolError(err)
	}
	mark := func(ctx context.Context) { r.marks.Ensure(ctx, e.ID) }
	return db.NewLease(e.ID, e.key, l.Pool(), l.SQL(), mark, l.Release), nil
}

func (r *Router) dsn(e Entry) (string, error) {
	password, err := e.key.Open(e.password, SealRolePassword)
	if err != nil {
		return "", fmt.Errorf("role password of tenant %s: %w", e.ID, err)
	}
	u := r.server
	u.User = url.UserPassword(e.Role, string(password))
	u.Path = "/" + e.Database
	return u.String(), nil
}

func poolError(err error) error {
	var budget *pools.BudgetError
	if errors.As(err, &budget) {
		return apperr.New(apperr.Unavailable, "POOL_BUDGET", "All database connections are in use. Try again later.").
			WithRetryAfter(max(budget.RetryAfter, time.Second)).WithCause(err)
	}
	if errors.Is(err, context.Canceled) {
		return err
	}
	return apperr.New(apperr.Unavailable, "TENANT_UNREACHABLE", "The organization's database cannot be reached at the moment. Try again later.").
		WithRetryAfter(time.Second).WithCause(err)
}
