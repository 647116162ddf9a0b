package rsql

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// reserved characters end a plain value.
const reserved = "\"'();,=<>!~\\ \t"

// allowedOps is what messages say about operators.
const allowedOps = "== != =gt= =ge= =lt= =le= =in= =out= =null="

// Parse reads a filter. Its errors are *Error.
func Parse(text string) (Node, error) {
	if len(text) > MaxLength {
		return nil, &Error{Message: fmt.Sprintf("is %d bytes long; allowed: %d", len(text), MaxLength)}
	}
	if err := checkCharacters(text); err != nil {
		return nil, err
	}
	p := &parser{text: []rune(text)}
	n, err := p.or(0)
	if err != nil {
		return nil, err
	}
	if !p.end() {
		return nil, p.fail("unexpected %q; allowed: ; (and), or , (or), or the end", p.peek())
	}
	return n, nil
}

// checkCharacters refuses what no filter needs and what makes one read
// otherwise than it works: control characters and those that turn the
// direction of text.
func checkCharacters(text string) error {
	at := 0
	for i, r := range text {
		at++
		if r == utf8.RuneError {
			if _, size := utf8.DecodeRuneInString(text[i:]); size == 1 {
				return &Error{At: at, Message: "is not UTF-8"}
			}
		}
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
			return &Error{At: at, Message: fmt.Sprintf("U+%04X is not allowed: a control character", r)}
		}
	}
	return nil
}

type parser struct {
	text  []rune
	pos   int
	nodes int
}

func (p *parser) end() bool { return p.pos == len(p.text) }

// peek answers the next character, 0 at the end: 0 itself is refused before.
func (p *parser) peek() rune {
	if p.end() {
		return 0
	}
	return p.text[p.pos]
}

func (p *parser) take(r rune) bool {
	if p.peek() != r {
		return false
	}
	p.pos++
	return true
}

func (p *parser) fail(format string, args ...any) error {
	return &Error{At: p.pos + 1, Message: fmt.Sprintf(format, args...)}
}

func (p *parser) count() error {
	if p.nodes++; p.nodes > MaxNodes {
		return p.fail("the filter has too many parts; allowed: %d comparisons, groups and list values", MaxNodes)
	}
	return nil
}

func (p *parser) or(depth int) (Node, error) {
	var of []Node
	for {
		n, err := p.and(depth)
		if err != nil {
			return nil, err
		}
		if inner, ok := n.(*Or); ok { // parentheses that changed nothing
			of = append(of, inner.Of...)
		} else {
			of = append(of, n)
		}
		if !p.take(',') {
			break
		}
	}
	if len(of) == 1 {
		return of[0], nil
	}
	return &Or{of}, nil
}

func (p *parser) and(depth int) (Node, error) {
	var of []Node
	for {
		n, err := p.term(depth)
		if err != nil {
			return nil, err
		}
		if inner, ok := n.(*And); ok {
			of = append(of, inner.Of...)
		} else {
			of = append(of, n)
		}
		if !p.take(';') {
			break
		}
	}
	if len(of) == 1 {
		return of[0], nil
	}
	return &And{of}, nil
}

func (p *parser) term(depth int) (Node, error) {
	if err := p.count(); err != nil {
		return nil, err
	}
	if p.peek() != '(' {
		return p.comparison()
	}
	if depth == MaxDepth {
		return nil, p.fail("parentheses are nested too deeply; allowed: %d", MaxDepth)
	}
	p.pos++
	n, err := p.or(depth + 1)
	if err != nil {
		return nil, err
	}
	if !p.take(')') {
		return nil, p.fail("a parenthesis is not closed; allowed: ), or ; and a comparison, or , and a comparison")
	}
	return n, nil
}

func (p *parser) comparison() (Node, error) {
	c := &Comparison{At: p.pos + 1}
	start := p.pos
	for letter(p.peek()) || p.pos > start && (p.peek() == '_' || digit(p.peek())) {
		p.pos++
	}
	if p.pos == start {
		return nil, p.fail("expected a field's name or (; a name is a letter followed by letters, digits and _")
	}
	c.Field = string(p.text[start:p.pos])
	op, err := p.operator()
	if err != nil {
		return nil, err
	}
	c.Op = op
	if op == In || op == Out {
		c.Values, err = p.list()
		return c, err
	}
	v, err := p.value(op == Equal || op == NotEqual)
	c.Values = []Value{v}
	return c, err
}

func letter(r rune) bool { return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' }
func digit(r rune) bool  { return r >= '0' && r <= '9' }

func (p *parser) operator() (Op, error) {
	// The longest operator has six characters.
	rest := string(p.text[p.pos:min(p.pos+6, len(p.text))])
	for _, op := range Ops {
		if strings.HasPrefix(rest, string(op)) {
			p.pos += len(op)
			return op, nil
		}
	}
	return "", p.fail("expected an operator; allowed: %s", allowedOps)
}

func (p *parser) list() ([]Value, error) {
	if !p.take('(') {
		return nil, p.fail("expected ( and a list of values, as in =in=(a,b)")
	}
	var out []Value
	for {
		if len(out) > 0 {
			if err := p.count(); err != nil {
				return nil, err
			}
		}
		v, err := p.value(false)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
		if !p.take(',') {
			break
		}
	}
	if !p.take(')') {
		return nil, p.fail("the list is not closed; allowed: ) or , and a value")
	}
	return out, nil
}

// value reads a value; wild says whether * has a meaning where it stands.
func (p *parser) value(wild bool) (Value, error) {
	v := Value{At: p.pos + 1}
	var err error
	if q := p.peek(); q == '\'' || q == '"' {
		v.Parts, err = p.quoted(q)
	} else {
		v.Parts, err = p.plain()
	}
	if err != nil {
		return v, err
	}
	if v.Wild() && !wild {
		return v, &Error{At: v.At, Message: `wildcards are allowed in == and != only; write '\*' for the character`}
	}
	if len(v.Parts) > MaxWildcards+1 {
		return v, &Error{At: v.At, Message: fmt.Sprintf("too many wildcards; allowed: %d in a value", MaxWildcards)}
	}
	return v, nil
}

func (p *parser) plain() ([]string, error) {
	start := p.pos
	for !p.end() && !strings.ContainsRune(reserved, p.peek()) && !unicode.IsSpace(p.peek()) {
		p.pos++
	}
	if p.pos == start {
		return nil, p.fail(`expected a value; quote one that is empty or holds a space or any of "'();,=<>!~\`)
	}
	return strings.Split(string(p.text[start:p.pos]), "*"), nil
}

func (p *parser) quoted(quote rune) ([]string, error) {
	opened := p.pos + 1
	p.pos++
	var parts []string
	var part strings.Builder
	for !p.end() {
		r := p.text[p.pos]
		p.pos++
		switch r {
		case quote:
			return append(parts, part.String()), nil
		case '*':
			parts = append(parts, part.String())
			part.Reset()
		case '\\':
			if p.end() {
				continue
			}
			part.WriteRune(p.text[p.pos])
			p.pos++
		default:
			part.WriteRune(r)
		}
	}
	return nil, &Error{At: opened, Message: "the quote is not closed"}
}
