package cli

import (
	"context"
	"log/slog"
	"os"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"tenantry/internal/config"
)

// serveCommand runs a server until its context ends; the drain is its own.
func (a *app) serveCommand(use, short string, p config.Process, run func(context.Context, config.Config, *slog.Logger) error) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Args: cobra.NoArgs,
		Long: short + ".\n\nSIGTERM or SIGINT drains and ends it; a second one ends it at once. The log is JSON on standard error.",
		RunE: a.do(func(cmd *cobra.Command, _ []string) error {
			c, err := a.load(p)
			if err != nil {
				return err
			}
			log := a.logger(c.LogLevel).With("process", use)
			for _, w := range c.Warnings() {
				log.Warn(w)
			}
			// The heap is small and its garbage short-lived: collecting less often
			// costs some tens of megabytes. GOGC says otherwise.
			if os.Getenv("GOGC") == "" {
				debug.SetGCPercent(300)
			}
			return run(cmd.Context(), c, log)
		}),
	}
}

func (a *app) versionCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "version", Short: "Print what was built", Args: cobra.NoArgs,
		RunE: a.do(func(*cobra.Command, []string) error {
			v := struct {
				Version  string `json:"version"`
				Revision string `json:"revision,omitempty"`
				Modified bool   `json:"modified,omitempty"`
				Go       string `json:"go"`
			}{Version: "unknown"}
			if info, ok := debug.ReadBuildInfo(); ok {
				v.Version, v.Go = info.Main.Version, info.GoVersion
				for _, s := range info.Settings {
					switch s.Key {
					case "vcs.revision":
						v.Revision = s.Value
					case "vcs.modified":
						v.Modified = s.Value == "true"
					}
				}
			}
			if asJSON {
				return a.printJSON(v)
			}
			return a.printf("%s\n", strings.Join(strings.Fields("tenantry "+v.Version+" "+v.Revision+" "+v.Go), " "))
		}),
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}
