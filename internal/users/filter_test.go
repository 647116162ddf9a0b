package users

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"tenantry/internal/clock"
	"tenantry/internal/ids"
	"tenantry/internal/lists"
	"tenantry/internal/testdb"
)

// A filter of the differential test: its text, and what it means, written
// without any of the code that it tests.
type filter struct {
	text  string
	holds func(User) bool
}

// generator draws filters around the values that the table holds.
type generator struct {
	*rand.Rand
	rows []User
}

func pick[T any](g generator, from ...T) T { return from[g.IntN(len(from))] }

func (g generator) row() User { return g.rows[g.IntN(len(g.rows))] }

// filter draws a tree; AND binds tighter, so an OR inside one has parentheses.
func (g generator) filter(depth int) filter {
	if depth == 0 || g.IntN(4) == 0 {
		return g.comparison()
	}
	parts := make([]filter, 2+g.IntN(2))
	for i := range parts {
		parts[i] = g.filter(depth - 1)
	}
	texts := make([]string, len(parts))
	if g.IntN(2) == 0 {
		for i, p := range parts {
			texts[i] = "(" + p.text + ")"
		}
		return filter{strings.Join(texts, ";"), func(u User) bool {
			return !slices.ContainsFunc(parts, func(p filter) bool { return !p.holds(u) })
		}}
	}
	for i, p := range parts {
		texts[i] = p.text
	}
	return filter{strings.Join(texts, ","), func(u User) bool {
		return slices.ContainsFunc(parts, func(p filter) bool { return p.holds(u) })
	}}
}

func (g generator) comparison() filter {
	switch g.IntN(6) {
	case 0:
		return g.text("name", func(u User) string { return u.Name })
	case 1:
		return g.text("email", func(u User) string { return u.Email })
	case 2:
		return ordered(g, "login_count", func(u User) *int64 { return &u.LoginCount }, func(n int64) string { return strconv.FormatInt(n, 10) },
			func(a, b int64) int { return int(a - b) }, func(n int64) int64 { return n + int64(g.IntN(3)) - 1 }, false)
	case 3:
		return g.id()
	case 4:
		return g.time("created_at", func(u User) *time.Time { return &u.CreatedAt }, false)
	}
	return pick(g,
		g.time("last_login_at", func(u User) *time.Time { return u.LastLoginAt }, true),
		g.time("deleted_at", func(u User) *time.Time { return u.DeletedAt }, true))
}

func (g generator) time(name string, of func(User) *time.Time, nullable bool) filter {
	return ordered(g, name, of, func(t time.Time) string {
		return pick(g, t.Format(time.RFC3339Nano), "'"+t.In(time.FixedZone("", 3600)).Format(time.RFC3339Nano)+"'")
	}, time.Time.Compare, func(t time.Time) time.Time { return t.Add(time.Duration(g.IntN(3)-1) * time.Microsecond) }, nullable)
}

// ordered draws a comparison of numbers or times; none of them holds for
// null, but for what says "not".
func ordered[T any](g generator, name string, of func(User) *T, format func(T) string, compare func(a, b T) int, near func(T) T, nullable bool) filter {
	if nullable && g.IntN(4) == 0 {
		want := g.IntN(2) == 0
		return filter{fmt.Sprintf("%s=null=%t", name, want), func(u User) bool { return (of(u) == nil) == want }}
	}
	values := make([]T, 1+g.IntN(3))
	for i := range values {
		from := of(g.row())
		for from == nil {
			from = of(g.row())
		}
		values[i] = near(*from)
	}
	is := func(holds func(c int) bool) func(User) bool {
		return func(u User) bool { return of(u) != nil && holds(compare(*of(u), values[0])) }
	}
	in := func(u User) bool {
		return of(u) != nil && slices.ContainsFunc(values, func(v T) bool { return compare(*of(u), v) == 0 })
	}
	texts := make([]string, len(values))
	for i, v := range values {
		texts[i] = format(v)
	}
	list := "(" + strings.Join(texts, ",") + ")"
	equal := is(func(c int) bool { return c == 0 })
	return pick(g,
		filter{name + "==" + texts[0], equal},
		filter{name + "!=" + texts[0], func(u User) bool { return !equal(u) }},
		filter{name + "=gt=" + texts[0], is(func(c int) bool { return c > 0 })},
		filter{name + "=ge=" + texts[0], is(func(c int) bool { return c >= 0 })},
		filter{name + "=lt=" + texts[0], is(func(c int) bool { return c < 0 })},
		filter{name + "=le=" + texts[0], is(func(c int) bool { return c <= 0 })},
		filter{name + "=in=" + list, in},
		filter{name + "=out=" + list, func(u User) bool { return !in(u) }})
}

func (g generator) id() filter {
	a, b := g.row().ID, g.row().ID
	return pick(g,
		filter{"id==" + a.String(), func(u User) bool { return u.ID == a }},
		filter{"id!=" + a.String(), func(u User) bool { return u.ID != a }},
		filter{"id=in=(" + a.String() + "," + b.String() + ")", func(u User) bool { return u.ID == a || u.ID == b }},
		filter{"id=out=(" + a.String() + "," + b.String() + ")", func(u User) bool { return u.ID != a && u.ID != b }})
}

