package tenants

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"tenantry/internal/apperr"
	"tenantry/internal/connections"
	"tenantry/internal/db"
	"tenantry/internal/ids"
	"tenantry/internal/outbox"
)

// decodePG reads Postgres's base64, which breaks lines.
func decodePG(s string) ([]byte, error) {
	return base64.StdEncoding.DecodeString(strings.ReplaceAll(s, "\n", ""))
}

// Router leases tenants' databases, each under its own role.
type Router struct {
	directory   *Directory
	connections *connections.Cache
	marks       *outbox.Marks
	// server is the central URL: its host and options, not its user.
	server url.URL
}

// NewRouter places every tenant on the server of centralURL.
func NewRouter(d *Directory, c *connections.Cache, m *outbox.Marks, centralURL string) (*Router, error) {
	u, err := url.Parse(centralURL)
	if err != nil {
		return nil, errors.New("central URL: not a URL")
	}
	u.User = nil
	// A suspended tenant's connections are being ended by the worker: the
	// others must not stay for the day it comes back.
	d.shut = func(t ids.Tenant) { c.Forget(t.UUID()) }
	return &Router{directory: d, connections: c, marks: m, server: *u}, nil
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
	return r.LeaseEntry(e)
}

// LeaseEntry is Lease for an entry the edge has just resolved.
func (r *Router) LeaseEntry(e Entry) (*db.Lease, error) {
	if e.State != Active {
		return nil, apperr.New(apperr.Precondition, "TENANT_NOT_ACTIVE", "This organization is not active.")
	}
	return r.lease(e), nil
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
	return r.lease(e), nil
}

func (r *Router) lease(e Entry) *db.Lease {
	key := connections.Key{Tenant: e.ID.UUID(), Endpoint: r.server.Host, Revision: e.Revision}
	database := r.connections.Database(key, func(context.Context) (string, error) { return r.dsn(e) })
	return db.NewLease(e.ID, e.key, database, func(ctx context.Context) { r.marks.Ensure(ctx, e.ID) })
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
