package cli

import (
	"context"

	"github.com/spf13/cobra"

	operatorsv1 "tenantry/api/gen/tenantry/operators/v1"
	"tenantry/internal/config"
)

func (a *app) operatorCommand() *cobra.Command {
	return a.group("operator", "Manage operator keys", a.operatorCreateCommand(), a.operatorListCommand(), a.operatorRevokeCommand())
}

var scopes = []string{"tenants.read", "tenants.write", "operations.read", "hooks.manage", "ops"}

func (a *app) operatorCreateCommand() *cobra.Command {
	in := OperatorInput{}
	var first, asJSON bool
	cmd := &cobra.Command{
		Use: "create", Short: "Make an operator key, shown once", Args: cobra.NoArgs,
		Long: "Make an operator key of the central API. With --first, or while TENANTRY_OPERATOR_KEY is not set, it is written\n" +
			"to the central database directly, which needs TENANTRY_CENTRAL_URL and TENANTRY_KEK_KEYS; otherwise the API makes it,\n" +
			"and grants no scope that the caller's own key lacks.",
		Example: "  tenantry operator create --first --name me --scopes tenants.read,tenants.write,hooks.manage,ops",
		RunE: a.do(func(cmd *cobra.Command, _ []string) error {
			k, err := a.createKey(cmd.Context(), first, in)
			if err != nil {
				return err
			}
			if asJSON {
				return a.printJSON(k)
			}
			a.say("Shown once; keep it.")
			return a.printTable([][]string{{"id", k.ID}, {"name", k.Name}, {"expires", text(k.ExpireTime)}, {"key", k.Key}})
		}),
	}
	fl := cmd.Flags()
	fl.StringVar(&in.Name, "name", "", "name, 2 to 40 characters a-z, 0-9 and -")
	fl.StringSliceVar(&in.Scopes, "scopes", nil, "what it may do: tenants.read, tenants.write, operations.read, hooks.manage, ops")
	fl.IntVar(&in.ExpireDays, "expire-days", 0, "days until it expires, 1 to 400 (90)")
	fl.BoolVar(&first, "first", false, "write to the database directly")
	jsonFlag(cmd, &asJSON)
	_ = cmd.MarkFlagRequired("name")
	_ = cmd.MarkFlagRequired("scopes")
	_ = cmd.RegisterFlagCompletionFunc("scopes", cobra.FixedCompletions(scopes, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func (a *app) createKey(ctx context.Context, first bool, in OperatorInput) (OperatorKey, error) {
	if !first {
		tools, err := a.load(config.ForTools)
		if err != nil {
			return OperatorKey{}, err
		}
		first = tools.OperatorKey.IsZero()
	}
	if first {
		cfg, err := a.load(config.ForCLIDatabase)
		if err != nil {
			return OperatorKey{}, err
		}
		return a.backend.CreateOperator(ctx, cfg, in)
	}
	c, _, err := a.connect()
	if err != nil {
		return OperatorKey{}, err
	}
	r, err := issue(ctx, c, c.operators.CreateOperatorKey, &operatorsv1.CreateOperatorKeyRequest{
		Name: in.Name, Scopes: in.Scopes, ExpireDays: int32(min(max(in.ExpireDays, -1), 401)), //nolint:gosec // bounded; the API refuses both ends
	})
	if err != nil {
		return OperatorKey{}, err
	}
	k := viewKey(r.GetMeta())
	k.Key = r.GetKey()
	return k, nil
}

func (a *app) operatorListCommand() *cobra.Command {
	l := &listFlags{}
	cmd := &cobra.Command{
		Use: "list", Short: "List operator keys in the order they were created", Args: cobra.NoArgs,
		RunE: a.do(func(cmd *cobra.Command, _ []string) error {
			c, _, err := a.connect()
			if err != nil {
				return err
			}
			return walk(cmd.Context(), a, l, "keys", keyHead, OperatorKey.row,
				func(ctx context.Context, limit int32, cursor string) ([]OperatorKey, string, error) {
					r, err := call(ctx, c, c.operators.ListOperatorKeys, &operatorsv1.ListOperatorKeysRequest{Limit: limit, Cursor: cursor})
					return convert(r.GetKeys(), viewKey), r.GetNextCursor(), err
				})
		}),
	}
	l.add(cmd)
	return cmd
}

func (a *app) operatorRevokeCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "revoke KEY_ID", Short: "End an operator key on its next request", Args: cobra.ExactArgs(1),
		RunE: a.do(func(cmd *cobra.Command, args []string) error {
			c, _, err := a.connect()
			if err != nil {
				return err
			}
			if _, err := call(cmd.Context(), c, c.operators.RevokeOperatorKey, &operatorsv1.RevokeOperatorKeyRequest{Id: args[0]}); err != nil {
				return err
			}
			if asJSON {
				return a.printJSON(map[string]any{"id": args[0], "revoked": true})
			}
			return a.printf("revoked %s\n", args[0])
		}),
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}
