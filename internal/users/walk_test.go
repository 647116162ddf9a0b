package users

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"tenantry/internal/clock"
	"tenantry/internal/db"
	"tenantry/internal/ids"
	"tenantry/internal/lists"
	"tenantry/internal/testdb"
)

// sortable are the keys of the list, with their documented order.
var sortable = map[string]func(a, b User) int{
	"id":            func(a, b User) int { return strings.Compare(a.ID.String(), b.ID.String()) },
	"name":          func(a, b User) int { return strings.Compare(a.Name, b.Name) },
	"email":         func(a, b User) int { return strings.Compare(a.Email, b.Email) },
	"login_count":   func(a, b User) int { return cmp.Compare(a.LoginCount, b.LoginCount) },
	"created_at":    func(a, b User) int { return a.CreatedAt.Compare(b.CreatedAt) },
	"updated_at":    func(a, b User) int { return a.UpdatedAt.Compare(b.UpdatedAt) },
	"last_login_at": func(a, b User) int { return compareNull(a.LastLoginAt, b.LastLoginAt) },
	"deleted_at":    func(a, b User) int { return compareNull(a.DeletedAt, b.DeletedAt) },
}

func compareNull(a, b *time.Time) int {
	switch {
	case a == nil && b == nil:
		return 0
	case a == nil:
		return 1
	case b == nil:
		return -1
	}
	return a.Compare(*b)
}

// order compares by a sort and then the id, in the last key's direction.
func order(sort string) func(a, b User) int {
	return func(a, b User) int {
		desc := false
		keys := strings.Split(sort, ",")
		for i, key := range append(keys, "id") {
			bare, d := strings.CutPrefix(key, "-")
			if i < len(keys) {
				desc = d
			}
			if c := sortable[bare](a, b); c != 0 {
				if desc {
					return -c
				}
				return c
			}
		}
		return 0
	}
}

// value is a row's id and what its place in a sort depends on.
func value(sort string, u User) string {
	out := u.ID.String()
	for _, key := range strings.Split(strings.ReplaceAll(sort, "-", ""), ",") {
		out += " " + map[string]string{
			"id": "", "name": u.Name, "email": u.Email, "login_count": fmt.Sprint(u.LoginCount), "created_at": micros(&u.CreatedAt),
			"updated_at": micros(&u.UpdatedAt), "last_login_at": micros(u.LastLoginAt), "deleted_at": micros(u.DeletedAt),
		}[key]
	}
	return out
}

func micros(t *time.Time) string {
	if t == nil {
		return "null"
	}
	return fmt.Sprint(t.UnixMicro())
}

// drawUser draws from few values, microseconds apart, so that ties abound.
func drawUser(t *rapid.T) User {
	tick := func(name string) time.Time {
		return epoch.Add(time.Duration(rapid.IntRange(0, 3).Draw(t, name)) * time.Microsecond)
	}
	maybe := func(name string) *time.Time {
		if rapid.Bool().Draw(t, name+" is null") {
			return nil
		}
		v := tick(name)
		return &v
	}
	return User{
		ID: ids.User(ids.New()), Name: rapid.SampledFrom([]string{"a", "B", "ä", ""}).Draw(t, "name"), Email: rapid.SampledFrom([]string{"x", "y"}).Draw(t, "email"),
		LoginCount: rapid.Int64Range(0, 2).Draw(t, "login_count"), CreatedAt: tick("created_at"), UpdatedAt: tick("updated_at"),
		LastLoginAt: maybe("last_login_at"), DeletedAt: maybe("deleted_at"),
	}
}

func drawSort(t *rapid.T) string {
	keys := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"id", "name", "email", "login_count", "created_at", "updated_at", "last_login_at", "deleted_at"}), 1, 3, rapid.ID).Draw(t, "keys")
	for i := range keys {
		if rapid.Bool().Draw(t, "descending") {
			keys[i] = "-" + keys[i]
		}
	}
	return strings.Join(keys, ",")
}

// everybody makes a filter speak of deleted_at without narrowing the list.
const everybody = "deleted_at=null=true,deleted_at=null=false"

