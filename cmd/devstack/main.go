// Command devstack runs Tenantry and everything it needs on this machine.
//
//	devstack up           start Postgres, Redis, Temporal, a mailbox, the API, the worker and two demo tenants
//	devstack reset        forget what up has made
//	devstack run -- CMD…  run CMD beside a throw-away Postgres and Redis; exits with CMD's code
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

const usage = `usage:
  devstack up [flags]       start the whole stack (devstack up -h lists the ports)
  devstack reset            forget the data of the stack
  devstack run -- CMD...    run CMD with a throw-away Postgres and Redis
`

// exitCode is an error that only carries the code to exit with.
type exitCode int

func (c exitCode) Error() string { return fmt.Sprintf("exit code %d", int(c)) }

func main() {
	if err := dispatch(os.Args[1:]); err != nil {
		var code exitCode
		if errors.As(err, &code) {
			os.Exit(int(code))
		}
		fmt.Fprintln(os.Stderr, "devstack:", err)
		os.Exit(1)
	}
}

func dispatch(args []string) error {
	if len(args) == 0 {
		fmt.Fprint(os.Stderr, usage)
		return exitCode(2)
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer cancel()
	switch args[0] {
	case "up":
		c, err := parseConfig(args[1:])
		if err != nil {
			return err
		}
		return up(ctx, c)
	case "reset":
		c, err := parseConfig(args[1:])
		if err != nil {
			return err
		}
		return reset(c)
	case "run":
		return run(ctx, args[1:])
	default:
		fmt.Fprint(os.Stderr, usage)
		return exitCode(2)
	}
}
