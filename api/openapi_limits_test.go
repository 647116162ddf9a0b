package api

import (
	"testing"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Written against the rules themselves, not against the writer of the document.
func TestDocument_CarriesEveryLimitOfEveryRequest(t *testing.T) {
	t.Parallel()
	s, checked := wired(t), 0
	for procedure, c := range documentOf(t, s).calls {
		fields := s.methods[procedure].desc.Input().Fields()
		for i := range fields.Len() {
			f := fields.Get(i)
			rules, _ := proto.GetExtension(f.Options(), validate.E_Field).(*validate.FieldRules)
			if rules == nil || f.Message() != nil {
				continue
			}
			schema := documentedField(c, f)
			require.NotNil(t, schema, "%s: %s is not documented", procedure, f.Name())
			where := procedure + " " + string(f.Name())
			if n := rules.GetString().GetMaxLen(); n > 0 {
				require.NotNil(t, schema.MaxLength, where)
				require.Equal(t, n, *schema.MaxLength, where)
				checked++
			}
			if n := rules.GetString().GetMinLen(); n > 0 {
				require.Equal(t, n, schema.MinLength, where)
				checked++
			}
			if p := rules.GetString().GetPattern(); p != "" {
				require.Equal(t, p, schema.Pattern, where)
				checked++
			}
			if rules.GetInt32() != nil && rules.GetInt32().HasLte() {
				require.NotNil(t, schema.Max, where)
				require.InDelta(t, rules.GetInt32().GetLte(), *schema.Max, 0, where)
				checked++
			}
			if n := rules.GetRepeated().GetMaxItems(); n > 0 {
				require.Equal(t, n, *schema.MaxItems, where)
				require.Equal(t, rules.GetRepeated().GetMinItems(), schema.MinItems, where)
				require.Equal(t, rules.GetRepeated().GetUnique(), schema.UniqueItems, where)
				checked++
			}
		}
	}
	require.Greater(t, checked, 40)
}

// documentedField is a field of a request, in its body or as a parameter.
func documentedField(c documentedCall, f protoreflect.FieldDescriptor) *openapi3.Schema {
	if c.op.RequestBody != nil {
		body := c.op.RequestBody.Value.Content["application/json"].Schema.Value
		if p := body.Properties[string(f.Name())]; p != nil {
			return p.Value
		}
	}
	for _, p := range c.op.Parameters {
		if p.Value.Name == string(f.Name()) && p.Value.In != "header" {
			return p.Value.Schema.Value
		}
	}
	return nil
}
