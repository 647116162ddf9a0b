package users

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"tenantry/internal/connections"
	"tenantry/internal/db"
	"tenantry/internal/lists"
	"tenantry/internal/testdb"
)

// tracer notes every statement.
type tracer struct {
	mu   sync.Mutex
	seen []string
}

func (tr *tracer) TraceQueryStart(ctx context.Context, _ *pgx.Conn, d pgx.TraceQueryStartData) context.Context {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.seen = append(tr.seen, d.SQL)
	return ctx
}

func (tr *tracer) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// queries answers the statements since the last call that read rows.
func (tr *tracer) queries() []string {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	var out []string
	for _, sql := range tr.seen {
		if first, _, _ := strings.Cut(strings.TrimSpace(sql), " "); first == "SELECT" || first == "WITH" {
			out = append(out, sql)
		}
	}
	tr.seen = nil
	return out
}

func traced(t *testing.T) (*db.Lease, *tracer) {
	t.Helper()
	in := testdb.New(t)
	tn := in.Active(t, "acme")
	tr := &tracer{}
	conns := in.ConnectionsWith(t, connections.Options{Budget: 4, Share: 4, Configure: func(c *pgx.ConnConfig) { c.Tracer = tr }})
	return db.NewLease(tn.ID, tn.Key, in.Database(conns, tn), nil), tr
}

var selected = regexp.MustCompile(`^SELECT (.*?) FROM "users"`)

func TestList_SelectsWhatWasAskedAndNoMore(t *testing.T) {
	t.Parallel()
	l, tr := traced(t)
	for i := range 3 {
		insert(t, l, User{Name: fmt.Sprint("u", i)})
	}
	tr.queries()
	for _, c := range []struct {
		in      lists.Request
		columns string
		queries int
	}{
		{lists.Request{}, `"id", "name", "email", "locale", "version", "login_count", "last_login_at", "created_at", "updated_at", "deleted_at"`, 1},
		{lists.Request{Fields: "id"}, `"id", "created_at"`, 1},
		{lists.Request{Fields: "name,email", Sort: "-login_count"}, `"name", "email", "login_count", "id"`, 1},
		{lists.Request{Fields: "email", Sort: "name,-updated_at", Filter: "deleted_at=null=true"}, `"email", "name", "updated_at", "id"`, 1},
		{lists.Request{Fields: "id", Sort: "id"}, `"id"`, 1},
		{lists.Request{Fields: "name", Include: "roles", Sort: "id"}, `"name", "id"`, 2},
		{lists.Request{Include: "roles", Limit: 2}, `"id", "name", "email", "locale", "version", "login_count", "last_login_at", "created_at", "updated_at", "deleted_at"`, 2},
	} {
		list1(t, l, c.in)
		got := tr.queries()
		require.Len(t, got, c.queries, "%+v: %v", c.in, got)
		require.Equal(t, c.columns, selected.FindStringSubmatch(got[0])[1], "%+v", c.in)
		for _, sql := range got {
			require.NotContains(t, sql, "password_hash")
			require.NotContains(t, sql, "*")
		}
	}
}

func TestList_ValuesAreArgumentsAlways(t *testing.T) {
	t.Parallel()
	l, tr := traced(t)
	const marker = "m4rk3r"
	insert(t, l, User{Name: marker + " a", Email: marker})
	insert(t, l, User{Name: marker + " b", Email: marker})
	tr.queries()
	for _, in := range []lists.Request{
		{Filter: "name=='" + marker + "*';email=in=(" + marker + ",x),name=gt=" + marker, Limit: 1, Sort: "email,-name"},
		{Search: marker, Limit: 1},
	} {
		for in.Cursor = ""; ; {
			found := list1(t, l, in)
			for _, sql := range tr.queries() {
				require.NotContains(t, sql, marker)
			}
			if in.Cursor = found.Next; in.Cursor == "" {
				break
			}
		}
	}
}

func TestIndexes_ServeEveryOrderAndTheSearch(t *testing.T) {
	t.Parallel()
	l, tr := traced(t)
	for i := range 3 {
		insert(t, l, User{Name: fmt.Sprint("anna", i), Email: fmt.Sprint("u", i)})
	}
	exec(t, l, `ANALYZE users`)
	// A small table is scanned whole, unless that is out of the question.
	plan := func(in lists.Request, settings string) string {
		t.Helper()
		tr.queries()
		q, err := List.Parse(in, l.Key)
		require.NoError(t, err)
		text, err := db.InTenantRead(t.Context(), l, func(tx db.TenantTx) (string, error) {
			if _, err := tx.SQL().Exec(settings); err != nil {
				return "", err
			}
			return lists.Explain(t.Context(), tx.SQL(), q)
		})
		require.NoError(t, err)
		return text
	}
	for _, key := range List.Fields() {
		if !key.Sortable {
			continue
		}
		for _, sort := range []string{key.Name, "-" + key.Name} {
			in := lists.Request{Sort: sort, Limit: 1, Filter: everybody}
			index := "user_" + key.Name + "_id"
			if key.Name == "id" {
				index = "users_pkey"
			}
			require.Contains(t, plan(in, "SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off"), "using "+index, sort)
			in.Cursor = list1(t, l, in).Next
			text := plan(in, "SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off")
			require.Contains(t, text, "using "+index, sort)
			require.Contains(t, text, "Index Cond: ", "%s: a page begins in the index, at any depth:\n%s", sort, text)
		}
	}
	text := plan(lists.Request{Search: "anna"}, "SET LOCAL enable_indexscan = off")
	require.Contains(t, text, "user_search_words", text)
	require.Contains(t, text, "user_search_text", text)
}
