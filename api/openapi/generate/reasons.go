package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// cause is one way in which a reason leaves the server.
type cause struct {
	reason, code string
	status       int
	message      string
}

// kinds are the two mappers of api/errors.go in one; a test of the API holds
// the document against them.
var kinds = map[string]struct {
	code   string
	status int
}{
	"Internal": {"internal", 500}, "Invalid": {"invalid_argument", 400}, "Unauthenticated": {"unauthenticated", 401},
	"Forbidden": {"permission_denied", 403}, "NotFound": {"not_found", 404}, "AlreadyExists": {"already_exists", 409},
	"Conflict": {"aborted", 409}, "Precondition": {"failed_precondition", 400}, "RateLimited": {"resource_exhausted", 429},
	"Unavailable": {"unavailable", 503},
}

// statusNames are the overrides that the code makes.
var statusNames = map[string]int{
	"StatusMethodNotAllowed": http.StatusMethodNotAllowed, "StatusPreconditionFailed": http.StatusPreconditionFailed,
	"StatusRequestEntityTooLarge": http.StatusRequestEntityTooLarge, "StatusUnsupportedMediaType": http.StatusUnsupportedMediaType,
	"StatusUnprocessableEntity": http.StatusUnprocessableEntity, "StatusPreconditionRequired": http.StatusPreconditionRequired,
	"StatusConflict": http.StatusConflict, "StatusNotAcceptable": http.StatusNotAcceptable, "StatusGone": http.StatusGone,
}

// scanner reads the causes from the code. Which kind a reason has is said at
// one place, where it is answered; a second table would drift from it.
type scanner struct {
	constants map[string]string
	// helpers are functions that take the reason as a parameter.
	helpers  map[string]helper
	statuses map[ast.Expr]int
	found    map[string][]cause
}

func scanReasons(root string) (map[string][]cause, error) {
	s := &scanner{constants: map[string]string{}, helpers: map[string]helper{}, statuses: map[ast.Expr]int{}, found: map[string][]cause{}}
	var files []*ast.File
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, path) // both are below root
		top, _, _ := strings.Cut(rel, string(filepath.Separator))
		if d.IsDir() && rel != "." && (!slices.Contains([]string{"api", "internal"}, top) || rel == filepath.Join("api", "gen") || rel == filepath.Join("api", "pages")) {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		source, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, source, parser.SkipObjectResolution)
		files = append(files, file)
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		ast.Inspect(f, s.constant)
	}
	for _, f := range files {
		ast.Inspect(f, s.override)
	}
	for _, f := range files {
		ast.Inspect(f, s.call)
		ast.Inspect(f, s.literal)
		ast.Inspect(f, s.function)
	}
	for _, f := range files {
		ast.Inspect(f, s.helped)
	}
	for _, c := range elsewhere {
		s.found[c.reason] = []cause{c}
	}
	for reason := range s.found {
		slices.SortStableFunc(s.found[reason], func(a, b cause) int { return a.status - b.status })
	}
	return s.found, nil
}

// constant notes the strings that have a name.
func (s *scanner) constant(n ast.Node) bool {
	spec, ok := n.(*ast.ValueSpec)
	if !ok || len(spec.Values) != len(spec.Names) {
		return true
	}
	for i, name := range spec.Names {
		if text, ok := s.text(spec.Values[i]); ok {
			s.constants[name.Name] = text
		}
	}
	return true
}

// override notes apperr.New(…).WithStatus(http.StatusX) for the inner call.
func (s *scanner) override(n ast.Node) bool {
	call, ok := n.(*ast.CallExpr)
	if !ok {
		return true
	}
	outer, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || outer.Sel.Name != "WithStatus" || len(call.Args) != 1 {
		return true
	}
	status := statusOf(call.Args[0])
	if status == 0 {
		return true
	}
	inner := outer.X
	for {
		s.statuses[inner] = status
		c, isCall := inner.(*ast.CallExpr)
		if !isCall {
			return true
		}
		sel, isSel := c.Fun.(*ast.SelectorExpr)
		if !isSel {
			return true
		}
		inner = sel.X
	}
}

func statusOf(e ast.Expr) int {
	switch v := e.(type) {
	case *ast.SelectorExpr:
		return statusNames[v.Sel.Name]
	case *ast.BasicLit:
		n, _ := strconv.Atoi(v.Value) // 0 for what is no number
		return n
	}
	return 0
}

// call notes apperr.New and apperr.Newf.
func (s *scanner) call(n ast.Node) bool {
	call, ok := n.(*ast.CallExpr)
	if !ok || len(call.Args) < 3 || (!selects(call.Fun, "New") && !selects(call.Fun, "Newf")) {
		return true
	}
	s.add(call, call.Args[0], call.Args[1], call.Args[2])
	return true
}

// literal notes apperr.Error{Kind: …, Reason: …, Message: …}.
func (s *scanner) literal(n ast.Node) bool {
	lit, ok := n.(*ast.CompositeLit)
	if !ok || (!selects(lit.Type, "Error") && !named(lit.Type, "Error")) {
		return true
	}
	fields := map[string]ast.Expr{}
	for _, e := range lit.Elts {
		if kv, ok := e.(*ast.KeyValueExpr); ok {
			if key, ok := kv.Key.(*ast.Ident); ok {
				fields[key.Name] = kv.Value
			}
		}
	}
	if fields["Kind"] != nil && fields["Reason"] != nil {
		s.add(lit, fields["Kind"], fields["Reason"], fields["Message"])
	}
	return true
}

func (s *scanner) add(at, kindExpr, reasonExpr, messageExpr ast.Expr) {
	kindName := ""
	switch k := kindExpr.(type) {
	case *ast.SelectorExpr:
		kindName = k.Sel.Name
	case *ast.Ident:
		kindName = k.Name
	}
	kind, known := kinds[kindName]
	reason, isText := s.text(reasonExpr)
	if !known || !isText {
		return
	}
	c := cause{reason: reason, code: kind.code, status: kind.status}
	if status := s.statuses[at]; status != 0 {
		c.status = status
	}
	if message, ok := s.text(messageExpr); ok {
		c.message = fill(message)
	}
	i := slices.IndexFunc(s.found[reason], func(b cause) bool { return b.status == c.status && b.code == c.code })
	switch {
	case i < 0:
		s.found[reason] = append(s.found[reason], c)
	case s.found[reason][i].message == "":
		s.found[reason][i] = c
	}
}

// text is the value of a string that the source spells out or names.
func (s *scanner) text(e ast.Expr) (string, bool) {
	switch v := e.(type) {
	case *ast.BasicLit:
		text, err := strconv.Unquote(v.Value)
		return text, err == nil && v.Kind == token.STRING
	case *ast.Ident:
		text, ok := s.constants[v.Name]
		return text, ok
	case *ast.SelectorExpr:
		text, ok := s.constants[v.Sel.Name]
		return text, ok
	case *ast.CallExpr: // fmt.Sprintf
		if len(v.Args) > 0 {
			return s.text(v.Args[0])
		}
	case *ast.BinaryExpr:
		a, ok1 := s.text(v.X)
		b, ok2 := s.text(v.Y)
		return a + b, ok1 && ok2
	}
	return "", false
}
