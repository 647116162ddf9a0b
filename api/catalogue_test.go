package api

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"buf.build/go/protovalidate"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/reflect/protoreflect"

	commonv1 "tenantry/api/gen/tenantry/common/v1"
	"tenantry/internal/apperr"
	"tenantry/internal/i18n"
)

// Every reason that the program's calls say is in the enum, and each of the
// enum has one kind, the one that the calls give it. The test reads the calls,
// so a new one cannot be forgotten.
func TestCatalogue_EveryReasonIsOfOneKind(t *testing.T) {
	t.Parallel()
	for value, name := range commonv1.Reason_name {
		_, ok := catalogue[commonv1.Reason(value)]
		require.Equal(t, value != 0, ok, "%s: the enum and api/catalogue.go differ", name)
	}
	for r, e := range catalogue {
		require.Contains(t, commonv1.Reason_name, int32(r))
		require.Contains(t, apperr.Kinds, e.Kind)
	}
	said := sourceOf(t)
	require.Greater(t, len(said.reasons), 40)
	for _, use := range said.reasons {
		value, ok := commonv1.Reason_value["REASON_"+use.reason]
		require.True(t, ok, "%s: reason %s is not in tenantry.common.v1.Reason", use.at, use.reason)
		if use.kind != "" {
			require.Equal(t, catalogue[commonv1.Reason(value)].Kind, kindCalled(t, use.kind), "%s: reason %s has another kind in api/catalogue.go", use.at, use.reason)
		}
	}
}

func TestCatalogue_EveryReasonIsSaidInEveryLanguage(t *testing.T) {
	t.Parallel()
	var want []string
	for _, name := range commonv1.Reason_name {
		want = append(want, strings.TrimPrefix(name, "REASON_"))
	}
	slices.Sort(want)
	// That the languages agree, i18n has seen to when the program started.
	requireSame(t, want, impreciseIDs(i18n.IDs("reason")), "internal/i18n/messages/reason/*.json, and the enum")
}

func TestCatalogue_EveryRuleIsSaidInEveryLanguage(t *testing.T) {
	t.Parallel()
	want := map[string]bool{"other": true}
	for rule := range sourceOf(t).rules {
		want[i18n.RuleKey(rule)] = true
	}
	for rule := range schemaRules(t) {
		want[i18n.RuleKey(rule)] = true
	}
	require.Greater(t, len(want), 25)
	requireSame(t, slices.Sorted(maps.Keys(want)), impreciseIDs(i18n.IDs("rule")), "internal/i18n/messages/rule/*.json, and the rules of the protos and the program")
}

// Precise sentences are said only where somebody gives their parameters.
func TestCatalogue_PreciseSentencesAreReachable(t *testing.T) {
	t.Parallel()
	params := sourceOf(t).params
	for rule := range schemaRules(t) {
		for _, name := range strings.FieldsFunc(rule, func(r rune) bool { return r == '.' }) {
			params[name] = true
			for _, bound := range strings.Split(name, "_") { // gte_lte
				params[bound] = true
			}
		}
	}
	for _, section := range []string{"reason", "rule"} {
		for _, id := range i18n.IDs(section) {
			if !strings.HasSuffix(id, ".precise") {
				continue
			}
			p := i18n.Params{}
			for name := range params {
				p[name] = "7"
			}
			_, ok := i18n.Text(i18n.English, section+"."+id, p)
			require.True(t, ok, "%s.%s: no call gives what it names", section, id)
		}
	}
}

func TestCatalogue_EveryTextOfThePagesIsUsed(t *testing.T) {
	t.Parallel()
	quoted, used := regexp.MustCompile(`"([a-z_]+(?:\.[a-z_]+)?)"`), map[string]bool{}
	for _, path := range []string{"pages/pages.go", "pages/kinds.go", "pages/page.html"} {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		for _, found := range quoted.FindAllStringSubmatch(string(text), -1) {
			used[found[1]] = true
		}
	}
	for _, id := range i18n.IDs("page") {
		require.True(t, used[id], "page.%s is not used", id)
	}
}

// The page is what make generate writes.
func TestCatalogue_ThePageExplainsEveryReason(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("proto/tenantry/common/v1/reason.proto")
	require.NoError(t, err)
	page, err := CataloguePage(string(source))
	require.NoError(t, err)
	committed, err := os.ReadFile("../docs/generated/errors.md")
	require.NoError(t, err)
	require.True(t, string(committed) == page, "docs/generated/errors.md is not up to date: run make generate")
	for r := range catalogue {
		require.Equal(t, 1, strings.Count(page, `<a id="`+reasonName(r)+`">`), r)
	}
	_, err = CataloguePage(strings.Replace(string(source), "  // Choose another.", "", 1))
	require.NoError(t, err)
	bare := regexp.MustCompile(`(?m)^  //.*\n`).ReplaceAllString(string(source), "")
	_, err = CataloguePage(bare)
	require.Error(t, err, "a reason without a comment")
}