func quoted(text string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`, `*`, `\*`).Replace(text) + "'"
}

func (g generator) text(name string, of func(User) string) filter {
	a, b := of(g.row()), of(g.row())
	if g.IntN(2) == 0 { // wildcards
		r := []rune(a)
		from := g.IntN(len(r) + 1)
		to := from + g.IntN(len(r)+1-from)
		part := string(r[from:to])
		prefix, suffix := string(r[:from]), string(r[to:])
		return pick(g,
			filter{name + "==" + quoted(prefix), func(u User) bool { return of(u) == prefix }},
			filter{name + "==" + wild(prefix, ""), func(u User) bool { return strings.HasPrefix(of(u), prefix) }},
			filter{name + "==" + wild("", suffix), func(u User) bool { return strings.HasSuffix(of(u), suffix) }},
			filter{name + "==" + wild("", part, ""), func(u User) bool { return strings.Contains(of(u), part) }},
			filter{name + "!=" + wild("", part, ""), func(u User) bool { return !strings.Contains(of(u), part) }},
			filter{name + "==" + wild(prefix, suffix), func(u User) bool {
				return len(of(u)) >= len(prefix)+len(suffix) && strings.HasPrefix(of(u), prefix) && strings.HasSuffix(of(u), suffix)
			}})
	}
	return pick(g,
		filter{name + "==" + quoted(a), func(u User) bool { return of(u) == a }},
		filter{name + "!=" + quoted(a), func(u User) bool { return of(u) != a }},
		filter{name + "=gt=" + quoted(a), func(u User) bool { return of(u) > a }},
		filter{name + "=ge=" + quoted(a), func(u User) bool { return of(u) >= a }},
		filter{name + "=lt=" + quoted(a), func(u User) bool { return of(u) < a }},
		filter{name + "=le=" + quoted(a), func(u User) bool { return of(u) <= a }},
		filter{name + "=in=(" + quoted(a) + "," + quoted(b) + ")", func(u User) bool { return of(u) == a || of(u) == b }},
		filter{name + "=out=(" + quoted(a) + "," + quoted(b) + ")", func(u User) bool { return of(u) != a && of(u) != b }})
}

func wild(parts ...string) string {
	for i, p := range parts {
		q := quoted(p)
		parts[i] = q[1 : len(q)-1]
	}
	return "'" + strings.Join(parts, "*") + "'"
}

// filters is how many the test draws; the long form is 10,000.
func filters(t *testing.T) int {
	n := os.Getenv("TENANTRY_TEST_FILTERS")
	if n == "" {
		return 2000
	}
	out, err := strconv.Atoi(n)
	require.NoError(t, err)
	return out
}

func TestFilter_MeansOnPostgresWhatItMeansInMemory(t *testing.T) {
	t.Parallel()
	_, l := testdb.New(t).ActiveTenant(t, "acme")
	seed := uint64(20261125)
	g := generator{Rand: rand.New(rand.NewPCG(seed, seed))}
	texts := []string{"", "a", "A", "ab", "aB", "b", "ä", "Ä", "%", "_", `\`, `\%`, "a%", "a_b", "*", "a*b", "'", `"`, "it's", "a b", " ", "a;b,c", "(x)", "=", "ß", "z", "日本", "e\u0301", "a\\"}
	for i := range 90 { // one page holds them all
		u := User{
			ID: ids.User(ids.New()), Name: pick(g, texts...), Email: pick(g, texts...) + pick(g, texts...), LoginCount: int64(g.IntN(4)) - 1 + int64(i%2),
			CreatedAt: epoch.Add(time.Duration(g.IntN(5)) * time.Microsecond),
		}
		if g.IntN(3) > 0 {
			u.LastLoginAt = at(0)
			*u.LastLoginAt = u.LastLoginAt.Add(time.Duration(g.IntN(4)) * time.Microsecond)
		}
		if g.IntN(2) == 0 {
			u.DeletedAt = at(g.IntN(3))
		}
		u.LoginCount = max(u.LoginCount, 0)
		insert(t, l, u)
		g.rows = append(g.rows, u)
	}
	for i, n := 0, filters(t); i < n; i++ {
		f := g.filter(3)
		asked := f.text + ";deleted_at=null=true"
		want := []uuid.UUID{}
		if strings.Contains(f.text, ",") {
			asked = "(" + f.text + ");deleted_at=null=true"
		}
		for _, u := range g.rows {
			if f.holds(u) && u.DeletedAt == nil {
				want = append(want, u.ID.UUID())
			}
		}
		if i%2 == 0 { // deleted people too, as the filter speaks of deleted_at
			asked, want = "deleted_at=null=true,deleted_at=null=false;"+"("+f.text+")", want[:0]
			for _, u := range g.rows {
				if u.DeletedAt == nil || f.holds(u) {
					want = append(want, u.ID.UUID())
				}
			}
		}
		found, err := New(clock.System).List(context.Background(), l, lists.Request{Filter: asked, Fields: "id", Limit: 100})
		if err != nil && (strings.Contains(err.Error(), "too many parts") || strings.Contains(err.Error(), "bytes long")) {
			i-- // drawn beyond the bounds; another one
			continue
		}
		require.NoError(t, err, "filter %d: %s", i, asked)
		got := []uuid.UUID{}
		for _, u := range found.Items {
			got = append(got, u.ID.UUID())
		}
		require.ElementsMatch(t, want, got, "filter %d: %s", i, asked)
	}
}
