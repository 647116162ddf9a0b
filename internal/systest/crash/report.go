package crash

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// Result is how one point or fault ended.
type Result struct {
	Path string
	What string
	Lane string
	// Outcome is Red when there are problems.
	Outcome  Outcome
	Problems []string
	Took     time.Duration
	// Recovery is from the kill to the end of operation and workflow.
	Recovery time.Duration
}

func (r *Result) problem(format string, args ...any) {
	r.Problems = append(r.Problems, fmt.Sprintf(format, args...))
}

func (r *Result) conclude(l *lane, began time.Time, err error) {
	r.Took, r.Lane = time.Since(began), l.name
	if err != nil {
		r.problem("%v", err)
	}
	if len(r.Problems) > 0 {
		r.Outcome = Red
	}
}

// Summary is a whole run.
type Summary struct {
	Results []Result
	Took    time.Duration
}

// Reds are the results that are not as they must be.
func (s Summary) Reds() []Result {
	var out []Result
	for _, r := range s.Results {
		if r.Outcome == Red {
			out = append(out, r)
		}
	}
	return out
}

// Green reports whether there is a result, and none is red.
func (s Summary) Green() bool { return len(s.Results) > 0 && len(s.Reds()) == 0 }

// row adds results up.
type row struct {
	points   int
	outcomes map[Outcome]int
	took     time.Duration
	recovery []time.Duration
}

func (w *row) add(r Result) {
	if w.outcomes == nil {
		w.outcomes = map[Outcome]int{}
	}
	w.points++
	w.outcomes[r.Outcome]++
	w.took += r.Took
	if r.Recovery > 0 {
		w.recovery = append(w.recovery, r.Recovery)
	}
}

func (w *row) print(out io.Writer, name string) {
	median, longest := "", ""
	if len(w.recovery) > 0 {
		slices.Sort(w.recovery)
		median = seconds(w.recovery[len(w.recovery)/2])
		longest = seconds(w.recovery[len(w.recovery)-1])
	}
	fmt.Fprintf(out, "%s\t%d\t%d\t%d\t%d\t%s\t%s\t%s\t\n", name, w.points, w.outcomes[Provisioned], w.outcomes[ResidueFree], w.outcomes[Red],
		seconds(w.took/time.Duration(w.points)), median, longest)
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

// Print writes the table of paths and outcomes, and what is red.
func (s Summary) Print(out io.Writer) {
	rows, names, total := map[string]*row{}, []string{}, &row{}
	for _, r := range s.Results {
		if rows[r.Path] == nil {
			rows[r.Path] = &row{}
			names = append(names, r.Path)
		}
		rows[r.Path].add(r)
		total.add(r)
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "path\tpoints\tprovisioned\tresidue-free\tred\tmean\trecovery p50\tmax\t")
	for _, name := range names {
		rows[name].print(table, name)
	}
	if total.points > 0 {
		total.print(table, "total")
	}
	_ = table.Flush() // a terminal that is gone
	for _, r := range s.Reds() {
		fmt.Fprintf(out, "RED  %s: %s\n", r.What, strings.Join(r.Problems, "; "))
	}
	good := len(s.Results) - len(s.Reds())
	percent := 0.0
	if len(s.Results) > 0 {
		percent = 100 * float64(good) / float64(len(s.Results))
	}
	fmt.Fprintf(out, "%d of %d as they must be: %.1f %%, in %s\n", good, len(s.Results), percent, s.Took.Round(time.Second))
}