// requireSame names what is missing and what is left over.
func requireSame(t *testing.T, want, have []string, what string) {
	t.Helper()
	without := func(a, b []string) []string {
		return slices.DeleteFunc(slices.Clone(a), func(s string) bool { return slices.Contains(b, s) })
	}
	require.Empty(t, without(want, have), "not translated: %s", what)
	require.Empty(t, without(have, want), "left over: %s", what)
}

// impreciseIDs drops the precise forms.
func impreciseIDs(ids []string) []string {
	return slices.DeleteFunc(ids, func(id string) bool { return strings.HasSuffix(id, ".precise") })
}

func kindCalled(t *testing.T, name string) apperr.Kind {
	t.Helper()
	for _, k := range apperr.Kinds {
		if strings.ReplaceAll(k.String(), "_", "") == strings.ToLower(name) {
			return k
		}
	}
	require.Fail(t, "no such kind", name)
	return apperr.Internal
}

// schemaRules is every rule id that a request of our protos can break.
func schemaRules(t *testing.T) map[string]bool {
	t.Helper()
	out, seen := map[string]bool{}, map[protoreflect.FullName]bool{}
	eachMethod(func(m protoreflect.MethodDescriptor) { messageRules(t, m.Input(), out, seen) })
	return out
}

func messageRules(t *testing.T, d protoreflect.MessageDescriptor, out map[string]bool, seen map[protoreflect.FullName]bool) {
	t.Helper()
	if seen[d.FullName()] || strings.HasPrefix(string(d.FullName()), "google.") {
		return
	}
	seen[d.FullName()] = true
	whole, err := protovalidate.ResolveMessageRules(d)
	require.NoError(t, err)
	for _, rule := range whole.GetCel() {
		out[rule.GetId()] = true
	}
	require.Empty(t, whole.GetOneof(), "%s: rules over oneofs are not looked at yet", d.FullName())
	for i := range d.Fields().Len() {
		f := d.Fields().Get(i)
		rules, err := protovalidate.ResolveFieldRules(f)
		require.NoError(t, err)
		fieldRules(t, rules, out)
		if f.Message() != nil {
			messageRules(t, f.Message(), out, seen)
		}
	}
}

func fieldRules(t *testing.T, rules *validate.FieldRules, out map[string]bool) {
	t.Helper()
	if rules.GetRequired() {
		out["required"] = true
	}
	for _, rule := range rules.GetCel() {
		out[rule.GetId()] = true
	}
	typed := rules.ProtoReflect()
	if which := typed.WhichOneof(typed.Descriptor().Oneofs().ByName("type")); which != nil {
		set := typed.Get(which).Message()
		set.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
			predefinedRules(t, set, f, out)
			switch nested := v.Interface().(type) { // repeated.items, map.keys, map.values
			case protoreflect.Message:
				if inner, ok := nested.Interface().(*validate.FieldRules); ok {
					fieldRules(t, inner, out)
				}
			}
			return true
		})
	}
}

// predefinedRules are the ids that validate.proto gives the rule of a field.
// Bounds are named together: {gte, lte} can break "gte_lte" and nothing else.
func predefinedRules(t *testing.T, set protoreflect.Message, f protoreflect.FieldDescriptor, out map[string]bool) {
	t.Helper()
	if string(f.Name()) == "defined_only" {
		out["enum.defined_only"] = true
		return
	}
	rules, err := protovalidate.ResolvePredefinedRules(f)
	require.NoError(t, err)
	bounds := map[string]bool{}
	for _, name := range []protoreflect.Name{"gt", "gte", "lt", "lte"} {
		if b := set.Descriptor().Fields().ByName(name); b != nil && set.Has(b) {
			bounds[string(name)] = true
		}
	}
	for _, rule := range rules.GetCel() {
		_, suffix, _ := strings.Cut(rule.GetId(), ".")
		parts := strings.Split(suffix, "_")
		if !bounds[parts[0]] || parts[0] == "" {
			out[rule.GetId()] = true
			continue
		}
		// No schema of ours turns its bounds around ("…_exclusive").
		if len(parts) == len(bounds) && (len(parts) == 1 || bounds[parts[1]]) {
			out[rule.GetId()] = true
		}
	}
}
