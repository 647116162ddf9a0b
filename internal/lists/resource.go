package lists

import (
	"fmt"
	"maps"
	"slices"

	"entgo.io/ent"
	"entgo.io/ent/schema/field"

	"tenantry/ent/annotations"
)

// Type is what a field holds.
type Type string

// Types.
const (
	Text Type = "text"
	UUID Type = "UUID"
	Int  Type = "integer"
	Bool Type = "boolean"
	Time Type = "time"
	Enum Type = "enum"
	// JSON can be shown and no more.
	JSON Type = "JSON"
)

// Field is one entry of a whitelist.
type Field struct {
	Name                           string
	Type                           Type
	Nullable, Filterable, Sortable bool
	// Values of an Enum.
	Values []string
	// columns are what it is made of: one, but for computed fields.
	columns []string
}

func (f *Field) column() string { return f.columns[0] }

// Resource is a list with its whitelist.
type Resource struct {
	name   string
	table  string
	fields []*Field
	// id ends every order; a list need not show it.
	id       *Field
	includes []string
	sort     []Key
	search   *Search
}

// Options are what annotations do not say of a list.
type Options struct {
	// Name is bound into cursors.
	Name string
	// Table in the database.
	Table string
	// Sort is the order when none is asked for: "-created_at".
	Sort string
	// Includes are the names that include may hold.
	Includes []string
	// Computed are fields made of columns, by name.
	Computed map[string][]string
	// Search makes q work.
	Search *Search
}

// Derive reads a whitelist from the annotations of an ent schema: the one
// source of what lists may do. It refuses to answer one that would show a
// credential or something that Postgres cannot compare as promised.
func Derive(schema ent.Interface, o Options) (*Resource, error) {
	r := &Resource{name: o.Name, table: o.Table, includes: o.Includes, search: o.Search}
	var fields []ent.Field
	for _, m := range schema.Mixin() {
		fields = append(fields, m.Fields()...)
	}
	for _, f := range append(fields, schema.Fields()...) {
		d := f.Descriptor()
		found, err := derive(d)
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", o.Name, err)
		}
		if found != nil {
			r.fields = append(r.fields, found)
		}
		if d.Name == "id" && d.Info.Type == field.TypeUUID {
			if r.id = found; found == nil {
				r.id = &Field{Name: "id", Type: UUID, columns: []string{"id"}}
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(o.Computed)) {
		r.fields = append(r.fields, &Field{Name: name, Type: JSON, columns: o.Computed[name]})
	}
	if r.id == nil {
		return nil, fmt.Errorf("list %s: there is no id of type UUID to end an order", o.Name)
	}
	var err error
	if r.sort, err = r.parseSort(o.Sort); err != nil {
		return nil, fmt.Errorf("list %s: %w", o.Name, err)
	}
	return r, nil
}

// MustDerive is Derive for package variables: a mistake ends the start.
func MustDerive(schema ent.Interface, o Options) *Resource {
	r, err := Derive(schema, o)
	if err != nil {
		panic(err)
	}
	return r
}

func derive(d *field.Descriptor) (*Field, error) {
	listed, personal := annotated(d)
	if listed == nil {
		return nil, nil
	}
	f := &Field{
		Name: d.Name, Nullable: d.Optional, Filterable: listed.Filterable, Sortable: listed.Sortable,
		Values: listed.Values, columns: []string{d.Name},
	}
	if d.StorageKey != "" {
		f.columns[0] = d.StorageKey
	}
	switch d.Info.Type {
	case field.TypeString:
		f.Type = Text
		if len(f.Values) > 0 {
			f.Type = Enum
		}
	case field.TypeUUID:
		f.Type = UUID
	case field.TypeInt, field.TypeInt32, field.TypeInt64:
		f.Type = Int
	case field.TypeBool:
		f.Type = Bool
	case field.TypeTime:
		f.Type = Time
	case field.TypeJSON:
		f.Type = JSON
	default:
		return nil, fmt.Errorf("%s: a %s cannot be listed", d.Name, d.Info.Type)
	}
	switch {
	case personal == annotations.Secret || personal == annotations.Sealed || d.Sensitive:
		return nil, fmt.Errorf("%s: a secret is never listed", d.Name)
	case f.Type == JSON && (f.Filterable || f.Sortable):
		return nil, fmt.Errorf("%s: a list can only show JSON", d.Name)
	case f.Sortable && f.Nullable && f.Type != Time:
		// Null sorts as infinity, which only times have.
		return nil, fmt.Errorf("%s: of nullable fields only times are sortable", d.Name)
	}
	return f, nil
}

func annotated(d *field.Descriptor) (*annotations.Listing, annotations.Class) {
	var listed *annotations.Listing
	var class annotations.Class
	for _, a := range d.Annotations {
		switch a := a.(type) {
		case annotations.Listing:
			listed = &a
		case annotations.Personal:
			class = a.Class
		}
	}
	return listed, class
}

// Name of the list.
func (r *Resource) Name() string { return r.name }

// Table it reads.
func (r *Resource) Table() string { return r.table }

// Fields is the whitelist.
func (r *Resource) Fields() []Field {
	out := make([]Field, len(r.fields))
	for i, f := range r.fields {
		out[i] = *f
	}
	return out
}

// Includes that may be asked for.
func (r *Resource) Includes() []string { return slices.Clone(r.includes) }

func (r *Resource) field(name string) *Field {
	for _, f := range r.fields {
		if f.Name == name {
			return f
		}
	}
	return nil
}

func (r *Resource) names(which func(*Field) bool) []string {
	var out []string
	for _, f := range r.fields {
		if which(f) {
			out = append(out, f.Name)
		}
	}
	return out
}
