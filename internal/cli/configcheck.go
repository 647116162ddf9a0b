package cli

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"tenantry/internal/config"
)

var processes = map[string]config.Process{
	"api": config.ForAPI, "worker": config.ForWorker, "codec": config.ForCodec,
	"migrate": config.ForMigrate, "operator": config.ForCLIDatabase, "client": config.ForClient,
}

func (a *app) configCommand() *cobra.Command {
	var asJSON bool
	names := slices.Sorted(maps.Keys(processes))
	check := &cobra.Command{
		Use: "check [PROCESS...]", Short: "Report every mistake of the configuration at once", ValidArgs: names,
		Long: "Check the configuration of the named processes (" + strings.Join(names, ", ") + "),\n" +
			"or of api, worker, codec and migrate together, and connect to nothing. Secrets are not printed.",
		Args: cobra.OnlyValidArgs,
		RunE: a.do(func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				args = []string{"api", "worker", "codec", "migrate"}
			}
			return a.configCheck(args, asJSON)
		}),
	}
	jsonFlag(check, &asJSON)
	return a.group("config", "Check the configuration", check)
}

func (a *app) configCheck(names []string, asJSON bool) error {
	var p config.Process
	for _, n := range names {
		p |= processes[n]
	}
	c, err := a.load(p)
	var mistakes *config.Error
	if err != nil && !errors.As(err, &mistakes) {
		return err
	}
	if asJSON {
		return a.configJSON(c, mistakes)
	}
	if err != nil {
		return err
	}
	var rows [][]string
	for _, v := range c.Describe() {
		rows = append(rows, []string{v.Name, v.Value})
	}
	if err := a.printTable(rows); err != nil {
		return err
	}
	for _, w := range c.Warnings() {
		a.say("warning: %s", w)
	}
	return a.printf("The configuration of %s is complete.\n", strings.Join(names, ", "))
}

func (a *app) configJSON(c config.Config, mistakes *config.Error) error {
	if mistakes != nil {
		if err := a.printJSON(map[string]any{"ok": false, "problems": mistakes.Problems}); err != nil {
			return err
		}
		return exitError(Usage)
	}
	values := map[string]string{}
	for _, v := range c.Describe() {
		values[v.Name] = fmt.Sprint(v.Value)
	}
	return a.printJSON(map[string]any{"ok": true, "variables": values, "warnings": append([]string{}, c.Warnings()...)})
}
