package auth

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"tenantry/internal/apperr"
)

func TestCheckNewPassword_NamesItsBounds(t *testing.T) {
	t.Parallel()
	letters := func(n int) string { return strings.Repeat("qp zbmt kvx4hd,w!eL7uosc", 10)[:n] }
	for password, want := range map[string]struct{ alone, beside string }{
		letters(7):              {"PASSWORD_TOO_SHORT", "PASSWORD_TOO_SHORT"},
		letters(8):              {"PASSWORD_TOO_SHORT", ""},
		letters(14):             {"PASSWORD_TOO_SHORT", ""},
		strings.Repeat("é", 14): {"PASSWORD_TOO_SHORT", "PASSWORD_COMMON"},
		letters(15):             {"", ""},
		letters(64):             {"", ""},
		letters(200):            {"", ""},
		letters(201):            {"PASSWORD_TOO_LONG", "PASSWORD_TOO_LONG"},
		"🙂🌲🚲🎻🥐🌍🔭🧵🪐🧩🎲🪁🧯🪴🛶": {"", ""},
		"Password2024!!!":   {"PASSWORD_COMMON", "PASSWORD_COMMON"},
		"letmein1":          {"PASSWORD_TOO_SHORT", "PASSWORD_COMMON"},
		"acme jo acme 2024": {"PASSWORD_COMMON", "PASSWORD_COMMON"},
	} {
		words := []string{"Acme", "jo"}
		require.Equal(t, want.alone, reasonOf(CheckNewPassword(password, PasswordContext{Words: words})), "%q alone", password)
		require.Equal(t, want.beside, reasonOf(CheckNewPassword(password, PasswordContext{Words: words, SecondFactor: true})), "%q beside a factor", password)
	}
}

func reasonOf(err error) string {
	if err == nil {
		return ""
	}
	return apperr.ReasonOf(err)
}
