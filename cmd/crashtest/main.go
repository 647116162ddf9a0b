// Command crashtest kills the real worker before and after every activity and
// every compensation of ProvisionTenant, breaks its servers, and looks at what
// is left (see internal/systest/crash). It exits with 1 unless every tenant
// ends whole or without a trace.
//
//	crashtest                         the whole matrix and the faults
//	crashtest -points 12 -seed 7      every path, and a sample of the matrix
//	crashtest -faults -seed 7         the faults alone
//	crashtest -sabotage DropRole -points 2
//	                                  that compensation does nothing: must be red
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"tenantry/internal/systest"
	"tenantry/internal/systest/crash"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx)
	stop()
	os.Exit(code)
}

func run(ctx context.Context) int {
	o := crash.Options{}
	flag.IntVar(&o.Points, "points", 0, "run this many points of the matrix instead of all of it and the faults")
	flag.Uint64Var(&o.Seed, "seed", 1, "which points, and when the faults happen")
	flag.BoolVar(&o.FaultsOnly, "faults", false, "run the faults alone: cancellations, servers, API")
	flag.IntVar(&o.Lanes, "lanes", 2, "systems beside each other")
	flag.DurationVar(&o.PointTime, "point-time", 0, "longest time of a point (2m)")
	flag.StringVar(&o.Sabotage, "sabotage", "", "name of a compensation that shall do nothing; the harness must go red")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "crashtest: unexpected argument %q\n", flag.Arg(0))
		return 2
	}
	n := 0
	o.Progress = func(r crash.Result) {
		n++
		fmt.Printf("%4d  lane %s  %5.1f s  %-12s  %s\n", n, r.Lane, r.Took.Seconds(), r.Outcome, r.What)
		for _, p := range r.Problems {
			fmt.Printf("      %s\n", strings.ReplaceAll(p, "\n", "\n      "))
		}
	}
	o.Say = func(format string, args ...any) { fmt.Printf(format+"\n", args...) }
	summary, err := crash.Run(ctx, o)
	systest.RemoveBuilds()
	fmt.Println()
	summary.Print(os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "crashtest:", err)
	}
	if err != nil || !summary.Green() {
		return 1
	}
	return 0
}
