// Command bench shows what Tenantry costs over the bare operation.
//
// Each measure runs ours and the bare program in turn, several times, on one
// private installation of real processes, and prints one line, tab separated:
// name, ours, bare, ratio (median, least and most of the runs), goal, and
// "holds" or "short". The bare programs stand in files of their own and are
// never slowed. Nothing here fails because of a time.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"tenantry/internal/systest"
)

// measure is one line.
type measure struct {
	name string
	// goal is the bound of the ratio ours/bare; less is better when atMost.
	goal   float64
	atMost bool
	unit   string
	// prepare answers the two programs; each call of one is a run.
	prepare func(context.Context, *systest.System) (ours, bare run, err error)
	// several, where it is set, stands in for prepare: one load, several lines.
	several func(ctx context.Context, sys *systest.System, runs int) error
}

// run answers one figure: a rate or a duration in the measure's unit.
type run func(context.Context) (float64, error)

var measures = append([]measure{provisioning, me, login, parallel, refresh, limiter, list, depth, search, spread, spreadMisses, flood, storm}, openMeasures()...)

func main() {
	only := flag.String("only", "", "names of measures, comma separated; empty for all")
	runs := flag.Int("runs", 7, "interleaved runs of each, at least 5")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := bench(ctx, *only, max(5, *runs)); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func bench(ctx context.Context, only string, runs int) error {
	chosen := measures
	if only != "" {
		names := strings.Split(only, ",")
		chosen = slices.DeleteFunc(slices.Clone(measures), func(m measure) bool { return !slices.Contains(names, m.name) })
		if len(chosen) != len(names) {
			return fmt.Errorf("--only: no such measure; there are %s", strings.Join(allNames(), ", "))
		}
	}
	sys, err := systest.Start(ctx, systest.Options{Env: map[string]string{
		// One client is the whole load here.
		"TENANTRY_FLOOD_PER_SECOND": "1000000",
		// The bare hashes run as many at once as the semaphore lets through.
		"TENANTRY_HASH_CONCURRENCY": strconv.Itoa(loginWidth()),
		"TENANTRY_POOL_BUDGET":      strconv.Itoa(spreadBudget),
	}})
	if err != nil {
		return err
	}
	defer func() { _ = sys.Close(); systest.RemoveBuilds() }()
	fmt.Println("name\tours\tbare\tratio\tgoal\tresult")
	for _, m := range chosen {
		if err := m.print(ctx, sys, runs); err != nil {
			return fmt.Errorf("%s: %w\n%s", m.name, err, sys.Logs(20))
		}
	}
	return nil
}

func allNames() []string {
	names := make([]string, len(measures))
	for i, m := range measures {
		names[i] = m.name
	}
	return names
}

func (m measure) print(ctx context.Context, sys *systest.System, runs int) error {
	if m.several != nil {
		return m.several(ctx, sys, runs)
	}
	ours, bare, err := m.prepare(ctx, sys)
	if err != nil {
		return err
	}
	// One of each is not counted: caches, pools and prepared statements.
	if _, err := ours(ctx); err != nil {
		return err
	}
	if _, err := bare(ctx); err != nil {
		return err
	}
	var os, bs []float64
	for i := range runs {
		fmt.Fprintf(progress(), "%s: run %d of %d\n", m.name, i+1, runs)
		o, err := ours(ctx)
		if err != nil {
			return err
		}
		b, err := bare(ctx)
		if err != nil {
			return err
		}
		os, bs = append(os, o), append(bs, b)
	}
	m.line(os, bs)
	return nil
}

// line prints the result of interleaved runs.
func (m measure) line(os, bs []float64) {
	ratios := make([]float64, len(os))
	for i := range os {
		ratios[i] = os[i] / bs[i]
	}
	slices.Sort(ratios)
	ratio, sign := median(ratios), "≥"
	holds := ratio >= m.goal
	if m.atMost {
		holds, sign = ratio <= m.goal, "≤"
	}
	result := "short"
	if holds {
		result = "holds"
	}
	fmt.Printf("%s\t%.1f %s\t%.1f %s\t%.2f (%.2f to %.2f)\t%s %.2f\t%s\n",
		m.name, median(os), m.unit, median(bs), m.unit, ratio, ratios[0], ratios[len(ratios)-1], sign, m.goal, result)
}

// progress is standard error: standard output holds the lines alone.
func progress() *os.File { return os.Stderr }

func median(v []float64) float64 {
	s := slices.Sorted(slices.Values(v))
	if n := len(s); n%2 == 0 {
		return (s[n/2-1] + s[n/2]) / 2
	}
	return s[len(s)/2]
}
