package users

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"tenantry/internal/apperr"
	"tenantry/internal/clock"
	"tenantry/internal/db"
	"tenantry/internal/ids"
	"tenantry/internal/lists"
	"tenantry/internal/testdb"
)

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// insert writes a person as they are, without any of the product's rules.
func insert(t testing.TB, l *db.Lease, u User) {
	t.Helper()
	if u.ID == (ids.User{}) {
		u.ID = ids.User(ids.New())
	}
	if u.CreatedAt.IsZero() {
		u.CreatedAt = epoch
	}
	if u.UpdatedAt.IsZero() {
		u.UpdatedAt = u.CreatedAt
	}
	_, err := l.Database().Exec(context.Background(), `
		INSERT INTO users (id, subject_key_id, name, email, email_normalized, password_hash, login_count, last_login_at, created_at, updated_at, deleted_at)
		VALUES ($1, $2, $3, $4, $5, 'hash', $6, $7, $8, $9, $10)`,
		u.ID.UUID(), uuid.New(), u.Name, u.Email, u.ID.String(), u.LoginCount, u.LastLoginAt, u.CreatedAt, u.UpdatedAt, u.DeletedAt)
	require.NoError(t, err)
}

func list1(t testing.TB, l *db.Lease, in lists.Request) lists.Result[User] {
	t.Helper()
	found, err := New(clock.System).List(context.Background(), l, in)
	require.NoError(t, err)
	return found
}

func nameText(users []User) string {
	out := make([]string, len(users))
	for i, u := range users {
		out[i] = u.Name
	}
	return strings.Join(out, " ")
}

func at(minutes int) *time.Time {
	t := epoch.Add(time.Duration(minutes) * time.Minute)
	return &t
}

func TestList_SortsAsDocumented(t *testing.T) {
	t.Parallel()
	_, l := testdb.New(t).ActiveTenant(t, "acme")
	for _, u := range []User{
		{Name: "b", LastLoginAt: at(1), LoginCount: 2, CreatedAt: *at(1)},
		{Name: "B", LastLoginAt: nil, LoginCount: 1, CreatedAt: *at(2)},
		{Name: "ä", LastLoginAt: at(0), LoginCount: 1, CreatedAt: *at(3)},
		{Name: "a", LastLoginAt: nil, LoginCount: 2, CreatedAt: *at(4)},
		{Name: "gone", DeletedAt: at(9), LoginCount: 9, CreatedAt: *at(5)},
	} {
		insert(t, l, u)
	}
	for _, c := range []struct{ sort, filter, want string }{
		{"", "", "b B ä a"},
		{"-created_at", "", "a ä B b"},
		{"name", "", "B a b ä"},
		{"-name", "", "ä b a B"},
		{"last_login_at", "", "ä b B a"},
		{"-last_login_at", "", "a B b ä"},
		{"login_count,-name", "", "ä B b a"},
		{"-login_count,name", "", "a b B ä"},
		{"-login_count,last_login_at,name", "", "b a ä B"},
		{"name", "deleted_at=null=false", "gone"},
		{"name", "deleted_at=null=true,login_count=gt=0", "B a b gone ä"},
	} {
		var got []string
		in := lists.Request{Sort: c.sort, Filter: c.filter, Limit: 1}
		for range 10 {
			found := list1(t, l, in)
			got = append(got, nameText(found.Items))
			if in.Cursor = found.Next; in.Cursor == "" {
				break
			}
		}
		require.Equal(t, c.want, strings.Join(got, " "), c.sort)
	}
}

