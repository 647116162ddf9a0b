package fleet

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"
)

const (
	apiName    = "tenantry-api"
	workerName = "tenantry-worker"
)

// Summary is a whole run.
type Summary struct {
	Options     Options
	Provisioned time.Duration
	// Load is the closed one with few busy tenants, Open the even one.
	Load, Open  Load
	Connections Connections
	// Evictions and Refusals are those of the first API process; -1 is unknown.
	Evictions, Refusals int
	// Verify reports whether `tenantry verify` found nothing.
	Verify bool
}

// limit is a number of connections that must not be passed.
type limit struct {
	what         string
	most, budget int
}

func (s Summary) limits() []limit {
	o, most := s.Options, s.Connections.Most
	return []limit{
		{"both APIs, tenant databases", most[apiName+" tenant"], processes * o.Budget},
		{"both APIs, one tenant", s.Connections.Tenant, processes * o.Share},
		{"both APIs, central database", most[apiName+" central"], processes * o.Central},
		{"worker, tenant databases", most[workerName+" tenant"], o.Budget},
		{"worker, central database", most[workerName+" central"], o.Central},
	}
}

// Problems names what did not hold.
func (s Summary) Problems() []string {
	var out []string
	for _, l := range []Load{s.Load, s.Open} {
		if l.Errors > 0 {
			out = append(out, fmt.Sprintf("%d requests failed, such as %q", l.Errors, l.Examples))
		}
	}
	if want := int(float64(s.Options.OpenRate) * s.Options.OpenTime.Seconds()); s.Open.Reads < want {
		out = append(out, fmt.Sprintf("%d of %d requests of the open load were made", s.Open.Reads, want))
	}
	if n := s.Load.Reads + s.Load.Writes; n < s.Options.Requests {
		out = append(out, fmt.Sprintf("%d of %d requests were made", n, s.Options.Requests))
	}
	for _, l := range s.limits() {
		if l.most > l.budget {
			out = append(out, fmt.Sprintf("%s: %d connections, the budget is %d", l.what, l.most, l.budget))
		}
	}
	if s.Connections.Samples == 0 || s.Connections.Most[apiName+" tenant"] == 0 {
		out = append(out, "nobody watched the connections")
	}
	if !s.Verify {
		out = append(out, "tenantry verify found something")
	}
	return out
}

// Print writes the table.
func (s Summary) Print(w io.Writer) {
	o, t := s.Options, tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	l := s.Load
	fmt.Fprintf(t, "tenants\t%d, %d of them asked; made in %s\n", s.Options.Tenants, l.Touched, s.Provisioned.Round(100*time.Millisecond))
	fmt.Fprintf(t, "requests\t%d reads, %d writes in %s, %d at a time at each of %d processes\n", l.Reads, l.Writes, l.Took.Round(100*time.Millisecond), s.Options.Workers, processes)
	fmt.Fprintf(t, "rate\t%.0f/s\n", l.perSecond())
	fmt.Fprintf(t, "latency\tp50 %s, p99 %s, worst %s\n", l.Percentile(50).Round(100*time.Microsecond), l.Percentile(99).Round(100*time.Microsecond), l.Percentile(100).Round(100*time.Microsecond))
	fmt.Fprintf(t, "errors\t%d\n", l.Errors)
	open := s.Open
	fmt.Fprintf(t, "open load\t%d reads at %d tenants, %d/s; p50 %s, p99 %s, worst %s; %d errors\n", open.Reads, open.Touched, o.OpenRate,
		open.Percentile(50).Round(100*time.Microsecond), open.Percentile(99).Round(100*time.Microsecond), open.Percentile(100).Round(100*time.Microsecond), open.Errors)
	fmt.Fprintf(t, "one API\t%d connections evicted, %d callers refused\n", s.Evictions, s.Refusals)
	fmt.Fprintf(t, "connections\tmost\tbudget\t(%d samples)\n", s.Connections.Samples)
	for _, l := range s.limits() {
		fmt.Fprintf(t, "  %s\t%d\t%d\n", l.what, l.most, l.budget)
	}
	for name, n := range s.Connections.Most {
		if _, ours := map[string]bool{apiName + " tenant": true, apiName + " central": true, workerName + " tenant": true, workerName + " central": true}[name]; !ours {
			fmt.Fprintf(t, "  %s (not counted)\t%d\n", name, n)
		}
	}
	_ = t.Flush() // to a terminal or a test's log
}
