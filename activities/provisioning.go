package activities

import (
	"context"

	"go.temporal.io/sdk/activity"

	"tenantry/internal/ids"
	"tenantry/internal/pgadmin"
	"tenantry/internal/provisioning"
)

// Provisioning is what creates a tenant and takes it back (T3).
type Provisioning struct {
	Service *provisioning.Service
	// Admin holds the provisioning credential.
	Admin *pgadmin.Admin
	// Template answers the name of the migrated template, made if it is not
	// there (schema.EnsureTemplate).
	Template func(context.Context) (string, error)
}

// States of a reservation as TakeReservation answers them.
const (
	// StateProvisioning: the reservation is this workflow's.
	StateProvisioning = "provisioning"
	// StateActive: an earlier run passed the point of no return.
	StateActive = "active"
	// StateFailing: an earlier run began to compensate.
	StateFailing = "failing"
	// StateRefused: there is no reservation, or another workflow holds it.
	StateRefused = "refused"
)

// Tenant is the input of what needs no names of the server.
type Tenant struct {
	TenantID ids.Tenant `json:"tenant_id"`
}

// Target is the input of what changes a database server. The names are
// opaque; they travel because a compensation runs when no row holds them.
type Target struct {
	TenantID ids.Tenant `json:"tenant_id"`
	Database string     `json:"database"`
	Role     string     `json:"role"`
}

func (t Target) admin() pgadmin.Target {
	return pgadmin.Target{Tenant: t.TenantID, Database: t.Database, Role: t.Role}
}

// Reservation is what TakeReservation found.
type Reservation struct {
	State    string `json:"state"`
	Database string `json:"database,omitempty"`
	Role     string `json:"role,omitempty"`
	// Reason says why it was refused.
	Reason string `json:"reason,omitempty"`
}

// Compensation is what BeginCompensation decided.
type Compensation struct {
	// Active: nothing may be taken back.
	Active bool `json:"active"`
}

// Released is the input of Release.
type Released struct {
	TenantID ids.Tenant `json:"tenant_id"`
	// Reason is a stable code; operators see it in the operation.
	Reason string `json:"reason"`
}

// TakeReservation swaps reserved → provisioning for this workflow. A refusal
// is a result and not an error: it changed nothing, so nothing is taken back.
func (a *Provisioning) TakeReservation(ctx context.Context, in Tenant) (Reservation, error) {
	workflow := activity.GetInfo(ctx).WorkflowExecution.ID
	plan, err := a.Service.TakeReservation(ctx, in.TenantID, workflow)
	if refused(err) {
		return refusal(err), nil
	}
	return Reservation{State: plan.State, Database: plan.Database, Role: plan.Role}, forward(ctx, err)
}

// CreateRole makes the tenant's login role.
func (a *Provisioning) CreateRole(ctx context.Context, in Target) error {
	password, err := a.Service.RolePassword(ctx, in.TenantID)
	if err != nil {
		return forward(ctx, err)
	}
	return forward(ctx, a.Admin.CreateRole(ctx, in.admin(), password))
}

// CreateDatabase clones the template; nobody can connect yet.
func (a *Provisioning) CreateDatabase(ctx context.Context, in Target) error {
	template, err := a.Template(ctx)
	if err != nil {
		return forward(ctx, err)
	}
	return forward(ctx, a.Admin.CreateDatabase(ctx, in.admin(), template))
}

// GrantAndOpen lets the tenant's role, and nobody else, connect.
func (a *Provisioning) GrantAndOpen(ctx context.Context, in Target) error {
	return forward(ctx, a.Admin.GrantAndOpen(ctx, in.admin()))
}

// SeedRoles writes the built-in roles and the initial settings.
func (a *Provisioning) SeedRoles(ctx context.Context, in Tenant) error {
	return forward(ctx, a.Service.SeedTenant(ctx, in.TenantID))
}

// InviteOwner invites the first owner; the mail leaves after activation.
func (a *Provisioning) InviteOwner(ctx context.Context, in Tenant) error {
	return forward(ctx, a.Service.InviteOwner(ctx, in.TenantID))
}

// CreateSigningKey makes the key that signs access tokens.
func (a *Provisioning) CreateSigningKey(ctx context.Context, in Tenant) error {
	return forward(ctx, a.Service.CreateSigningKey(ctx, in.TenantID))
}

// Activate is the point of no return.
func (a *Provisioning) Activate(ctx context.Context, in Tenant) error {
	return forward(ctx, a.Service.Activate(ctx, in.TenantID))
}

// BeginCompensation swaps the row to failing, or says that it is active.
func (a *Provisioning) BeginCompensation(ctx context.Context, in Tenant) (Compensation, error) {
	active, err := a.Service.BeginCompensation(ctx, in.TenantID)
	return Compensation{Active: active}, backward(ctx, err)
}

// DeleteSigningKeys takes CreateSigningKey back.
func (a *Provisioning) DeleteSigningKeys(ctx context.Context, in Tenant) error {
	return backward(ctx, a.Service.DeleteSigningKeys(ctx, in.TenantID))
}

// CloseDatabase takes GrantAndOpen back.
func (a *Provisioning) CloseDatabase(ctx context.Context, in Target) error {
	return backward(ctx, a.Admin.CloseDatabase(ctx, in.admin()))
}

// DropDatabase takes CreateDatabase back.
func (a *Provisioning) DropDatabase(ctx context.Context, in Target) error {
	return backward(ctx, a.Admin.DropDatabase(ctx, in.admin()))
}

// DropRole takes CreateRole back.
func (a *Provisioning) DropRole(ctx context.Context, in Target) error {
	return backward(ctx, a.Admin.DropRole(ctx, in.admin()))
}

// Release takes TakeReservation back and ends the operation: the last one.
func (a *Provisioning) Release(ctx context.Context, in Released) error {
	return backward(ctx, a.Service.Release(ctx, in.TenantID, in.Reason))
}
