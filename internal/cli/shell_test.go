package cli

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// TestQuote_SurvivesTheShell sends many words through one shell at a time.
func TestQuote_SurvivesTheShell(t *testing.T) {
	t.Parallel()
	word := rapid.Custom(func(t *rapid.T) string {
		return strings.ReplaceAll(rapid.OneOf(rapid.String(), rapid.StringMatching(`[-'"\\$`+"`"+`!*?~#&|;<>() \n\t{}\[\]a-z]{0,12}`)).Draw(t, "word"), "\x00", "")
	})
	rapid.Check(t, func(t *rapid.T) {
		words := rapid.SliceOfN(word, 1, 20).Draw(t, "words")
		line := "printf '%s\\0'"
		for i, w := range words {
			if i%2 == 0 {
				line += " " + quote(w)
			} else {
				line += " " + alwaysQuote(w)
			}
		}
		out, err := exec.Command("sh", "-c", line).Output()
		require.NoError(t, err)
		require.Equal(t, strings.Join(words, "\x00")+"\x00", string(out))
	})
}
