// Package edge holds what the HTTP middleware has found out about a request:
// one typed Call, put once in the context. A handler reads it in its first
// line; nothing below api reads it.
package edge

import (
	"context"
	"net/netip"
	"time"

	"tenantry/internal/apperr"
	"tenantry/internal/audit"
	"tenantry/internal/auth"
	"tenantry/internal/db"
	"tenantry/internal/i18n"
	"tenantry/internal/operators"
	"tenantry/internal/rbac"
	"tenantry/internal/tenants"
)

// Caller says who has been authenticated.
type Caller int

// The callers.
const (
	Anonymous Caller = iota
	User
	Operator
	APIKey
)

// Call is one request. The chain in api/server.go fills it step by step; one
// goroutine serves a request, so it needs no lock.
type Call struct {
	RequestID string
	ClientIP  netip.Addr
	UserAgent string
	// DeviceToken is the header Tenantry-Device, not looked at yet.
	DeviceToken string
	// Locale is the language of the answer, and AskedLocale the same when the
	// client has asked for one that we speak, else empty: mails then use the
	// organization's own.
	Locale      i18n.Locale
	AskedLocale i18n.Locale
	// Problem is true when errors are to be told as RFC 9457 says.
	Problem bool
	// Central is true at the bare base domain. Otherwise Tenant is set.
	Central bool
	Tenant  tenants.Entry
	// Lease is the tenant's database, for RPCs and pages at a tenant's host.
	// Whoever took it releases it; a handler only uses it.
	Lease *db.Lease
	// Caller says which of the two principals holds; User's for an API key.
	Caller   Caller
	User     auth.Principal
	Operator operators.Principal
	// Room is what the message may hold of this process's memory.
	Room Room
	// Keyed is set while the call carries an Idempotency-Key, once its message
	// has been read.
	Keyed *Keyed
	// HTTPStatus overrides the status of an error at HTTP doors; 0 keeps the
	// one its code implies.
	HTTPStatus int
	// Failed is the error that is being answered, as the client may see it.
	Failed *apperr.Error
	// Reason is the reason of the error that was answered, for the access log.
	Reason string
	// Door, Procedure and Code are the request's for the metrics: by which door
	// it came, what it asked for, and the Connect code of an error. Empty for
	// what reached no door, asked for nothing known, or was no RPC error.
	Door, Procedure, Code string
}

// Room bounds what the messages of all requests hold together.
type Room interface {
	// Enter waits for a place, for a message that may be large.
	Enter() error
	// Settle says how many bytes the message has: a place is kept for many.
	Settle(bytes int)
}

// Keyed is a call that must happen once (E4).
type Keyed struct {
	Key db.MarkKey
	Now time.Time
	// Reply is what the mark has stored; nil until then.
	Reply []byte
}

type key struct{}

// With puts the call in the context.
func With(ctx context.Context, c *Call) context.Context { return context.WithValue(ctx, key{}, c) }

// From answers the call of a request. It panics outside the chain: a handler
// without a call is wired wrongly, and must not run as nobody.
func From(ctx context.Context) *Call {
	c, ok := ctx.Value(key{}).(*Call)
	if !ok {
		panic("edge: the context carries no call")
	}
	return c
}

// Actor is the caller as the audit log names it.
func (c *Call) Actor() audit.Actor {
	switch c.Caller {
	case User:
		return audit.User(c.User.User)
	case APIKey:
		return audit.APIKey(c.User.APIKey)
	case Operator:
		return audit.Operator(c.Operator.ID)
	default:
		return audit.Anonymous
	}
}

// Member is the caller inside a tenant, with their rights.
func (c *Call) Member() rbac.Actor {
	return rbac.Actor{Actor: c.Actor(), User: c.User.User, Session: c.User.Session, Permissions: c.User.Permissions, RequestID: c.RequestID}
}

// Meta is what the account use cases keep of a request.
func (c *Call) Meta() auth.Meta {
	return auth.Meta{RequestID: c.RequestID, IP: c.ClientIP, UserAgent: c.UserAgent, DeviceToken: c.DeviceToken}
}
