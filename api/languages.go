package api

import (
	"fmt"
	"strings"

	"buf.build/go/protovalidate"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/reflect/protoreflect"

	"tenantry/internal/i18n"
)

func localized(l i18n.Locale, text string) *errdetails.LocalizedMessage {
	return &errdetails.LocalizedMessage{Locale: string(l), Message: text}
}

// notParams are settings of a rule that tell a person nothing.
var notParams = map[protoreflect.Name]bool{"pattern": true, "example": true, "cel": true}

// ruleParams are the limits of the broken rule by their names in the schema,
// and those beside it: "int32.gte_lte" needs both ends, the violation has one.
func ruleParams(v *protovalidate.Violation) map[string]string {
	params := map[string]string{}
	put := func(f protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		switch {
		case notParams[f.Name()] || f.Message() != nil || f.IsMap():
		case f.IsList():
			params[string(f.Name())] = listed(value.List())
		default:
			params[string(f.Name())] = fmt.Sprint(value.Interface())
		}
		return true
	}
	if v.RuleDescriptor != nil && v.RuleValue.IsValid() {
		put(v.RuleDescriptor, v.RuleValue)
	}
	if m := rulesAround(v); m != nil {
		m.Range(put)
	}
	return params
}

// rulesAround are the rules that the broken one stands among, nil for an item
// of a list, whose field the violation does not tell.
func rulesAround(v *protovalidate.Violation) protoreflect.Message {
	if v.FieldDescriptor == nil {
		return nil
	}
	rules, err := protovalidate.ResolveFieldRules(v.FieldDescriptor)
	if err != nil || rules == nil {
		return nil
	}
	m, path := rules.ProtoReflect(), v.Proto.GetRule().GetElements()
	for i := range len(path) - 1 {
		f := m.Descriptor().Fields().ByName(protoreflect.Name(path[i].GetFieldName()))
		if f == nil || f.Message() == nil || f.IsList() || f.IsMap() {
			return nil
		}
		m = m.Get(f).Message()
	}
	return m
}

// listed leaves the empty value out: it stands for leaving the field out.
func listed(values protoreflect.List) string {
	var out []string
	for i := range values.Len() {
		if text := fmt.Sprint(values.Get(i).Interface()); text != "" {
			out = append(out, text)
		}
	}
	return strings.Join(out, ", ")
}
