// Command tenantry is the one binary: API, worker, codec server and command
// line of an installation.
package main

import (
	"context"
	"os"

	"tenantry/internal/argon"
	"tenantry/internal/cli"
	"tenantry/internal/config"
)

func main() { os.Exit(run()) }

func run() int {
	if argon.IsHelper() {
		return argon.Help()
	}
	ctx, stop := cli.WithSignals(context.Background())
	defer stop()
	env := cli.Env{
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		Environ: os.Environ(), DotEnv: config.DotEnv,
	}
	return cli.Run(ctx, env, backend(), os.Args[1:])
}
