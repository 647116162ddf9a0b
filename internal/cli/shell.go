package cli

import "strings"

// quote writes s so that a POSIX shell reads it back as one word. NUL cannot
// stand in an argument; callers refuse it before.
func quote(s string) string {
	if s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:@%+,") == "" {
		return s
	}
	return alwaysQuote(s)
}

// alwaysQuote quotes also what need not be.
func alwaysQuote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
