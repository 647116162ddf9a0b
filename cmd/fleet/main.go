// Command fleet runs two API processes over many tenants under a Zipf load, then
// under an open and even one, and holds their connections against the budget (see internal/systest/fleet). It
// exits with 1 when a request failed or the budget was passed.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"tenantry/internal/systest"
	"tenantry/internal/systest/fleet"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx)
	stop()
	os.Exit(code)
}

func run(ctx context.Context) int {
	o := fleet.Options{}
	flag.IntVar(&o.Tenants, "tenants", 100, "how many tenants")
	flag.IntVar(&o.Requests, "requests", 0, "how many requests (200 a tenant, at most 20,000)")
	flag.IntVar(&o.Budget, "budget", 60, "connections to tenant databases of each process")
	flag.IntVar(&o.Share, "share", 4, "connections of one tenant in each process")
	flag.IntVar(&o.Workers, "workers", 0, "requests at a time at each process (two thirds of the budget)")
	flag.IntVar(&o.OpenRate, "open-rate", 60, "requests a second of the even load that follows")
	flag.DurationVar(&o.OpenTime, "open-time", time.Minute, "how long it lasts")
	flag.Uint64Var(&o.Seed, "seed", 1, "which tenants are asked")
	flag.Parse()
	if flag.NArg() > 0 || o.Tenants < 1 || o.Share < 1 || o.Share > o.Budget {
		fmt.Fprintln(os.Stderr, "fleet: needs at least one tenant, a share from 1 to the budget, and no other arguments")
		return 2
	}
	o.Say = func(format string, args ...any) { fmt.Printf(format+"\n", args...) }
	summary, err := fleet.Run(ctx, o)
	systest.RemoveBuilds()
	if err != nil {
		fmt.Fprintln(os.Stderr, "fleet:", err)
		return 1
	}
	fmt.Println()
	summary.Print(os.Stdout)
	for _, p := range summary.Problems() {
		fmt.Fprintln(os.Stderr, "fleet:", p)
	}
	if len(summary.Problems()) > 0 {
		return 1
	}
	return 0
}