func TestCursor_AWalkMeetsWhatStaysExactlyOnceWhateverIsWritten(t *testing.T) {
	t.Parallel()
	_, l := testdb.New(t).ActiveTenant(t, "acme")
	ctx := context.Background()
	rapid.Check(t, func(rt *rapid.T) {
		exec(rt, l, `DELETE FROM users`)
		sort, limit := drawSort(rt), rapid.IntRange(1, 5).Draw(rt, "limit")
		now := map[ids.User]User{}
		var all []ids.User
		add := func() {
			u := drawUser(rt)
			insert(t, l, u)
			now[u.ID], all = u, append(all, u.ID)
		}
		for range rapid.IntRange(0, 15).Draw(rt, "rows") {
			add()
		}
		stayed := map[ids.User]bool{}
		for id := range now {
			stayed[id] = true
		}
		seen := map[string]int{}
		var met []User
		in := lists.Request{Sort: sort, Limit: limit, Filter: everybody}
		for pages := 0; ; pages++ {
			if pages > 200 {
				rt.Fatalf("%s: the walk does not end", sort)
			}
			found, err := New(clock.System).List(ctx, l, in)
			require.NoError(rt, err)
			for _, u := range found.Items {
				met = append(met, u)
				seen[value(sort, u)]++
			}
			if in.Cursor = found.Next; in.Cursor == "" {
				break
			}
			for range rapid.IntRange(0, 2).Draw(rt, "writes") {
				if kind := rapid.IntRange(0, 2).Draw(rt, "kind"); kind == 0 && pages < 20 {
					add()
				} else if len(all) > 0 {
					id := rapid.SampledFrom(all).Draw(rt, "row")
					u := drawUser(rt)
					u.ID = id
					if kind == 1 {
						exec(rt, l, `DELETE FROM users WHERE id = $1`, id.UUID())
						delete(stayed, id)
						delete(now, id)
					} else if old, there := now[id]; there && pages < 20 {
						if order(sort)(old, u) != 0 { // its place changed
							delete(stayed, id)
						}
						exec(rt, l, `UPDATE users SET name = $2, email = $3, login_count = $4, created_at = $5, updated_at = $6, last_login_at = $7, deleted_at = $8 WHERE id = $1`,
							id.UUID(), u.Name, u.Email, u.LoginCount, u.CreatedAt, u.UpdatedAt, u.LastLoginAt, u.DeletedAt)
						now[id] = u
					}
				}
			}
		}
		for v, n := range seen {
			if n > 1 {
				rt.Fatalf("%s: %s was met %d times", sort, v, n)
			}
		}
		for id := range stayed {
			if seen[value(sort, now[id])] != 1 {
				rt.Fatalf("%s: %s stayed and was met %d times", sort, value(sort, now[id]), seen[value(sort, now[id])])
			}
		}
		for i := 1; i < len(met); i++ {
			if order(sort)(met[i-1], met[i]) >= 0 {
				rt.Fatalf("%s: %s before %s", sort, value(sort, met[i-1]), value(sort, met[i]))
			}
		}
	})
}

func exec(t require.TestingT, l *db.Lease, sql string, args ...any) {
	_, err := l.Database().Exec(context.Background(), sql, args...)
	require.NoError(t, err)
}

func TestCursor_HoldsUnderConcurrentWritersForEverySort(t *testing.T) {
	t.Parallel()
	_, l := testdb.New(t).ActiveTenant(t, "acme")
	const staying = 120
	stay := map[ids.User]bool{}
	for i := range staying {
		u := User{ID: ids.User(ids.New()), Name: string(rune('a' + i%7)), Email: "stays", LoginCount: int64(i % 3), CreatedAt: *at(i % 4), UpdatedAt: *at(i % 5)}
		if i%2 == 0 {
			u.LastLoginAt = at(i % 3)
		}
		insert(t, l, u)
		stay[u.ID] = true
	}
	ctx, stop := context.WithCancel(t.Context())
	var writers sync.WaitGroup
	for w := range 3 {
		writers.Go(func() {
			for i := w; ctx.Err() == nil; i++ {
				u := User{ID: ids.User(ids.New()), Name: string(rune('a' + i%9)), Email: "moves", CreatedAt: *at(i % 6)}
				insert(t, l, u)
				exec(t, l, `UPDATE users SET login_count = login_count + 1, updated_at = $2, last_login_at = $2, name = $3 WHERE id = $1`, u.ID.UUID(), *at(i % 7), string(rune('b'+i%5)))
				exec(t, l, `DELETE FROM users WHERE id = $1`, u.ID.UUID())
			}
		})
	}
	for key := range sortable {
		more := [2]string{"name", "created_at"}
		if key == more[0] || key == more[1] {
			more = [2]string{"email", "login_count"}
		}
		for _, sort := range []string{key, "-" + key, key + ",-" + more[0], "-" + key + "," + more[0] + ",-" + more[1]} {
			in, met, seen := lists.Request{Sort: sort, Limit: 17}, map[ids.User]int{}, map[string]int{}
			for {
				found := list1(t, l, in)
				for _, u := range found.Items {
					met[u.ID]++
					seen[value(sort, u)]++
				}
				if in.Cursor = found.Next; in.Cursor == "" {
					break
				}
			}
			for id := range stay {
				require.Equal(t, 1, met[id], "%s: a row that stayed", sort)
			}
			for v, n := range seen {
				require.Equal(t, 1, n, "%s: %s", sort, v)
			}
		}
	}
	stop()
	writers.Wait()
}
