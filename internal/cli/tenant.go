package cli

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	tenantsv1 "tenantry/api/gen/tenantry/tenants/v1"
	"tenantry/internal/config"
	"tenantry/internal/ids"
)

func (a *app) tenantCommand() *cobra.Command {
	return a.group("tenant", "Create, list and shut tenants", a.tenantCreateCommand(), a.tenantListCommand(), a.tenantGetCommand(),
		a.tenantSuspendCommand(), a.tenantResumeCommand(), a.tenantInviteOwnerCommand(), a.tenantSetLimitsCommand(), a.tenantConfirmFactorResetCommand())
}

// tenantCreate is the flags of `tenant create`.
type tenantCreate struct {
	slug, name, owner               string
	policy, language, zone, appURL  string
	maxUsers                        int32
	noWait, reserveOnly, jsonOutput bool
	timeout                         time.Duration
}

var policies = []string{"", "invite-only", "open"}

func (a *app) tenantCreateCommand() *cobra.Command {
	f := &tenantCreate{}
	cmd := &cobra.Command{
		Use: "create", Short: "Provision a tenant and wait for it", Args: cobra.NoArgs,
		Example: "  tenantry tenant create --slug acme --name 'Acme GmbH' --owner-email owner@acme.example",
		RunE: a.do(func(cmd *cobra.Command, _ []string) error {
			return a.tenantCreate(cmd.Context(), f)
		}),
	}
	fl := cmd.Flags()
	fl.StringVar(&f.slug, "slug", "", "host label, 3 to 40 characters a-z, 0-9 and -, beginning with a letter")
	fl.StringVar(&f.name, "name", "", "what people read, 1 to 100 characters")
	fl.StringVar(&f.owner, "owner-email", "", "who is invited as the owner")
	fl.StringVar(&f.policy, "registration-policy", "", "invite-only or open (invite-only)")
	fl.StringVar(&f.language, "language", "", "language tag (en)")
	fl.StringVar(&f.zone, "time-zone", "", "IANA time zone (UTC)")
	fl.StringVar(&f.appURL, "app-url", "", "https URL of the tenant's own application")
	fl.Int32Var(&f.maxUsers, "max-users", 0, "most accounts, 0 for no limit")
	fl.BoolVar(&f.noWait, "no-wait", false, "return when the tenant is reserved")
	fl.BoolVar(&f.reserveOnly, "reserve-only", false, "start nothing; print how to start the workflow by hand")
	fl.DurationVar(&f.timeout, "timeout", 5*time.Minute, "longest wait")
	jsonFlag(cmd, &f.jsonOutput)
	for _, name := range []string{"slug", "name", "owner-email"} {
		_ = cmd.MarkFlagRequired(name)
	}
	cmd.MarkFlagsMutuallyExclusive("no-wait", "reserve-only")
	_ = cmd.RegisterFlagCompletionFunc("registration-policy", cobra.FixedCompletions(policies[1:], cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func (a *app) tenantCreate(ctx context.Context, f *tenantCreate) error {
	if !slices.Contains(policies, f.policy) {
		return usageError{"--registration-policy must be invite-only or open"}
	}
	c, cfg, err := a.connect()
	if err != nil {
		return err
	}
	o, err := call(ctx, c, c.tenants.CreateTenant, &tenantsv1.CreateTenantRequest{
		Slug: f.slug, Name: f.name, OwnerEmail: f.owner, ReserveOnly: f.reserveOnly,
		Settings: &tenantsv1.InitialSettings{
			RegistrationPolicy: f.policy, Language: f.language, TimeZone: f.zone, AppUrl: f.appURL, MaxUsers: f.maxUsers,
		},
	})
	if err != nil {
		return err
	}
	op := viewOperation(o)
	if f.reserveOnly {
		return a.printReservation(op, cfg, f.jsonOutput)
	}
	a.say("operation %s", op.ID)
	if f.noWait {
		return a.printOperation(op, f.jsonOutput)
	}
	if op, err = a.waitFor(ctx, c, op, f.timeout); err != nil {
		return err
	}
	if err := a.printOperation(op, f.jsonOutput); err != nil {
		return err
	}
	return a.outcome(op)
}

// printReservation shows how an operator starts the workflow: the same as the
// relay would, so whichever comes second is refused by the workflow's id.
func (a *app) printReservation(op operationView, cfg config.Config, asJSON bool) error {
	workflow := op.WorkflowID
	if t, err := ids.ParseTenant(op.TenantID); workflow == "" && err == nil {
		workflow = ids.ProvisionTenantWorkflow(t)
	}
	line := fmt.Sprintf("temporal workflow start --type %s --workflow-id %s --task-queue %s --input %s",
		ids.WorkflowProvisionTenant, quote(workflow), ids.QueueProvisioning, alwaysQuote(fmt.Sprintf(`{"tenant_id":%q}`, op.TenantID)))
	// What the relay would say of it, for the list in the Temporal UI.
	line += " --static-summary " + quote("Provision tenant "+op.TenantID)
	for _, attribute := range [][2]string{{ids.SearchTenant, op.TenantID}, {ids.SearchOperation, op.ID}, {ids.SearchKind, op.Kind}} {
		line += " --search-attribute " + alwaysQuote(fmt.Sprintf("%s=%q", attribute[0], attribute[1]))
	}
	// Without an address the temporal CLI uses its own configuration.
	if cfg.TemporalAddress != "" {
		line += " --address " + quote(cfg.TemporalAddress)
	}
	line += " --namespace " + quote(cfg.TemporalNamespace)
	if asJSON {
		return a.printJSON(struct {
			operationView
			Start string `json:"start"`
		}{op, line})
	}
	return a.printf("operation %s\ntenant    %s (reserved)\nstart it with:\n  %s\n", clean(op.ID), clean(op.TenantID), line)
}

func (a *app) tenantListCommand() *cobra.Command {
	l := &listFlags{}
	cmd := &cobra.Command{
		Use: "list", Short: "List tenants in the order they were created", Args: cobra.NoArgs,
		RunE: a.do(func(cmd *cobra.Command, _ []string) error {
			c, _, err := a.connect()
			if err != nil {
				return err
			}
			return walk(cmd.Context(), a, l, "tenants", tenantHead, tenantView.row,
				func(ctx context.Context, limit int32, cursor string) ([]tenantView, string, error) {
					r, err := call(ctx, c, c.tenants.ListTenants, &tenantsv1.ListTenantsRequest{Limit: limit, Cursor: cursor})
					return convert(r.GetTenants(), viewTenant), r.GetNextCursor(), err
				})
		}),
	}
	l.add(cmd)
	return cmd
}

func (a *app) tenantGetCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "get SLUG|TENANT_ID", Short: "Show one tenant", Args: cobra.ExactArgs(1),
		RunE: a.do(func(cmd *cobra.Command, args []string) error {
			c, _, err := a.connect()
			if err != nil {
				return err
			}
			t, err := c.tenant(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if asJSON {
				return a.printJSON(viewTenant(t))
			}
			return a.printTable([][]string{tenantHead, viewTenant(t).row()})
		}),
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

func convert[P, V any](in []P, view func(P) V) []V {
	out := make([]V, len(in))
	for i, p := range in {
		out[i] = view(p)
	}
	return out
}
