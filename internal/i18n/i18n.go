// Package i18n is what the product says to people, in six languages: a
// sentence for every reason of the error catalogue and every validation rule,
// and the texts of mails and pages.
//
// The messages are embedded. A program whose files lack a message in one
// language, or name other parameters there, does not start; that no message
// is missing or left over for what the product uses is tested where it is
// used (api, mail, pages).
package i18n

import (
	"embed"
	"maps"
	"slices"
	"strings"

	"tenantry/internal/apperr"
)

// Locale is one of the languages, as a BCP 47 tag.
type Locale string

// The languages.
const (
	English    Locale = "en"
	German     Locale = "de"
	French     Locale = "fr"
	Spanish    Locale = "es"
	Portuguese Locale = "pt-BR"
	Japanese   Locale = "ja"
)

// Locales is every language; the first is the one without a choice.
var Locales = []Locale{English, German, French, Spanish, Portuguese, Japanese}

// The sections of the catalogue, a folder each; an id is "section.key".
const (
	sectionReason = "reason"
	sectionRule   = "rule"
	sectionMail   = "mail"
	sectionPage   = "page"
)

var sections = []string{sectionReason, sectionRule, sectionMail, sectionPage}

// precise is the suffix of a sentence that names parameters. It is said when
// all of them are known; the one without the suffix needs none.
const precise = ".precise"

//go:embed messages
var files embed.FS

// catalogue is complete or the program does not start.
var catalogue = mustLoad(files)

// Params are what a sentence names: a limit, allowed values, a field.
type Params = map[string]string

// Text answers a message; false when there is none of this id, or a parameter
// of it is missing.
func Text(l Locale, id string, p Params) (string, bool) {
	m, ok := catalogue[l][id]
	if !ok {
		return "", false
	}
	return m.fill(p)
}

// Reason answers the sentence of a reason of the error catalogue.
func Reason(l Locale, reason string, p Params) string {
	return first(l, p, sectionReason+"."+reason, sectionReason+".UNSPECIFIED")
}

// Rule answers the sentence of a validation rule.
func Rule(l Locale, rule string, p Params) string {
	return first(l, p, sectionRule+"."+numeric(rule), sectionRule+".other")
}

// Page and Mail answer a text of a page or a mail. They panic where there is
// none: each one that is asked for is there, as the callers' tests say.
func (l Locale) Page(key string, p Params) string { return mustText(l, sectionPage+"."+key, p) }

// Mail is Page for mails.
func (l Locale) Mail(key string, p Params) string { return mustText(l, sectionMail+"."+key, p) }

func mustText(l Locale, id string, p Params) string {
	text, ok := Text(l, id, p)
	if !ok {
		panic("i18n: no text " + id + " in " + string(l) + ", or a parameter of it is missing")
	}
	return text
}

// Reason is what people read about an error.
func (l Locale) Reason(e *apperr.Error) string { return Reason(l, e.Reason, e.Params) }

// Field is what people read about one field of it.
func (l Locale) Field(e *apperr.Error, f apperr.Field) string {
	params := Params{}
	maps.Copy(params, e.Params)
	maps.Copy(params, f.Params)
	return Rule(l, f.Rule, params)
}

// first answers the most precise sentence there is.
func first(l Locale, p Params, id, otherwise string) string {
	for _, candidate := range []string{id + precise, id} {
		if text, ok := Text(l, candidate, p); ok {
			return text
		}
	}
	text, _ := Text(l, otherwise, nil) // loaded, and without parameters
	return text
}

// numeric gives the rules of all number types one sentence: "int32.gte" and
// "double.gte" are "number.gte".
func numeric(rule string) string {
	kind, rest, _ := strings.Cut(rule, ".")
	switch kind {
	case "int32", "int64", "uint32", "uint64", "sint32", "sint64", "fixed32", "fixed64", "sfixed32", "sfixed64", "float", "double":
		return "number." + rest
	}
	return rule
}

// IDs lists the ids of a section ("reason", "rule", "mail", "page"), without
// the section, sorted; for the tests that look for left-overs.
func IDs(section string) []string {
	var out []string
	for id := range maps.Keys(catalogue[English]) {
		if key, ok := strings.CutPrefix(id, section+"."); ok {
			out = append(out, key)
		}
	}
	slices.Sort(out)
	return out
}

// RuleKey is the key under which a rule's sentence is kept.
func RuleKey(rule string) string { return numeric(rule) }
