package users

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"tenantry/internal/lists"
	"tenantry/internal/testdb"
)

func TestSearch_FindsPrefixesAndTyposAndRanksTheBestFirst(t *testing.T) {
	t.Parallel()
	_, l := testdb.New(t).ActiveTenant(t, "acme")
	for _, u := range []User{
		{Name: "Alexander Hamilton", Email: "alex@treasury.example"},
		{Name: "Alexandra Ivanova", Email: "a.ivanova@lab.example"},
		{Name: "Alexa Hart", Email: "hart@lab.example"},
		{Name: "Zoë Müller-Lüdenscheidt", Email: "zoe@bath.example"},
		{Name: "Conan O'Brien", Email: "conan_o+news@tv.example"},
		{Name: "Gone Alexander", Email: "gone@lab.example", DeletedAt: at(1)},
		{Name: "Jonathan Smith", Email: "jsmith@lab.example", LoginCount: 7},
		{Name: "日本 太郎", Email: "taro@jp.example"},
	} {
		insert(t, l, u)
	}
	search := func(q, filter string) string {
		t.Helper()
		return nameText(list1(t, l, lists.Request{Search: q, Filter: filter}).Items)
	}
	for q, first := range map[string]string{
		"Alexander":          "Alexander Hamilton",
		"alexander hamilton": "Alexander Hamilton",
		"hamilton alex":      "Alexander Hamilton",
		"hamil":              "Alexander Hamilton",
		"alexa":              "Alexa Hart",
		"ivanova":            "Alexandra Ivanova",
		"Alexnader":          "Alexander Hamilton",
		"hamliton":           "Alexander Hamilton",
		"jonathon":           "Jonathan Smith",
		"Jonhatan":           "Jonathan Smith",
		"jsmith@lab":         "Jonathan Smith",
		"smiht":              "Jonathan Smith",
		"treasury":           "Alexander Hamilton",
		"zoë":                "Zoë Müller-Lüdenscheidt",
		"müller":             "Zoë Müller-Lüdenscheidt",
		"Lüdenscheidt":       "Zoë Müller-Lüdenscheidt",
		"o'brien":            "Conan O'Brien",
		"news":               "Conan O'Brien",
		"太郎":                 "日本 太郎",
	} {
		found := list1(t, l, lists.Request{Search: q}).Items
		require.NotEmpty(t, found, q)
		require.Equal(t, first, found[0].Name, "%s: %s", q, nameText(found))
	}
	require.Empty(t, search("xylophone", ""))
	require.Equal(t, "Jonathan Smith", search("lab", "login_count=gt=5"), "a filter narrows a search")
	require.Equal(t, "Gone Alexander", search("alexander", "deleted_at=null=false"))
	require.NotContains(t, search("alexander", ""), "Gone")
}

func TestSearch_PagesAreOneRankedList(t *testing.T) {
	t.Parallel()
	_, l := testdb.New(t).ActiveTenant(t, "acme")
	for i := range 60 {
		insert(t, l, User{Name: fmt.Sprintf("Katherine %d", i%20), Email: fmt.Sprintf("k%d@x.example", i)})
		insert(t, l, User{Name: fmt.Sprintf("Catherine %d", i%20), Email: fmt.Sprintf("c%d@x.example", i)}) // a typo of it
		insert(t, l, User{Name: fmt.Sprintf("Bob %d", i), Email: fmt.Sprintf("b%d@x.example", i)})
	}
	whole := list1(t, l, lists.Request{Search: "katherine", Limit: 100})
	require.Len(t, whole.Items, 100)
	for _, limit := range []int{1, 7, 60, 61} {
		var got []User
		in := lists.Request{Search: "katherine", Limit: limit}
		for {
			found := list1(t, l, in)
			got = append(got, found.Items...)
			if in.Cursor = found.Next; in.Cursor == "" {
				break
			}
		}
		require.Len(t, got, 120, "every match once, no other: limit %d", limit)
		require.Equal(t, nameText(whole.Items), nameText(got[:100]))
		seen := map[string]bool{}
		for i, u := range got {
			require.False(t, seen[u.Email])
			seen[u.Email] = true
			require.Equal(t, i < 60, u.Name[0] == 'K', "words before typos")
		}
	}
}
