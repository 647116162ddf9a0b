package api

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// said is what the program's source says about errors.
type said struct {
	reasons       []reasonUse
	rules, params map[string]bool

	funcs []*function
	// helpers are the functions of a package by name, closures by the function
	// they stand in: what each makes of its arguments, by position.
	helpers map[string]map[int]string
	consts  map[string]string
}

type reasonUse struct{ at, kind, reason string }

// function is one function, with the scope its closures belong to.
type function struct {
	path, pkg, scope, key string
	params                []string
	body                  *ast.BlockStmt
}

// sourceOf reads every file that is no test, ours and not generated. A reason
// or rule that goes through helpers is followed to the call that names it.
func sourceOf(t *testing.T) *said {
	t.Helper()
	s := &said{rules: map[string]bool{}, params: map[string]bool{}, helpers: map[string]map[int]string{}, consts: map[string]string{}}
	for _, dir := range []string{".", "../internal", "../activities"} {
		require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.HasPrefix(path, "gen/") {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
			require.NoError(t, err)
			s.declare(path, file)
			return nil
		}))
	}
	// Helpers call helpers: go on until nothing more is known of any.
	for known := -1; known != s.known(); {
		known = s.known()
		s.reasons = nil
		for _, f := range s.funcs {
			s.look(f)
		}
	}
	return s
}

func (s *said) known() (n int) {
	for _, roles := range s.helpers {
		n += len(roles)
	}
	return n
}

// declare notes a file's constants, functions and closures that have a name.
func (s *said) declare(path string, file *ast.File) {
	pkg := file.Name.Name
	for _, d := range file.Decls {
		switch d := d.(type) {
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				if v, ok := spec.(*ast.ValueSpec); ok && d.Tok == token.CONST && len(v.Names) == len(v.Values) {
					for i, name := range v.Names {
						s.consts[pkg+"."+name.Name] = s.literal(pkg, v.Values[i])
					}
				}
			}
		case *ast.FuncDecl:
			scope := path + ":" + d.Name.Name
			s.funcs = append(s.funcs, &function{path, pkg, scope, pkg + "." + d.Name.Name, names(d.Type), d.Body})
			ast.Inspect(d, func(n ast.Node) bool {
				if a, ok := n.(*ast.AssignStmt); ok && len(a.Lhs) == 1 && len(a.Rhs) == 1 {
					name, named := a.Lhs[0].(*ast.Ident)
					if f, closure := a.Rhs[0].(*ast.FuncLit); named && closure {
						s.funcs = append(s.funcs, &function{path, pkg, scope, scope + "." + name.Name, names(f.Type), f.Body})
					}
				}
				return true
			})
		}
	}
}

func names(f *ast.FuncType) (out []string) {
	for _, field := range f.Params.List {
		if len(field.Names) == 0 {
			out = append(out, "_")
		}
		for _, name := range field.Names {
			out = append(out, name.Name)
		}
	}
	return out
}

func (s *said) look(f *function) {
	if f.body == nil {
		return
	}
	ast.Inspect(f.body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallExpr:
			s.call(f, n)
		case *ast.AssignStmt:
			for i, left := range n.Lhs {
				if sel, ok := left.(*ast.SelectorExpr); ok && sel.Sel.Name == "Reason" && len(n.Rhs) == len(n.Lhs) {
					s.take(f, "reason:", n.Rhs[i])
				}
			}
		case *ast.KeyValueExpr:
			if key, ok := n.Key.(*ast.Ident); ok && key.Name == "Rule" {
				s.take(f, "rule", n.Value)
			}
		}
		return true
	})
}

func (s *said) call(f *function, c *ast.CallExpr) {
	name, qualified := calledName(c.Fun)
	if !qualified {
		name = f.pkg + "." + name
	}
	switch _, method, _ := strings.Cut(name, "."); {
	case (name == "apperr.New" || name == "apperr.Newf") && len(c.Args) >= 3:
		kind := ""
		switch k := c.Args[0].(type) {
		case *ast.SelectorExpr:
			kind = k.Sel.Name
		case *ast.Ident: // in package apperr itself
			if ast.IsExported(k.Name) {
				kind = k.Name
			}
		}
		s.take(f, "reason:"+kind, c.Args[1])
	case name == "apperr.InvalidField":
		s.take(f, "rule", c.Args[1])
	case method == "WithParams":
		for i := 0; i < len(c.Args); i += 2 {
			s.take(f, "param", c.Args[i])
		}
	}
	roles, closure := s.helpers[f.scope+"."+strings.TrimPrefix(name, f.pkg+".")]
	if !closure {
		roles = s.helpers[name]
	}
	if _, method, _ := strings.Cut(name, "."); roles == nil && qualified {
		roles = s.helpers[f.pkg+"."+method] // a method of the package's own
	}
	for i, role := range roles {
		if i < len(c.Args) {
			s.take(f, role, c.Args[i])
		}
	}
}

// take notes an argument of a role: a text, or a parameter of f, which makes f
// a helper.
func (s *said) take(f *function, role string, e ast.Expr) {
	if id, ok := e.(*ast.Ident); ok {
		for i, name := range f.params {
			if name == id.Name {
				if s.helpers[f.key] == nil {
					s.helpers[f.key] = map[int]string{}
				}
				s.helpers[f.key][i] = role
				return
			}
		}
	}
	text := s.literal(f.pkg, e)
	kind, isReason := strings.CutPrefix(role, "reason:")
	switch {
	case text == "":
	case isReason:
		s.reasons = append(s.reasons, reasonUse{f.path, kind, text})
	case role == "rule":
		s.rules[text] = true
	default:
		s.params[text] = true
	}
}

// calledName is "package.Function" or "variable.Method", or a bare name.
func calledName(fun ast.Expr) (name string, qualified bool) {
	switch fun := fun.(type) {
	case *ast.Ident:
		return fun.Name, false
	case *ast.SelectorExpr:
		if x, ok := fun.X.(*ast.Ident); ok {
			return x.Name + "." + fun.Sel.Name, true
		}
		return "." + fun.Sel.Name, true
	}
	return "", false
}

func (s *said) literal(pkg string, e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		if e.Kind == token.STRING {
			text, _ := strconv.Unquote(e.Value) // it has compiled
			return text
		}
	case *ast.Ident:
		return s.consts[pkg+"."+e.Name]
	}
	return ""
}
