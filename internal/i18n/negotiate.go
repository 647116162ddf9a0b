package i18n

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/text/language"
)

const (
	// maxHeader and maxWishes bound what is looked at of Accept-Language.
	maxHeader = 512
	maxWishes = 16
)

var matcher = language.NewMatcher(tags())

func tags() []language.Tag {
	out := make([]language.Tag, len(Locales))
	for i, l := range Locales {
		out[i] = language.MustParse(string(l))
	}
	return out
}

type wish struct {
	tag language.Tag
	q   float64
}

// Negotiate answers the language for an Accept-Language header (RFC 9110,
// 12.5.4): the best of ours for what is wished most. It answers false, with
// English, when nothing is wished that we speak, which "*" does not change.
// Parts that cannot be read are passed over.
func Negotiate(header string) (Locale, bool) {
	if header == "" || len(header) > maxHeader {
		return English, false
	}
	var wished []wish
	refused := map[Locale]bool{}
	for _, part := range strings.SplitN(header, ",", maxWishes+1) {
		name, weight, _ := strings.Cut(part, ";")
		q, ok := quality(weight)
		tag, err := language.Parse(strings.TrimSpace(name))
		if !ok || err != nil || tag == language.Und {
			continue
		}
		if q == 0 {
			// Only the very language is refused: "de-AT;q=0" leaves "de".
			refused[Locale(tag.String())] = true
			continue
		}
		wished = append(wished, wish{tag, q})
	}
	slices.SortStableFunc(wished, func(a, b wish) int { return cmp.Compare(b.q, a.q) })
	for _, w := range wished {
		if l, ok := match(w.tag); ok && !refused[l] {
			return l, true
		}
	}
	return English, false
}

// Best answers the language for a stored BCP 47 tag, English when we do not
// speak it.
func Best(tag string) Locale {
	t, err := language.Parse(tag)
	if err != nil {
		return English
	}
	l, _ := match(t)
	return l
}

func match(tag language.Tag) (Locale, bool) {
	_, i, confidence := matcher.Match(tag)
	if confidence == language.No {
		return English, false
	}
	return Locales[i], true
}

// quality reads "q=0.8" (RFC 9110, 12.4.2), 1 when absent.
func quality(weight string) (float64, bool) {
	weight = strings.TrimSpace(weight)
	if weight == "" {
		return 1, true
	}
	name, number, ok := strings.Cut(weight, "=")
	if !ok || !strings.EqualFold(strings.TrimSpace(name), "q") || len(number) > 5 {
		return 0, false
	}
	q, err := strconv.ParseFloat(number, 64)
	return q, err == nil && q >= 0 && q <= 1
}
