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
	var asJSON, online bool
	names := slices.Sorted(maps.Keys(processes))
	check := &cobra.Command{
		Use: "check [PROCESS...]", Short: "Report every mistake of the configuration at once", ValidArgs: names,
		Long: "Check the configuration of the named processes (" + strings.Join(names, ", ") + "),\n" +
			"or of api, worker, codec and migrate together. Secrets are not printed. With --online it\n" +
			"also asks the database server how many connections it allows, and prints how they are divided.",
		Args: cobra.OnlyValidArgs,
		RunE: a.do(func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				args = []string{"api", "worker", "codec", "migrate"}
			}
			var ask func(config.Config) (ConnectionPlan, error)
			if online {
				ask = func(c config.Config) (ConnectionPlan, error) { return a.backend.Connections(cmd.Context(), c) }
			}
			return a.configCheck(args, asJSON, ask)
		}),
	}
	jsonFlag(check, &asJSON)
	check.Flags().BoolVar(&online, "online", false, "connect to the database server (TENANTRY_CENTRAL_URL)")
	return a.group("config", "Check the configuration", check)
}

// configCheck also asks the server where ask is not nil.
func (a *app) configCheck(names []string, asJSON bool, ask func(config.Config) (ConnectionPlan, error)) error {
	var p config.Process
	for _, n := range names {
		p |= processes[n]
	}
	c, err := a.load(p)
	var mistakes *config.Error
	if err != nil && !errors.As(err, &mistakes) {
		return err
	}
	var plan *ConnectionPlan
	if mistakes == nil && ask != nil {
		answer, err := ask(c)
		if err != nil {
			return err
		}
		plan = &answer
	}
	if asJSON {
		return a.configJSON(c, mistakes, plan)
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
	if plan != nil {
		if err := a.printConnections(*plan); err != nil {
			return err
		}
	}
	return a.printf("The configuration of %s is complete.\n", strings.Join(names, ", "))
}

func (a *app) printConnections(p ConnectionPlan) error {
	err := a.printf("\nThe database server allows %d connections: %d reserved, %d for operators, %d for each of %d processes. Connected now: %d.\n",
		p.MaxConnections, p.Reserved, p.Operators, p.Part, p.Processes, p.Connected)
	if err != nil {
		return err
	}
	rows := [][]string{{"PROCESS", "CENTRAL DATABASE", "PROVISIONER", "TENANT DATABASES", "FROM"}}
	for _, s := range p.ByProcess {
		how := "what is left of its part"
		if s.Explicit {
			how = "TENANTRY_POOL_BUDGET"
		}
		rows = append(rows, []string{s.Process, fmt.Sprint(s.Central), fmt.Sprint(s.Provisioner), fmt.Sprint(s.TenantDatabases), how})
	}
	if err := a.printTable(rows); err != nil {
		return err
	}
	for _, w := range p.Warnings {
		a.say("warning: %s", w)
	}
	return a.printf("\n")
}

func (a *app) configJSON(c config.Config, mistakes *config.Error, plan *ConnectionPlan) error {
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
	out := map[string]any{"ok": true, "variables": values, "warnings": append([]string{}, c.Warnings()...)}
	if plan != nil {
		out["connections"] = plan
	}
	return a.printJSON(out)
}
