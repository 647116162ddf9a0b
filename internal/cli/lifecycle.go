package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	operationsv1 "tenantry/api/gen/tenantry/operations/v1"
	tenantsv1 "tenantry/api/gen/tenantry/tenants/v1"
	"tenantry/internal/ids"
)

func (a *app) tenantSuspendCommand() *cobra.Command {
	return a.tenantCall("suspend", "Shut a tenant: nobody enters, its data stays",
		func(ctx context.Context, c *client, t *tenantsv1.Tenant) (*operationsv1.Operation, error) {
			return call(ctx, c, c.tenants.SuspendTenant, &tenantsv1.SuspendTenantRequest{Id: t.GetId()})
		})
}

func (a *app) tenantResumeCommand() *cobra.Command {
	return a.tenantCall("resume", "Open a suspended tenant again",
		func(ctx context.Context, c *client, t *tenantsv1.Tenant) (*operationsv1.Operation, error) {
			return call(ctx, c, c.tenants.ResumeTenant, &tenantsv1.ResumeTenantRequest{Id: t.GetId()})
		})
}

func (a *app) tenantInviteOwnerCommand() *cobra.Command {
	var email string
	cmd := a.tenantCall("invite-owner", "Send the owner's invitation again, to the same or a corrected address",
		func(ctx context.Context, c *client, t *tenantsv1.Tenant) (*operationsv1.Operation, error) {
			return call(ctx, c, c.tenants.InviteTenantOwner, &tenantsv1.InviteTenantOwnerRequest{Id: t.GetId(), OwnerEmail: email})
		})
	cmd.Flags().StringVar(&email, "email", "", "corrected address (the one invited before)")
	return cmd
}

func (a *app) tenantSetLimitsCommand() *cobra.Command {
	var maxUsers int32
	cmd := a.tenantCall("set-limits", "Change what only operators set",
		func(ctx context.Context, c *client, t *tenantsv1.Tenant) (*operationsv1.Operation, error) {
			return call(ctx, c, c.tenants.SetTenantLimits, &tenantsv1.SetTenantLimitsRequest{
				Id: t.GetId(), MaxUsers: proto.Int32(maxUsers), Version: t.GetVersion(),
			})
		})
	cmd.Flags().Int32Var(&maxUsers, "max-users", 0, "most accounts, 0 for no limit")
	_ = cmd.MarkFlagRequired("max-users")
	return cmd
}

// tenantCall is a command that asks for one thing at a tenant.
func (a *app) tenantCall(verb, short string, do func(context.Context, *client, *tenantsv1.Tenant) (*operationsv1.Operation, error)) *cobra.Command {
	var asJSON, wait bool
	var timeout time.Duration
	cmd := &cobra.Command{
		Use: verb + " SLUG|TENANT_ID", Short: short, Args: cobra.ExactArgs(1),
		RunE: a.do(func(cmd *cobra.Command, args []string) error {
			c, _, err := a.connect()
			if err != nil {
				return err
			}
			t, err := c.tenant(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			o, err := do(cmd.Context(), c, t)
			if err != nil {
				return err
			}
			op := viewOperation(o)
			a.say("operation %s", op.ID)
			if !wait {
				return a.printOperation(op, asJSON)
			}
			if op, err = a.waitFor(cmd.Context(), c, op, timeout); err != nil {
				return err
			}
			if err := a.printOperation(op, asJSON); err != nil {
				return err
			}
			return a.outcome(op)
		}),
	}
	cmd.Flags().BoolVar(&wait, "wait", false, "wait for the end; exit 1 when it failed")
	cmd.Flags().DurationVar(&timeout, "timeout", 5*time.Minute, "longest wait")
	jsonFlag(cmd, &asJSON)
	return cmd
}

// tenant finds a tenant by its id or its slug.
func (c *client) tenant(ctx context.Context, name string) (*tenantsv1.Tenant, error) {
	if _, err := ids.ParseTenant(name); err == nil {
		return call(ctx, c, c.tenants.GetTenant, &tenantsv1.GetTenantRequest{Id: name})
	}
	for cursor := ""; ; {
		page, err := call(ctx, c, c.tenants.ListTenants, &tenantsv1.ListTenantsRequest{Limit: 100, Cursor: cursor})
		if err != nil {
			return nil, err
		}
		for _, t := range page.GetTenants() {
			if t.GetSlug() == name {
				return t, nil
			}
		}
		if cursor = page.GetNextCursor(); cursor == "" {
			return nil, usageError{"no tenant has the slug " + quote(name)}
		}
	}
}
