package rsql

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestParse_AndBindsTighterThanOr(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"a==1;b==2,c==3":          "(a==1 AND b==2) OR c==3",
		"a==1,b==2;c==3":          "a==1 OR (b==2 AND c==3)",
		"(a==1,b==2);c==3":        "(a==1 OR b==2) AND c==3",
		"((a==1));((b==2;c==3))":  "a==1 AND b==2 AND c==3",
		"a==1,(b==2,(c==3,d==4))": "a==1 OR b==2 OR c==3 OR d==4",
	} {
		n, err := Parse(text)
		require.NoError(t, err, text)
		require.Equal(t, want, tree(n), text)
	}
}

// tree writes a filter with every parenthesis.
func tree(n Node) string {
	part := func(of []Node, word string) string {
		var out []string
		for _, p := range of {
			if _, leaf := p.(*Comparison); leaf {
				out = append(out, tree(p))
			} else {
				out = append(out, "("+tree(p)+")")
			}
		}
		return strings.Join(out, word)
	}
	switch n := n.(type) {
	case *And:
		return part(n.Of, " AND ")
	case *Or:
		return part(n.Of, " OR ")
	}
	return n.String()
}

func TestParse_ReadsEveryOperatorAndValue(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][][]string{
		"a==x":               {{"x"}},
		"a!=x*":              {{"x", ""}},
		"a==*x*y":            {{"", "x", "y"}},
		`a=='it\'s'`:         {{"it's"}},
		`a=="50\* (of); x"`:  {{"50* (of); x"}},
		`a=='\\'`:            {{`\`}},
		"a==''":              {{""}},
		"a=gt=-5":            {{"-5"}},
		"a=ge=2026-01-02":    {{"2026-01-02"}},
		"a=lt=10:00+01":      {{"10:00+01"}},
		"a=le=jo@x.example":  {{"jo@x.example"}},
		"a=in=(1)":           {{"1"}},
		"a=out=(x,'y, z',w)": {{"x"}, {"y, z"}, {"w"}},
		"a=null=true":        {{"true"}},
		"a==größe":           {{"größe"}},
	} {
		n, err := Parse(text)
		require.NoError(t, err, text)
		var got [][]string
		for _, v := range n.(*Comparison).Values {
			got = append(got, v.Parts)
		}
		require.Equal(t, want, got, text)
	}
}

func TestParse_RefusesWithPositionAndWhatIsAllowed(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                 "at character 1: expected a field's name",
		"a":                "at character 2: expected an operator; allowed: == !=",
		"a=1":              "at character 2: expected an operator",
		"a=like=1":         "at character 2: expected an operator",
		"a>1":              "at character 2: expected an operator",
		"a==":              "at character 4: expected a value",
		"a==1;":            "at character 6: expected a field's name",
		"a==1 ; b==2":      "at character 5: unexpected ' '",
		"a==x y":           "at character 5: unexpected ' '",
		"1a==1":            "at character 1: expected a field's name",
		"a.b==1":           "at character 2: expected an operator",
		"(a==1":            "at character 6: a parenthesis is not closed",
		"a==1)":            "at character 5: unexpected ')'",
		"a=='x":            "at character 4: the quote is not closed",
		`a=='x\`:           "at character 4: the quote is not closed",
		`a==x\*`:           "at character 5: unexpected '\\\\'",
		"a=in=x":           "at character 6: expected ( and a list",
		"a=in=()":          "at character 7: expected a value",
		"a=in=(x":          "at character 8: the list is not closed",
		"a=gt=x*":          "at character 6: wildcards are allowed in == and != only",
		"a=in=(x*)":        "at character 7: wildcards",
		"a==******":        "at character 4: too many wildcards; allowed: 5",
		"a==x\x00":         "at character 5: U+0000 is not allowed",
		"ä==1":             "at character 1: expected a field's name",
		"a=='\u202e'":      "at character 5: U+202E is not allowed",
		"a==\u2066x":       "at character 4: U+2066 is not allowed",
		"a==x\n":           "at character 5: U+000A is not allowed",
		"a==\xff":          "at character 4: is not UTF-8",
		"a==x\u00a0y":      "at character 5: unexpected",
		"a==1'; DROP --":   "at character 5: unexpected '\\''",
		"a=='1' OR '1'='1": "at character 7: unexpected ' '",
	} {
		_, err := Parse(text)
		var e *Error
		require.ErrorAs(t, err, &e, text)
		require.Contains(t, e.Error(), want, text)
	}
}

func TestParse_IsBounded(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ good, bad, says string }{
		"nodes":  {list("a==1", 100), list("a==1", 101), "too many parts; allowed: 100"},
		"values": {"a=in=(" + strings.Repeat("1,", 99) + "1)", "a=in=(" + strings.Repeat("1,", 100) + "1)", "too many parts"},
		"depth":  {nested(16), nested(17), "nested too deeply; allowed: 16"},
		"length": {"a==" + strings.Repeat("x", MaxLength-3), "a==" + strings.Repeat("x", MaxLength-2), "allowed: 4096"},
		"10^4":   {"a==1", list("a==1", 10_000), "allowed: 4096"},
	} {
		_, err := Parse(c.good)
		require.NoError(t, err, name)
		_, err = Parse(c.bad)
		require.ErrorContains(t, err, c.says, name)
	}
}

