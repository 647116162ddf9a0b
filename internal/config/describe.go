package config

import (
	"fmt"
	"net/mail"
	"net/netip"
	"net/url"
	"reflect"
	"strings"
)

// Describe answers every variable with its value in use; secrets show as
// "[redacted]", absent ones as nothing.
func (c Config) Describe() []Setting {
	v := reflect.ValueOf(c)
	var out []Setting
	for i := range v.NumField() {
		name, ok := v.Type().Field(i).Tag.Lookup("env")
		if !ok {
			continue
		}
		out = append(out, Setting{Name: Prefix + name, Value: show(v.Field(i).Interface())})
	}
	return out
}

func show(value any) string {
	switch v := value.(type) {
	case url.URL:
		return v.String()
	case mail.Address:
		if v.Address == "" {
			return ""
		}
		return v.String()
	case []string:
		return strings.Join(v, ",")
	case []netip.Prefix:
		texts := make([]string, len(v))
		for i, p := range v {
			texts[i] = p.String()
		}
		return strings.Join(texts, ",")
	}
	return fmt.Sprint(value)
}
