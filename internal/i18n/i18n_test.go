package i18n

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
)

func TestNegotiate_PicksTheLanguageWishedMost(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]struct {
		l  Locale
		ok bool
	}{
		"":                                 {English, false},
		"de":                               {German, true},
		"DE-at":                            {German, true},
		"de-CH, fr;q=0.9":                  {German, true},
		"fr;q=0.8, es;q=0.9":               {Spanish, true},
		"es;q=0.9,fr;q=0.9":                {Spanish, true},
		"pt":                               {Portuguese, true},
		"pt-PT":                            {Portuguese, true},
		"pt-BR":                            {Portuguese, true},
		"es-419":                           {Spanish, true},
		"ja-JP":                            {Japanese, true},
		"en-GB,en;q=0.9":                   {English, true},
		"zh":                               {English, false},
		"zh-Hans, ja;q=0.3":                {Japanese, true},
		"*":                                {English, false},
		"de;q=0":                           {English, false},
		"de;q=0, fr;q=0.1":                 {French, true},
		"fr;q=1.0, de;q=0.001":             {French, true},
		"de-AT, de;q=0":                    {English, false},
		"de;q=2, fr":                       {French, true},
		"de;q=NaN, fr;q=0.1":               {French, true},
		"de;level=1, fr;q=0.1":             {French, true},
		"!!, ;;, de ; q=0.5":               {German, true},
		"und, mul":                         {English, false},
		strings.Repeat("x-", 400) + ", de": {English, false},
		strings.Repeat("zh,", 20) + "de":   {English, false},
		"de-1996":                          {German, true},
	} {
		l, ok := Negotiate(header)
		require.Equal(t, want.l, l, header)
		require.Equal(t, want.ok, ok, header)
	}
}

func FuzzNegotiate(f *testing.F) {
	for _, seed := range []string{"de", "en-GB;q=0.8, *;q=0.1", "a-b-c-u-co-phonebk", "x-", "i-klingon;q=", ",,;=;", "de-u-1-2"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		l, ok := Negotiate(header)
		require.Contains(t, Locales, l)
		require.True(t, ok || l == English)
		require.Contains(t, Locales, Best(header))
	})
}

func TestBest_AnswersALanguageForEveryTag(t *testing.T) {
	t.Parallel()
	for tag, want := range map[string]Locale{"de": German, "pt": Portuguese, "pt-BR": Portuguese, "zh-CN": English, "": English, "no tag": English} {
		require.Equal(t, want, Best(tag), tag)
	}
}

func TestText_CountsAsTheLanguageDoes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		l    Locale
		n    string
		want string
	}{
		{English, "1", "Use at least 1 character."},
		{English, "15", "Use at least 15 characters."},
		{French, "0", "Utilisez au moins 0 caractère."}, // French counts 0 as one
		{French, "2", "Utilisez au moins 2 caractères."},
		{French, "1000000", "Utilisez au moins 1000000 caractères."}, // "many", which falls back
		{Japanese, "1", "1 文字以上で入力してください。"},
	} {
		require.Equal(t, tt.want, Rule(tt.l, "string.min_len", Params{"min_len": tt.n}))
	}
}

func TestText_IsLessPreciseRatherThanBroken(t *testing.T) {
	t.Parallel()
	for _, l := range Locales {
		generic, _ := Text(l, "rule.string.min_len", nil)
		require.Equal(t, generic, Rule(l, "string.min_len", nil))
		require.Equal(t, generic, Rule(l, "string.min_len", Params{"other": "1"}))
		unknown, _ := Text(l, "reason.UNSPECIFIED", nil)
		require.Equal(t, unknown, Reason(l, "NO_SUCH_REASON", nil))
		other, _ := Text(l, "rule.other", nil)
		require.Equal(t, other, Rule(l, "no.such_rule", nil))
	}
	require.Equal(t, Rule(German, "int64.gte_lte", Params{"gte": "0", "lte": "9"}), Rule(German, "double.gte_lte", Params{"gte": "0", "lte": "9"}))
	_, ok := Text(German, "page.request_id", nil)
	require.False(t, ok)
}

// No sentence was forgotten to be translated: but for names, no two languages
// say the same.
func TestCatalogue_LanguagesDiffer(t *testing.T) {
	t.Parallel()
	for id, m := range catalogue[English] {
		if strings.HasPrefix(id, "mail.time_layout") {
			continue
		}
		for _, l := range Locales[1:] {
			require.NotEqual(t, m.forms, catalogue[l][id].forms, "%s: %s", l, id)
		}
	}
}

// The program does not start with a set that has a gap; each one is named.
func TestLoad_RefusesGapsAndTypingErrors(t *testing.T) {
	t.Parallel()
	broken := func(name, old, by string) fstest.MapFS {
		set := fstest.MapFS{}
		for _, l := range Locales {
			for _, s := range sections {
				path := "messages/" + s + "/" + string(l) + ".json"
				text, err := files.ReadFile(path)
				require.NoError(t, err)
				if path == name {
					require.Contains(t, string(text), old)
					text = []byte(strings.Replace(string(text), old, by, 1))
				}
				set[path] = &fstest.MapFile{Data: text}
			}
		}
		return set
	}
	_, err := load(broken("", "", ""))
	require.NoError(t, err)
	for name, tt := range map[string]struct{ file, old, by, says string }{
		"missing":           {"messages/rule/de.json", `"slug.taken"`, `"slug.token"`, "de: no message rule.slug.taken"},
		"left over":         {"messages/rule/de.json", `"slug.taken"`, `"slug.token"`, "de: message rule.slug.token is not in English"},
		"missing english":   {"messages/mail/en.json", `"greeting"`, `"hello"`, "ja: message mail.greeting is not in English"},
		"another parameter": {"messages/page/ja.json", "{id}", "{di}", "ja: message page.request_id has the parameters [di]"},
		"twice":             {"messages/rule/fr.json", `"slug.taken"`, `"slug.reserved"`, "rule.slug.reserved: given twice"},
		"empty":             {"messages/page/es.json", `"Iniciar sesión"`, `""`, "is empty"},
		"markup":            {"messages/page/es.json", `"Iniciar sesión"`, `"<b>x</b>"`, "not plain text"},
		"broken parameter":  {"messages/page/es.json", `{id}`, `{Id}`, "not plain text"},
		"no other form":     {"messages/rule/en.json", `"other": "Use at least {min_len}`, `"few": "Use at least {min_len}`, `needs "by" and "other"`},
		"no such form":      {"messages/rule/en.json", `"one": "Use at least {min_len}`, `"uno": "Use at least {min_len}`, "no plural form"},
		"no generic":        {"messages/rule/en.json", `"slug.taken"`, `"slug.taken.precise"`, "there is no rule.slug.taken"},
		"not JSON":          {"messages/rule/en.json", `{`, `[`, "not a JSON object"},
		"cut off":           {"messages/rule/en.json", "\n}\n", "\n", "not a whole JSON object"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := load(broken(tt.file, tt.old, tt.by))
			require.ErrorContains(t, err, tt.says)
		})
	}
}

func TestIDs_AreThoseOfTheSection(t *testing.T) {
	t.Parallel()
	n := 0
	for _, s := range sections {
		ids := IDs(s)
		require.NotEmpty(t, ids)
		require.True(t, slices.IsSorted(ids))
		n += len(ids)
	}
	require.Len(t, slices.Collect(maps.Keys(catalogue[English])), n)
}
