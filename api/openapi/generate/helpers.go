package main

import (
	"fmt"
	"go/ast"
	"regexp"
	"slices"
	"strings"
)

// elsewhere are causes whose kind or status is set step by step in apperr, or
// by the REST door.
var elsewhere = []cause{
	{"VERSION_REQUIRED", "failed_precondition", 428, "version: must be the version you have read (REST: If-Match, the ETag of the answer)"},
	{"VERSION_CONFLICT", "aborted", 412, "version: it has changed meanwhile, its version is 5 now. Read it again, then repeat the change."},
}

// helper is a function that makes an error for a reason that it is given.
type helper struct {
	kind ast.Expr
	// at is where it makes the error, whose status may be overridden.
	at ast.Expr
	// reason and message are positions of parameters; message is -1 where the
	// helper has one text for all.
	reason, message int
	text            ast.Expr
}

var invalidKind ast.Expr = ast.NewIdent("Invalid")

// function notes helpers, and fields that refine apperr.InvalidField by
// assigning its reason.
func (s *scanner) function(n ast.Node) bool {
	f, ok := n.(*ast.FuncDecl)
	if !ok || f.Body == nil {
		return true
	}
	var params []string
	for _, field := range f.Type.Params.List {
		for _, name := range field.Names {
			params = append(params, name.Name)
		}
	}
	position := func(e ast.Expr) int {
		id, ok := e.(*ast.Ident)
		if !ok {
			return -1
		}
		return slices.Index(params, id.Name)
	}
	ast.Inspect(f.Body, func(n ast.Node) bool {
		switch v := n.(type) {
		case *ast.CallExpr:
			if (selects(v.Fun, "New") || selects(v.Fun, "Newf")) && len(v.Args) >= 3 && position(v.Args[1]) >= 0 {
				s.helpers[f.Name.Name] = helper{v.Args[0], v, position(v.Args[1]), position(v.Args[2]), v.Args[2]}
			}
		case *ast.AssignStmt:
			s.assigned(f, v, position)
		}
		return true
	})
	return true
}

func (s *scanner) assigned(f *ast.FuncDecl, v *ast.AssignStmt, position func(ast.Expr) int) {
	if len(v.Lhs) != 1 || len(v.Rhs) != 1 {
		return
	}
	if sel, ok := v.Lhs[0].(*ast.SelectorExpr); !ok || sel.Sel.Name != "Reason" {
		return
	}
	if i := position(v.Rhs[0]); i >= 0 {
		s.helpers[f.Name.Name] = helper{invalidKind, nil, i, -1, nil}
		return
	}
	if _, ok := s.text(v.Rhs[0]); ok {
		s.add(nil, invalidKind, v.Rhs[0], nil)
	}
}

// helped notes calls of helpers.
func (s *scanner) helped(n ast.Node) bool {
	call, ok := n.(*ast.CallExpr)
	if !ok {
		return true
	}
	name := ""
	switch f := call.Fun.(type) {
	case *ast.Ident:
		name = f.Name
	case *ast.SelectorExpr:
		name = f.Sel.Name
	}
	h, known := s.helpers[name]
	if !known || len(call.Args) <= max(h.reason, h.message) {
		return true
	}
	message := h.text
	if h.message >= 0 {
		message = call.Args[h.message]
	}
	s.add(h.at, h.kind, call.Args[h.reason], message)
	return true
}

func selects(e ast.Expr, name string) bool {
	sel, ok := e.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	return named(sel.X, "apperr") && sel.Sel.Name == name
}

func named(e ast.Expr, name string) bool {
	id, ok := e.(*ast.Ident)
	return ok && id.Name == name
}

var verb = regexp.MustCompile(`%[+#0-9.]*[a-z]`)

// fill puts something readable where a message has a verb.
func fill(format string) string {
	if strings.Contains(format, "%%") {
		format = strings.ReplaceAll(format, "%%", "percent")
	}
	return verb.ReplaceAllStringFunc(format, func(v string) string {
		switch v[len(v)-1] {
		case 'd':
			return "5"
		case 'q':
			return fmt.Sprintf("%q", "…")
		}
		return "…"
	})
}
