package knock

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// Methods lists the product's RPCs that this binary knows, by name. A program
// that wants all of them imports tenantry/api.
func Methods() []protoreflect.MethodDescriptor {
	var out []protoreflect.MethodDescriptor
	protoregistry.GlobalFiles.RangeFiles(func(f protoreflect.FileDescriptor) bool {
		if !strings.HasPrefix(string(f.Package()), "tenantry.") {
			return true
		}
		for i := range f.Services().Len() {
			all := f.Services().Get(i).Methods()
			for j := range all.Len() {
				out = append(out, all.Get(j))
			}
		}
		return true
	})
	slices.SortFunc(out, func(a, b protoreflect.MethodDescriptor) int {
		return strings.Compare(string(a.FullName()), string(b.FullName()))
	})
	return out
}

// Method finds an RPC by its full name.
func Method(name protoreflect.FullName) (protoreflect.MethodDescriptor, error) {
	d, err := protoregistry.GlobalFiles.FindDescriptorByName(name)
	if err != nil {
		return nil, err
	}
	m, ok := d.(protoreflect.MethodDescriptor)
	if !ok {
		return nil, fmt.Errorf("%s is no RPC", name)
	}
	return m, nil
}

// Procedure is an RPC's path at the Connect and gRPC doors.
func Procedure(m protoreflect.MethodDescriptor) string {
	return "/" + string(m.Parent().FullName()) + "/" + string(m.Name())
}

// Route is where an RPC is served over REST: its verb, the path with its
// {fields}, and whether the other fields travel in the body.
func Route(m protoreflect.MethodDescriptor) (verb, path string, body bool) {
	rule, _ := proto.GetExtension(m.Options(), annotations.E_Http).(*annotations.HttpRule)
	switch p := rule.GetPattern().(type) {
	case *annotations.HttpRule_Get:
		verb, path = http.MethodGet, p.Get
	case *annotations.HttpRule_Post:
		verb, path = http.MethodPost, p.Post
	case *annotations.HttpRule_Patch:
		verb, path = http.MethodPatch, p.Patch
	case *annotations.HttpRule_Delete:
		verb, path = http.MethodDelete, p.Delete
	}
	return verb, path, rule.GetBody() == "*"
}

var pathField = regexp.MustCompile(`\{([a-z_]+)\}`)

// Request writes a message as the request of the REST door; body is nil where
// the fields travel in path and query.
func Request(m protoreflect.MethodDescriptor, in proto.Message) (verb, path string, body []byte, err error) {
	verb, path, inBody := Route(m)
	rest := proto.Clone(in).ProtoReflect()
	for _, found := range pathField.FindAllStringSubmatch(path, -1) {
		f := rest.Descriptor().Fields().ByName(protoreflect.Name(found[1]))
		path = strings.ReplaceAll(path, found[0], url.PathEscape(rest.Get(f).String()))
		rest.Clear(f)
	}
	if inBody {
		body, err = protojson.MarshalOptions{UseProtoNames: true}.Marshal(rest.Interface())
		return verb, path, body, err
	}
	q := url.Values{}
	rest.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if f.IsList() {
			for i := range v.List().Len() {
				q.Add(string(f.Name()), v.List().Get(i).String())
			}
			return true
		}
		q.Set(string(f.Name()), v.String())
		return true
	})
	if len(q) > 0 {
		path += "?" + q.Encode()
	}
	return verb, path, nil, nil
}