func TestList_RefusesWithWhatIsAllowed(t *testing.T) {
	t.Parallel()
	_, l := testdb.New(t).ActiveTenant(t, "acme")
	for _, c := range []struct {
		in             lists.Request
		reason, allows string
	}{
		{lists.Request{Filter: "password_hash==x"}, "FILTER_INVALID", `"password_hash" is no field to filter by; allowed: id, name, email, login_count, last_login_at, created_at, updated_at, deleted_at`},
		{lists.Request{Filter: "email_normalized==x"}, "FILTER_INVALID", "allowed: id, name"},
		{lists.Request{Filter: "version==1"}, "FILTER_INVALID", "allowed: id, name"},
		{lists.Request{Filter: "id=gt=0190b1c2-0000-7000-8000-000000000001"}, "FILTER_INVALID", "id does not take =gt=; allowed: == != =in= =out="},
		{lists.Request{Filter: "name=null=true"}, "FILTER_INVALID", "name does not take =null=; allowed: == != =gt="},
		{lists.Request{Filter: "deleted_at=null=maybe"}, "FILTER_INVALID", `true or false, not "maybe"`},
		{lists.Request{Filter: "login_count==1.5"}, "FILTER_INVALID", "whole numbers"},
		{lists.Request{Filter: "login_count==99999999999999999999"}, "FILTER_INVALID", "of 64 bits"},
		{lists.Request{Filter: "login_count==1*"}, "FILTER_INVALID", "no wildcards"},
		{lists.Request{Filter: "created_at=gt=yesterday"}, "FILTER_INVALID", "RFC 3339"},
		{lists.Request{Filter: "created_at=gt=2026-01-01T00:00:00.0000001Z"}, "FILTER_INVALID", "at most microseconds"},
		{lists.Request{Filter: "id==1"}, "FILTER_INVALID", "UUIDs of 36 characters"},
		{lists.Request{Filter: "name=='x"}, "FILTER_INVALID", "at character 7: the quote is not closed"},
		{lists.Request{Sort: "password_hash"}, "SORT_INVALID", "allowed: id, name, email, login_count"},
		{lists.Request{Sort: "version"}, "SORT_INVALID", "allowed: id, name"},
		{lists.Request{Sort: "name,-name"}, "SORT_INVALID", "each key once"},
		{lists.Request{Sort: "name,email,login_count,id"}, "SORT_INVALID", "too many keys; allowed: 3"},
		{lists.Request{Sort: "name,"}, "SORT_INVALID", `"" is no sort key`},
		{lists.Request{Fields: "id,password_hash"}, "FIELDS_INVALID", "allowed: id, name, email, locale"},
		{lists.Request{Fields: "id,id"}, "FIELDS_INVALID", "each name once"},
		{lists.Request{Include: "sessions"}, "INCLUDE_INVALID", "allowed: roles"},
		{lists.Request{Search: "x"}, "SEARCH_INVALID", "2 letters or digits"},
		{lists.Request{Search: "%%%"}, "SEARCH_INVALID", "2 letters or digits"},
		{lists.Request{Search: "a\x00b"}, "SEARCH_INVALID", "control characters"},
		{lists.Request{Search: strings.Repeat("x", 101)}, "SEARCH_INVALID", "2 to 100 characters"},
		{lists.Request{Search: "jo", Sort: "name"}, "SORT_INVALID", "sorted by rank"},
		{lists.Request{Limit: 101}, "INVALID_ARGUMENT", "1 to 100"},
		{lists.Request{Cursor: "AAAA"}, "CURSOR_INVALID", "leave it out"},
	} {
		_, err := New(clock.System).List(t.Context(), l, c.in)
		require.Equal(t, c.reason, apperr.ReasonOf(err), "%+v: %v", c.in, err)
		require.ErrorContains(t, err, c.allows)
		e, _ := apperr.As(err)
		require.NotEmpty(t, e.Fields, "the parameter is named")
		for _, sql := range []string{"SELECT", "SQLSTATE", "users\"", "ERROR:"} {
			require.NotContains(t, err.Error(), sql)
		}
	}
}

func TestList_CursorIsWorthNothingForAnotherQuestion(t *testing.T) {
	t.Parallel()
	in := testdb.New(t)
	_, l := in.ActiveTenant(t, "acme")
	_, other := in.ActiveTenant(t, "globex")
	for i := range 5 {
		insert(t, l, User{Name: fmt.Sprintf("anna %d", i), CreatedAt: *at(i)})
		insert(t, other, User{Name: fmt.Sprintf("anna %d", i), CreatedAt: *at(i)})
	}
	asked := lists.Request{Filter: "name==*", Sort: "-created_at", Limit: 2}
	asked.Cursor = list1(t, l, asked).Next
	require.NotEmpty(t, asked.Cursor)
	list1(t, l, asked)
	list1(t, l, lists.Request{Filter: "name==*", Sort: "-created_at", Limit: 1, Fields: "id", Include: "roles", Cursor: asked.Cursor})
	refused := func(l *db.Lease, change func(*lists.Request)) {
		t.Helper()
		r := asked
		change(&r)
		_, err := New(clock.System).List(t.Context(), l, r)
		require.Equal(t, "CURSOR_INVALID", apperr.ReasonOf(err))
		_, random := New(clock.System).List(t.Context(), l, lists.Request{Cursor: "AAAA"})
		require.Equal(t, random.Error(), err.Error(), "the answer is the one for random bytes")
	}
	refused(other, func(*lists.Request) {})
	refused(l, func(r *lists.Request) { r.Filter = "" })
	refused(l, func(r *lists.Request) { r.Filter = "name==a*" })
	refused(l, func(r *lists.Request) { r.Sort = "" })
	refused(l, func(r *lists.Request) { r.Sort = "created_at" })
	refused(l, func(r *lists.Request) { r.Sort = "-created_at,name" })
	refused(l, func(r *lists.Request) { r.Search, r.Sort = "anna", "" })
	refused(l, func(r *lists.Request) { r.Cursor = r.Cursor[:len(r.Cursor)-4] })
	refused(l, func(r *lists.Request) { r.Cursor += "==" })
	refused(l, func(r *lists.Request) { r.Cursor = "%%%" })
}
