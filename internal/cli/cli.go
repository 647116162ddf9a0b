// Package cli is the command line of the one binary.
//
// The commands for tenants, hooks, operators and operations are clients of the
// central API: they hold an operator key and no database credential. What
// needs a database or a server comes in as a [Backend], so nothing here opens
// either.
//
// Data goes to standard output (a table, or JSON with --json), progress and
// errors to standard error. Exit codes: 0 done, 1 failed, 2 used or configured
// wrongly (nothing was started), 3 `verify` found discrepancies.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"tenantry/internal/apperr"
	"tenantry/internal/clock"
	"tenantry/internal/config"
)

// The exit codes.
const (
	OK       = 0
	Failed   = 1
	Usage    = 2
	NotClean = 3
)

// Env is the process around a command.
type Env struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// Environ is "NAME=value", as os.Environ answers it.
	Environ []string
	// DotEnv is the .env file; it need not exist.
	DotEnv string
	Now    clock.Clock
	// HTTP calls the central API; nil for a client with deadlines.
	HTTP *http.Client
}

// app is one run of the command line.
type app struct {
	Env
	backend Backend
	// started is false until a command's own code runs: an error before that
	// is a wrong use.
	started bool
}

// Run executes args (without the program's name) and answers the exit code.
func Run(ctx context.Context, env Env, backend Backend, args []string) int {
	if env.Now == nil {
		env.Now = clock.System
	}
	if env.HTTP == nil {
		env.HTTP = newHTTPClient()
	}
	a := &app{Env: env, backend: backend}
	root := a.root()
	root.SetArgs(args)
	root.SetIn(env.Stdin)
	root.SetOut(env.Stdout)
	root.SetErr(env.Stderr)
	cmd, err := root.ExecuteContextC(ctx)
	return a.report(cmd, err)
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "tenantry",
		Short: "A database per customer organization, provisioned by workflows",
		Long: "tenantry is the API, the worker and the command line of one installation.\n" +
			"It is configured by TENANTRY_* variables in the environment or in .env; see .env.example.\n\n" +
			"Exit codes: 0 done, 1 failed, 2 used or configured wrongly, 3 verify found discrepancies.",
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	a.asGroup(root)
	root.AddCommand(
		a.serveCommand("api", "Serve the API", config.ForAPI, a.backend.RunAPI),
		a.serveCommand("worker", "Run the workflows", config.ForWorker, a.backend.RunWorker),
		a.serveCommand("codec", "Decode workflow histories for the Temporal UI and CLI", config.ForCodec, a.backend.RunCodec),
		a.bootstrapCommand(), a.migrateCommand(), a.verifyCommand(), a.configCommand(),
		a.tenantCommand(), a.hookCommand(), a.operatorCommand(), a.keysCommand(), a.opsCommand(), a.versionCommand(),
	)
	return root
}

// group is a command that only holds others.
func (a *app) group(use, short string, subs ...*cobra.Command) *cobra.Command {
	g := &cobra.Command{Use: use, Short: short}
	a.asGroup(g)
	g.AddCommand(subs...)
	return g
}

// asGroup makes an unknown subcommand an error: cobra shows the help and
// succeeds, which hides a typo in a script.
func (a *app) asGroup(g *cobra.Command) {
	g.Args = cobra.ArbitraryArgs
	g.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return cmd.Help()
		}
		text := fmt.Sprintf("unknown command %q", args[0])
		if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
			text += fmt.Sprintf(", did you mean %q?", near[0])
		}
		return usageError{text}
	}
}

// do wraps a command's code.
func (a *app) do(fn func(cmd *cobra.Command, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		a.started = true
		return fn(cmd, args)
	}
}

// usageError is a wrong use found by a command's own code.
type usageError struct{ text string }

func (e usageError) Error() string { return e.text }

// exitError ends with a code after its text was printed.
type exitError int

func (e exitError) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// report prints an error and answers the exit code.
func (a *app) report(cmd *cobra.Command, err error) int {
	if err == nil {
		return OK
	}
	var exit exitError
	var conf *config.Error
	var usage usageError
	switch {
	case errors.As(err, &exit):
		return int(exit)
	case errors.As(err, &conf):
		_, _ = io.WriteString(a.Stderr, conf.Error())
		return Usage
	case errors.As(err, &usage), !a.started:
		_, _ = fmt.Fprintf(a.Stderr, "error: %s\nSee: %s --help\n", clean(err.Error()), cmd.CommandPath())
		return Usage
	case errors.Is(err, context.Canceled):
		_, _ = fmt.Fprintln(a.Stderr, "error: interrupted")
		return Failed
	}
	text := err.Error()
	if own, ok := apperr.As(err); ok {
		text = own.Message + "\n" + labelled("reason", own.Reason)
		if cause := own.Unwrap(); cause != nil {
			text += "\n" + labelled("cause", cause.Error())
		}
	}
	_, _ = fmt.Fprintf(a.Stderr, "error: %s\n", clean(text))
	return Failed
}

// labelled is a line below an error.
func labelled(label, text string) string { return fmt.Sprintf("  %-12s%s", label+":", text) }

func (a *app) load(p config.Process) (config.Config, error) {
	return config.LoadFrom(p, a.Environ, a.DotEnv)
}

// say writes a line of progress.
func (a *app) say(format string, args ...any) {
	_, _ = fmt.Fprintf(a.Stderr, format+"\n", args...)
}

func (a *app) logger(level slog.Leveler) *slog.Logger {
	return slog.New(slog.NewJSONHandler(a.Stderr, &slog.HandlerOptions{Level: level}))
}

// commandLogger is the log of a command that tells its progress itself: only
// what an operator asked for, or must hear of.
func (a *app) commandLogger(level slog.Level) *slog.Logger {
	if level == slog.LevelInfo {
		level = slog.LevelWarn
	}
	return a.logger(level)
}

func newHTTPClient() *http.Client {
	return &http.Client{
		// Above the longest wait an operation may ask for.
		Timeout: 40 * time.Second,
		// A redirect would carry the operator key to another place.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}
