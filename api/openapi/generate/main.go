// Command generate writes the OpenAPI 3.1 document from a compiled schema:
//
//	buf build -o - | go run ./api/openapi/generate > openapi.json
//
// Paths come from google.api.http, limits from the protovalidate rules, access
// and errors from the policies, text from the comments; nothing is said twice.
// A rule, a credential or a reason that it does not know ends it with a
// message that says where to teach it, so nothing is left out in silence.
package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"buf.build/go/protovalidate"
	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	commonv1 "tenantry/api/gen/tenantry/common/v1"
)

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "openapi:", err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer) error {
	image, err := io.ReadAll(in)
	if err != nil {
		return err
	}
	g, err := load(image)
	if err != nil {
		return err
	}
	doc, err := indent(g.document())
	if err := errors.Join(append(g.errs, err)...); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(g.unused)) {
		fmt.Fprintf(os.Stderr, "openapi: no code answers the reason %s; it is left out\n", name)
	}
	_, err = out.Write(doc)
	return err
}

// generator holds the schema and what was found on the way.
type generator struct {
	services []protoreflect.ServiceDescriptor
	calls    []call
	// names are the components' names of messages.
	names map[protoreflect.FullName]string
	// requests and responses are the messages that each side can hold.
	requests, responses map[protoreflect.FullName]bool
	// partial are the items of lists that show only what is asked for.
	partial   map[protoreflect.FullName]bool
	reasons   map[string]protoreflect.EnumValueDescriptor
	validator protovalidate.Validator
	// causes are the ways in which each reason is answered; used are those that
	// a call may answer.
	causes map[string][]cause
	used   map[cause]bool
	// unused are reasons that a policy names and no code answers.
	unused map[string]bool
	errs   []error
}

// call is an RPC with its REST path.
type call struct {
	desc   protoreflect.MethodDescriptor
	policy *commonv1.Policy
	verb   string
	path   string
	body   bool
}

func load(image []byte) (*generator, error) {
	var set descriptorpb.FileDescriptorSet
	if err := proto.Unmarshal(image, &set); err != nil {
		return nil, err
	}
	// Options of the image are resolved against the generated packages that
	// this command imports.
	files, err := protodesc.NewFiles(&set)
	if err != nil {
		return nil, err
	}
	g := &generator{
		names: map[protoreflect.FullName]string{}, reasons: map[string]protoreflect.EnumValueDescriptor{},
		requests: map[protoreflect.FullName]bool{}, responses: map[protoreflect.FullName]bool{},
		used: map[cause]bool{}, partial: map[protoreflect.FullName]bool{}, unused: map[string]bool{},
	}
	if g.causes, err = scanReasons("."); err != nil {
		return nil, err
	}
	if g.validator, err = protovalidate.New(); err != nil {
		return nil, err
	}
	files.RangeFiles(func(f protoreflect.FileDescriptor) bool {
		for i := range f.Services().Len() {
			if strings.HasPrefix(string(f.Package()), "tenantry.") {
				g.services = append(g.services, f.Services().Get(i))
			}
		}
		for i := range f.Enums().Len() {
			g.addReasons(f.Enums().Get(i))
		}
		return true
	})
	slices.SortFunc(g.services, func(a, b protoreflect.ServiceDescriptor) int {
		return strings.Compare(string(a.FullName()), string(b.FullName()))
	})
	for _, s := range g.services {
		for i := range s.Methods().Len() {
			if err := g.addCall(s.Methods().Get(i)); err != nil {
				return nil, err
			}
		}
	}
	g.nameMessages()
	return g, nil
}

func (g *generator) addReasons(e protoreflect.EnumDescriptor) {
	if e.FullName() != "tenantry.common.v1.Reason" {
		return
	}
	for i := range e.Values().Len() {
		if v := e.Values().Get(i); v.Number() != 0 {
			g.reasons[strings.TrimPrefix(string(v.Name()), "REASON_")] = v
		}
	}
}

func (g *generator) addCall(m protoreflect.MethodDescriptor) error {
	policy, _ := proto.GetExtension(m.Options(), commonv1.E_Policy).(*commonv1.Policy)
	rule, _ := proto.GetExtension(m.Options(), annotations.E_Http).(*annotations.HttpRule)
	c := call{desc: m, policy: policy, body: rule.GetBody() == "*"}
	switch p := rule.GetPattern().(type) {
	case *annotations.HttpRule_Get:
		c.verb, c.path = "get", p.Get
	case *annotations.HttpRule_Post:
		c.verb, c.path = "post", p.Post
	case *annotations.HttpRule_Put:
		c.verb, c.path = "put", p.Put
	case *annotations.HttpRule_Patch:
		c.verb, c.path = "patch", p.Patch
	case *annotations.HttpRule_Delete:
		c.verb, c.path = "delete", p.Delete
	default:
		return fmt.Errorf("%s: no REST path", m.FullName())
	}
	if policy == nil {
		return fmt.Errorf("%s: no policy", m.FullName())
	}
	g.calls = append(g.calls, c)
	reach(m.Input(), g.requests)
	reach(m.Output(), g.responses)
	if m.Output().Fields().ByName(shownFields) != nil {
		for i := range m.Output().Fields().Len() {
			if f := m.Output().Fields().Get(i); f.IsList() && f.Message() != nil {
				g.partial[f.Message().FullName()] = true
			}
		}
	}
	return nil
}

// reach notes a message and all that its fields can hold.
func reach(m protoreflect.MessageDescriptor, found map[protoreflect.FullName]bool) {
	if found[m.FullName()] || wellKnown(m) {
		return
	}
	found[m.FullName()] = true
	for i := range m.Fields().Len() {
		f := m.Fields().Get(i)
		if f.IsMap() {
			f = f.MapValue()
		}
		if f.Message() != nil {
			reach(f.Message(), found)
		}
	}
}

func (g *generator) fail(where protoreflect.Descriptor, format string, args ...any) {
	g.errs = append(g.errs, fmt.Errorf("%s: %s", where.FullName(), fmt.Sprintf(format, args...)))
}

// inPath reports whether the path binds a field.
func (c call) inPath(f protoreflect.FieldDescriptor) bool {
	return strings.Contains(c.path, "{"+string(f.Name())+"}")
}

// comment is the text in front of a declaration, as one paragraph each.
func comment(d protoreflect.Descriptor) string {
	text := d.ParentFile().SourceLocations().ByDescriptor(d).LeadingComments
	var paragraphs []string
	for p := range strings.SplitSeq(text, "\n\n") {
		if p = strings.Join(strings.Fields(p), " "); p != "" {
			paragraphs = append(paragraphs, p)
		}
	}
	return strings.Join(paragraphs, "\n\n")
}
