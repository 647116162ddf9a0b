package crash

import (
	"math/rand/v2"
	"slices"
	"strings"
)

// Outcome is how a tenant ended.
type Outcome string

// Outcomes. Red is everything else: residue, a half-made tenant, no end.
const (
	Provisioned Outcome = "provisioned"
	ResidueFree Outcome = "residue-free"
	Red         Outcome = "RED"
)

// When an activity is hit: before it runs, or after it has run and before
// anybody knows.
const (
	Before = "before"
	After  = "after"
)

// Path is a way through the workflow and what a run without a kill did.
type Path struct {
	// Fail is the injected failure ("CreateRole:after"), empty for none.
	Fail string
	// Executed are the activities in order, compensations included.
	Executed []string
	// Want and Reason are how the operation ended.
	Want   Outcome
	Reason string
}

// Name is the path in the table.
func (p Path) Name() string {
	if p.Fail == "" {
		return "success"
	}
	return "fail " + p.Fail
}

// Point is one place of one path.
type Point struct {
	Path     *Path
	Activity string
	When     string
}

// String is the point in the progress.
func (p Point) String() string { return p.Path.Name() + ", kill " + p.Activity + ":" + p.When }

// Points are the places of a path at which the worker can be killed. A step
// that fails before it runs has no place after it.
func (p *Path) Points() []Point {
	var out []Point
	for _, a := range p.Executed {
		out = append(out, Point{p, a, Before})
		if p.Fail != a+":"+Before {
			out = append(out, Point{p, a, After})
		}
	}
	return out
}

// spec is TENANTRY_CRASH: the failure of the path, a kill, and what is skipped.
func spec(fail, kill, skip string) string {
	var parts []string
	for kind, at := range map[string]string{"fail": fail, "kill": kill, "skip": skip} {
		if at != "" {
			parts = append(parts, kind+"="+at)
		}
	}
	slices.Sort(parts)
	return strings.Join(parts, ",")
}

// sample answers n of the items, chosen and ordered by the seed; all when n is
// 0 or too large.
func sample[T any](items []T, n int, seed uint64) []T {
	if n <= 0 || n >= len(items) {
		return items
	}
	out := slices.Clone(items)
	random := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // a choice that can be repeated
	random.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out[:n]
}
