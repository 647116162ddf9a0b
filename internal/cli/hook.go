package cli

import (
	"context"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	hooksv1 "tenantry/api/gen/tenantry/hooks/v1"
)

func (a *app) hookCommand() *cobra.Command {
	return a.group("hook", "Manage and sign provisioning hooks",
		a.hookCreateCommand(), a.hookListCommand(), a.hookAddSecretCommand(), a.hookRetireSecretCommand(), a.hookSignCommand())
}

func (a *app) hookCreateCommand() *cobra.Command {
	var name, callback string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "create", Short: "Make a source with its first secret and an operator key for its operations", Args: cobra.NoArgs,
		Long: "Make a source of provisioning hooks. Its secret, and an operator key that reads only this source's operations, are shown once.",
		RunE: a.do(func(cmd *cobra.Command, _ []string) error {
			c, _, err := a.connect()
			if err != nil {
				return err
			}
			r, err := issue(cmd.Context(), c, c.hooks.CreateHookSource, &hooksv1.CreateHookSourceRequest{Source: name, CallbackUrl: callback})
			if err != nil {
				return err
			}
			s := viewSource(r.GetSource())
			if asJSON {
				return a.printJSON(struct {
					hookSourceView
					Secret      string `json:"secret"`
					OperatorKey string `json:"operator_key"`
					HookURL     string `json:"hook_url"`
				}{s, r.GetSecret(), r.GetOperatorKey(), hookURL(c.base, s.Source)})
			}
			a.say("Shown once; keep both.")
			return a.printTable([][]string{
				{"source", s.Source}, {"url", hookURL(c.base, s.Source)}, {"secret", r.GetSecret()}, {"operator key", r.GetOperatorKey()},
			})
		}),
	}
	cmd.Flags().StringVar(&name, "name", "", "name in the hook's path, 2 to 40 characters a-z, 0-9 and -")
	cmd.Flags().StringVar(&callback, "callback-url", "", "https URL that is told how provisioning ended")
	jsonFlag(cmd, &asJSON)
	_ = cmd.MarkFlagRequired("name")
	return cmd
}

func (a *app) hookListCommand() *cobra.Command {
	l := &listFlags{}
	cmd := &cobra.Command{
		Use: "list", Short: "List sources in the order they were created", Args: cobra.NoArgs,
		RunE: a.do(func(cmd *cobra.Command, _ []string) error {
			c, _, err := a.connect()
			if err != nil {
				return err
			}
			return walk(cmd.Context(), a, l, "sources", []string{"SOURCE", "CREATED", "LIVE", "SECRETS", "CALLBACK"}, hookSourceView.row,
				func(ctx context.Context, limit int32, cursor string) ([]hookSourceView, string, error) {
					r, err := call(ctx, c, c.hooks.ListHookSources, &hooksv1.ListHookSourcesRequest{Limit: limit, Cursor: cursor})
					return convert(r.GetSources(), viewSource), r.GetNextCursor(), err
				})
		}),
	}
	l.add(cmd)
	return cmd
}

func (v hookSourceView) row() []string {
	var live []string
	for _, s := range v.Secrets {
		if s.RetireTime == nil {
			live = append(live, s.ID)
		}
	}
	return []string{v.Source, text(v.CreateTime), strconv.Itoa(len(live)), strings.Join(live, ","), v.CallbackURL}
}

func (a *app) hookAddSecretCommand() *cobra.Command {
	var source string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "add-secret", Short: "Make one more live secret, at most five", Args: cobra.NoArgs,
		RunE: a.do(func(cmd *cobra.Command, _ []string) error {
			c, _, err := a.connect()
			if err != nil {
				return err
			}
			r, err := issue(cmd.Context(), c, c.hooks.AddHookSecret, &hooksv1.AddHookSecretRequest{Source: source})
			if err != nil {
				return err
			}
			v := viewSecret(r.GetMeta())
			v.Secret = r.GetSecret()
			if asJSON {
				return a.printJSON(v)
			}
			a.say("Shown once; keep it.")
			return a.printTable([][]string{{"id", v.ID}, {"secret", v.Secret}})
		}),
	}
	cmd.Flags().StringVar(&source, "source", "", "name of the source")
	_ = cmd.MarkFlagRequired("source")
	jsonFlag(cmd, &asJSON)
	return cmd
}

func (a *app) hookRetireSecretCommand() *cobra.Command {
	var source, id string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "retire-secret", Short: "Make a secret worthless at once", Args: cobra.NoArgs,
		RunE: a.do(func(cmd *cobra.Command, _ []string) error {
			c, _, err := a.connect()
			if err != nil {
				return err
			}
			if _, err := call(cmd.Context(), c, c.hooks.RetireHookSecret, &hooksv1.RetireHookSecretRequest{Source: source, SecretId: id}); err != nil {
				return err
			}
			if asJSON {
				return a.printJSON(map[string]any{"source": source, "id": id, "retired": true})
			}
			return a.printf("retired %s of %s\n", id, source)
		}),
	}
	cmd.Flags().StringVar(&source, "source", "", "name of the source")
	cmd.Flags().StringVar(&id, "secret-id", "", "id of the secret, as hook list shows it")
	_ = cmd.MarkFlagRequired("source")
	_ = cmd.MarkFlagRequired("secret-id")
	jsonFlag(cmd, &asJSON)
	return cmd
}
