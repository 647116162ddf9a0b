package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"tenantry/internal/config"
)

func (a *app) migrateCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "migrate", Short: "Bring the central database, the template and every tenant to this binary's schema", Args: cobra.NoArgs,
		Long: "Bring the central database, the template and every tenant to this binary's schema.\n" +
			"A tenant that fails is named and the rest go on; a repetition goes on where it stopped.",
		RunE: a.do(func(cmd *cobra.Command, _ []string) error { return a.migrate(cmd, asJSON) }),
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

// migrated is one database's end.
type migrated struct {
	Database string `json:"database"`
	Error    string `json:"error,omitempty"`
}

func (a *app) migrate(cmd *cobra.Command, asJSON bool) error {
	c, err := a.load(config.ForMigrate)
	if err != nil {
		return err
	}
	done := []migrated{}
	var failed []string
	err = a.backend.Migrate(cmd.Context(), c, a.commandLogger(c.LogLevel), func(what string, err error) {
		m := migrated{Database: what}
		if err != nil {
			m.Error = err.Error()
			failed = append(failed, what)
			a.say("failed  %s: %s", clean(what), clean(m.Error))
		} else {
			a.say("ok      %s", clean(what))
		}
		done = append(done, m)
	})
	if asJSON {
		if err := a.printJSON(map[string]any{"databases": done, "failed": append([]string{}, failed...)}); err != nil {
			return err
		}
	}
	if len(failed) > 0 {
		return fmt.Errorf("not migrated: %s", strings.Join(failed, ", "))
	}
	return err
}

func (a *app) verifyCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "verify", Short: "Compare rows, databases, roles, grants and workflows; exit 3 when they disagree", Args: cobra.NoArgs,
		Long: "Scan the installation and name every discrepancy. Changes nothing. Exit codes: 0 clean, 1 the scan failed, 3 not clean.",
		RunE: a.do(func(cmd *cobra.Command, _ []string) error {
			c, err := a.load(config.ForMigrate)
			if err != nil {
				return err
			}
			r, err := a.backend.Verify(cmd.Context(), c, a.commandLogger(c.LogLevel))
			if err != nil {
				return err
			}
			if asJSON {
				err = r.WriteJSON(a.Stdout)
			} else {
				err = r.WriteText(a.Stdout)
			}
			if err == nil && !r.Clean() {
				return exitError(NotClean)
			}
			return err
		}),
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}