func list(one string, n int) string { return one + strings.Repeat(","+one, n-1) }

func nested(depth int) string {
	return strings.Repeat("(", depth) + "a==1" + strings.Repeat(")", depth)
}

// drawFilter draws the tree that a parser answers, no other.
func drawFilter(t *rapid.T) Node { return drawNode(t, 3, "") }

func drawNode(t *rapid.T, depth int, parent string) Node {
	kinds := []string{"comparison"}
	if depth > 0 {
		for _, k := range []string{"and", "or"} {
			if k != parent {
				kinds = append(kinds, k)
			}
		}
	}
	switch kind := rapid.SampledFrom(kinds).Draw(t, "kind"); kind {
	case "and", "or":
		var of []Node
		for range rapid.IntRange(2, 3).Draw(t, "parts") {
			of = append(of, drawNode(t, depth-1, kind))
		}
		if kind == "and" {
			return &And{of}
		}
		return &Or{of}
	}
	c := &Comparison{Field: rapid.StringMatching(`[a-zA-Z][a-zA-Z0-9_]{0,5}`).Draw(t, "field"), Op: rapid.SampledFrom(Ops).Draw(t, "op")}
	values, wildcards := 1, 0
	switch c.Op {
	case In, Out:
		values = rapid.IntRange(1, 3).Draw(t, "values")
	case Equal, NotEqual:
		wildcards = rapid.IntRange(0, 2).Draw(t, "wildcards")
	}
	text := rapid.OneOf(rapid.SampledFrom([]string{"", "a", `\`, "'", `"`, "*", "a b", "(;,)", "ö", "=="}), rapid.StringMatching(`[ -~]{0,6}`))
	for range values {
		var v Value
		for range wildcards + 1 {
			v.Parts = append(v.Parts, text.Draw(t, "text"))
		}
		c.Values = append(c.Values, v)
	}
	return c
}

// forget drops positions, which a drawn filter does not have.
func forget(n Node) {
	Walk(n, func(c *Comparison) {
		c.At = 0
		for i := range c.Values {
			c.Values[i].At = 0
		}
	})
}

func TestParse_ReadsBackWhatAFilterPrints(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		want := drawFilter(t)
		got, err := Parse(want.String())
		if err != nil {
			t.Fatalf("%s: %v", want, err)
		}
		if forget(got); fmt.Sprintf("%#v", tree(got)) != fmt.Sprintf("%#v", tree(want)) {
			t.Fatalf("%s became %s", tree(want), tree(got))
		}
		require.Equal(t, want, got)
	})
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"name==Jo*;(age=gt=5,age=null=true)", `a=in=("x",'y\'',z);b!='*\**'`, "((((a==1))))", "a=='", "a==\x00", "a==\u202e", "a=out=(", ",", "a==1;;b==2",
		strings.Repeat("(", 40), list("a==1", 101), "a==" + strings.Repeat("*", 9), "\xff\xfe",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		n, err := Parse(text)
		if err != nil {
			var e *Error
			require.True(t, errors.As(err, &e))
			require.NotEmpty(t, e.Message)
			require.True(t, utf8.ValidString(e.Error()))
			require.LessOrEqual(t, len(e.Error()), 200, "an answer is bounded, whatever was sent")
			require.LessOrEqual(t, e.At, utf8.RuneCountInString(text)+1)
			return
		}
		// Canonical text may be longer than what was read, by its quotes.
		again, err := Parse(n.String())
		if err != nil {
			require.Contains(t, err.Error(), "bytes long", text)
			return
		}
		require.Equal(t, n.String(), again.String())
		forget(n)
		forget(again)
		require.Equal(t, n, again)
	})
}
