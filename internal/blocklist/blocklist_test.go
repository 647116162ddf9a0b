package blocklist

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var context = []string{"Acme Rockets", "acme", "Zoë Müller-Lüdenscheidt", "zoe.mueller+news", "Projekt Nordstern"}

func TestCommon_RefusesWhatIsGuessedFirst(t *testing.T) {
	t.Parallel()
	for _, p := range []string{"password", "letmein1", "iloveyou", "trustno1", "4815162342"} {
		require.True(t, Common(p, 8, nil), p)
	}
	for why, passwords := range map[string][]string{
		"listed":                {"qwertyuiop123456", "PASSWORD", "ｐａｓｓｗｏｒｄ", "letmein1", "iloveyou"},
		"one character":         {"aaaaaaaaaaaaaaa", "111111111111111", "ああああああああああああああああ", "               x"},
		"one block":             {"abc123abc123abc123", "zx9!zx9!zx9!zx9!", "hunter2hunter2hunter2", "ab12cd34ef56ab12cd34ef56"},
		"a sequence":            {"abcdefghijklmnop", "zyxwvutsrqponmlk", "1234567890123456", "9876543210987654", "aabbccddeeffgghh", "111222333444555"},
		"rows of the keyboard":  {"qwertyuiopasdfgh", "poiuytrewqlkjhgf", "qwertz123456asdf", "azertyuiopqsdfgh", "QWERTYuiop[]1234", "1q2w3e4r5t6y7u8i9o0p", "1qaz2wsx3edc4rfv"},
		"a padded word":         {"password2024!!!!", "!!!dragon1234567", "P@ssw0rd20242025", "monkey#19283746!", "2024-princess-2025"},
		"a repeated word":       {"dragondragondragon", "Sunshine-sunshine-1", "football football!"},
		"the organization":      {"acmeacmeacme2024", "Acme-Rockets-2025!", "rockets 1234 acme", "acme password 1234"},
		"words of the settings": {"projekt nordstern 1", "Nordstern20242025", "NORDSTERN_projekt_9"},
		"the person":            {"zoë.müller.2024!", "mueller.zoe.1984", "ZOE-mueller-12345", "lüdenscheidt 2024"},
	} {
		for _, p := range passwords {
			require.True(t, Common(p, 15, context), "%s: %q", why, p)
		}
	}
}

func TestCommon_TakesWhatNobodyGuesses(t *testing.T) {
	t.Parallel()
	for _, p := range []string{
		"correct horse battery staple", "a sentence for the bench", "my hovercraft is full of eels", "Tr0ub4dor & three", "acme hires purple wombats",
		"zoe likes quiet mornings", "x7f!q9zr2-kpw4mv", "8301-5527-6194-2", "eine Katze schläft im Schrank", "猫が静かに棚の上で眠っている夜だ", "🦊🌲🚲🎻🥐🌍🔭🧵🪐🧩🎲🪁🧯🪴🛶",
		"artichoke hearts at noon", strings.Repeat("long words make long sentences, ", 6)[:190],
	} {
		require.False(t, Common(p, 15, context), "%q", p)
	}
}

func TestCommon_ABlockCountsOnce(t *testing.T) {
	t.Parallel()
	block := "x7f!q9zr2-"
	require.True(t, Common(block+block, 15, nil), "ten characters are no password, written twice or not")
	require.False(t, Common(block+block, 8, nil), "beside a second factor they are")
}

func TestList_HoldsWhatWasEncoded(t *testing.T) {
	t.Parallel()
	for _, p := range []string{"123456", "password", "dragon", "xpcrew"} {
		require.True(t, listed(p), p)
	}
	require.GreaterOrEqual(t, begin(buckets), 900_000, "the list is whole")
	require.Len(t, list, indexSize+suffixSize*begin(buckets))
	require.Less(t, len(list), 20<<20)
	require.Equal(t, Encode([]string{"b", "a", "b"}), Encode([]string{"a", "b"}))
}

// TestCommon_TakesMicroseconds is a bound that only another order of work
// would break, not a slow machine.
func TestCommon_TakesMicroseconds(t *testing.T) {
	t.Parallel()
	worst := strings.Repeat("ab1", 66)
	calls, start := 200, time.Now()
	for range calls {
		Common(worst, 15, context)
	}
	each := time.Since(start) / time.Duration(calls)
	t.Logf("%s each", each)
	require.Less(t, each, 5*time.Millisecond)
}

func BenchmarkCommon(b *testing.B) {
	for b.Loop() {
		Common("correct horse battery staple", 15, context)
	}
}
