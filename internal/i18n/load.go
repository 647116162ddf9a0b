package i18n

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/text/feature/plural"
	"golang.org/x/text/language"
)

// message is one text of one language.
type message struct {
	// by names the parameter whose number decides between forms; empty for a
	// text of one form.
	by    string
	forms map[plural.Form][]piece
	tag   language.Tag
}

// piece is a literal, or a parameter when name is set.
type piece struct{ literal, name string }

var (
	parameter = regexp.MustCompile(`\{([a-z_]+)\}`)
	formNames = map[string]plural.Form{"zero": plural.Zero, "one": plural.One, "two": plural.Two, "few": plural.Few, "many": plural.Many, "other": plural.Other}
)

func (m message) fill(p Params) (string, bool) {
	var out strings.Builder
	for _, part := range m.forms[m.form(p)] {
		if part.name == "" {
			out.WriteString(part.literal)
			continue
		}
		v, ok := p[part.name]
		if !ok {
			return "", false
		}
		out.WriteString(v)
	}
	return out.String(), true
}

// form answers the form that the language's grammar asks for (CLDR), or Other.
func (m message) form(p Params) plural.Form {
	n, err := strconv.Atoi(p[m.by])
	if m.by == "" || err != nil || n < 0 {
		return plural.Other
	}
	f := plural.Cardinal.MatchPlural(m.tag, n, 0, 0, 0, 0)
	if _, ok := m.forms[f]; !ok {
		return plural.Other
	}
	return f
}

// parameters are the names in all forms, sorted.
func (m message) parameters() []string {
	seen := map[string]bool{}
	if m.by != "" {
		seen[m.by] = true
	}
	for _, parts := range m.forms {
		for _, part := range parts {
			if part.name != "" {
				seen[part.name] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(seen))
}

func mustLoad(from fs.FS) map[Locale]map[string]message {
	all, err := load(from)
	if err != nil {
		panic("i18n: " + err.Error()) // the files are part of the program
	}
	return all
}

// load reads every file and refuses a set with gaps.
func load(from fs.FS) (map[Locale]map[string]message, error) {
	all := map[Locale]map[string]message{}
	var errs []error
	for _, l := range Locales {
		all[l] = map[string]message{}
		for _, section := range sections {
			name := "messages/" + section + "/" + string(l) + ".json"
			text, err := fs.ReadFile(from, name)
			if err == nil {
				err = read(text, section, language.MustParse(string(l)), all[l])
			}
			if err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", name, err))
			}
		}
	}
	for _, l := range Locales[1:] {
		errs = append(errs, compare(all[English], all[l], l)...)
	}
	return all, errors.Join(append(errs, unprecise(all[English])...)...)
}

// read takes the messages of a file, key by key: encoding/json would let a
// second message of one key win silently.
func read(text []byte, section string, tag language.Tag, into map[string]message) error {
	d := json.NewDecoder(strings.NewReader(string(text)))
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return errors.New("not a JSON object")
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return err
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return fmt.Errorf("%v: %w", key, err)
		}
		id := fmt.Sprintf("%s.%v", section, key)
		if _, twice := into[id]; twice {
			return fmt.Errorf("%s: given twice", id)
		}
		if into[id], err = parse(value, tag); err != nil {
			return fmt.Errorf("%s: %w", id, err)
		}
	}
	if end, err := d.Token(); err != nil || end != json.Delim('}') {
		return errors.New("not a whole JSON object")
	}
	return nil
}

// parse reads "text" or {"by": parameter, "one": text, …, "other": text}.
func parse(value json.RawMessage, tag language.Tag) (message, error) {
	m := message{tag: tag, forms: map[plural.Form][]piece{}}
	var one string
	if json.Unmarshal(value, &one) == nil {
		m.forms[plural.Other] = pieces(one)
		return m, checkText(one)
	}
	var many map[string]string
	if err := json.Unmarshal(value, &many); err != nil {
		return m, errors.New("must be a text, or texts by plural form")
	}
	m.by = many["by"]
	delete(many, "by")
	for name, text := range many {
		form, ok := formNames[name]
		if !ok {
			return m, fmt.Errorf("%q is no plural form", name)
		}
		if err := checkText(text); err != nil {
			return m, err
		}
		m.forms[form] = pieces(text)
	}
	if _, ok := m.forms[plural.Other]; !ok || m.by == "" {
		return m, errors.New(`needs "by" and "other"`)
	}
	return m, nil
}

func checkText(text string) error {
	switch {
	case strings.TrimSpace(text) != text || text == "":
		return errors.New("is empty or begins or ends with space")
	case strings.ContainsAny(parameter.ReplaceAllString(text, ""), "{}<>"):
		return errors.New("is not plain text with {parameters}")
	}
	return nil
}

func pieces(text string) []piece {
	var out []piece
	at := 0
	for _, found := range parameter.FindAllStringSubmatchIndex(text, -1) {
		out = append(out, piece{literal: text[at:found[0]]}, piece{name: text[found[2]:found[3]]})
		at = found[1]
	}
	return append(out, piece{literal: text[at:]})
}

// compare names what one language has and another lacks, parameters included.
func compare(english, other map[string]message, l Locale) (errs []error) {
	for _, id := range slices.Sorted(maps.Keys(english)) {
		m, ok := other[id]
		switch {
		case !ok:
			errs = append(errs, fmt.Errorf("%s: no message %s", l, id))
		case !slices.Equal(m.parameters(), english[id].parameters()):
			errs = append(errs, fmt.Errorf("%s: message %s has the parameters %v, in English %v", l, id, m.parameters(), english[id].parameters()))
		}
	}
	for _, id := range slices.Sorted(maps.Keys(other)) {
		if _, ok := english[id]; !ok {
			errs = append(errs, fmt.Errorf("%s: message %s is not in English", l, id))
		}
	}
	return errs
}

// unprecise finds errors' sentences that could not be said without knowing
// parameters.
func unprecise(english map[string]message) (errs []error) {
	for _, id := range slices.Sorted(maps.Keys(english)) {
		section, _, _ := strings.Cut(id, ".")
		base, isPrecise := strings.CutSuffix(id, precise)
		if section != sectionReason && section != sectionRule {
			continue
		}
		if _, ok := english[base]; !ok {
			errs = append(errs, fmt.Errorf("message %s: there is no %s", id, base))
		}
		if isPrecise == (len(english[id].parameters()) == 0) {
			errs = append(errs, fmt.Errorf("message %s: parameters belong to, and only to, %s", id, base+precise))
		}
	}
	for _, id := range []string{sectionReason + ".UNSPECIFIED", sectionReason + ".INTERNAL", sectionRule + ".other"} {
		if _, ok := english[id]; !ok {
			errs = append(errs, fmt.Errorf("no message %s", id))
		}
	}
	return errs
}
