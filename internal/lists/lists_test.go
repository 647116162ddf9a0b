package lists

import (
	"testing"
	"time"

	"entgo.io/ent"
	"entgo.io/ent/schema"
	"entgo.io/ent/schema/field"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"tenantry/ent/annotations"
)

// table is a schema of a test, with an id.
type table struct {
	ent.Schema
	fields []ent.Field
}

func (s table) Fields() []ent.Field {
	return append([]ent.Field{field.UUID("id", uuid.UUID{}).Annotations(annotations.Listed().Filter().Sort())}, s.fields...)
}

func with(f interface{ Descriptor() *field.Descriptor }, a ...schema.Annotation) ent.Field {
	f.Descriptor().Annotations = append(f.Descriptor().Annotations, a...)
	return f
}

func TestDerive_NeverListsASecretWhateverIsAnnotated(t *testing.T) {
	t.Parallel()
	listed := annotations.Listed()
	for why, f := range map[string]ent.Field{
		"a secret is never listed":   with(field.String("password_hash"), annotations.Personally(annotations.Secret), listed),
		"secret is never listed":     with(field.String("token").Sensitive(), listed.Filter()),
		"is never listed":            with(field.String("name"), annotations.Personally(annotations.Sealed), listed),
		"a []byte cannot be listed":  with(field.Bytes("hash"), listed),
		"a list can only show JSON":  with(field.JSON("scopes", []string{}), listed.Filter()),
		"can only show JSON":         with(field.JSON("scopes", []string{}), listed.Sort()),
		"only times are sortable":    with(field.String("nick").Optional(), listed.Sort()),
		"nullable fields only times": with(field.Int64("rank").Optional(), listed.Sort()),
		"a float64 cannot be listed": with(field.Float("score"), listed),
	} {
		_, err := Derive(table{fields: []ent.Field{f}}, Options{Name: "things", Sort: "id"})
		require.ErrorContains(t, err, why)
		require.Panics(t, func() { MustDerive(table{fields: []ent.Field{f}}, Options{Name: "things", Sort: "id"}) })
	}
	r, err := Derive(table{fields: []ent.Field{
		field.String("password_hash").Annotations(annotations.Personally(annotations.Secret)), field.String("name").Annotations(listed),
	}}, Options{Name: "things", Sort: "-id"})
	require.NoError(t, err)
	require.Equal(t, []string{"id", "name"}, r.names(func(*Field) bool { return true }), "what is not annotated is not there")
	_, err = Derive(table{}, Options{Name: "things", Sort: "name"})
	require.ErrorContains(t, err, "no sort key")
}

func TestCursor_KeepsEveryValueWhole(t *testing.T) {
	t.Parallel()
	value := rapid.OneOf(
		rapid.Map(rapid.String(), func(s string) any { return s }),
		rapid.Map(rapid.Int64(), func(n int64) any { return n }),
		rapid.Map(rapid.Bool(), func(b bool) any { return b }),
		rapid.Map(rapid.Int64Range(-62135596800000000, 253402300799999999), func(n int64) any { return time.UnixMicro(n).UTC() }),
		rapid.Map(rapid.Just(0), func(int) any { return uuid.New() }),
		rapid.Map(rapid.Just(0), func(int) any { return nil }),
	)
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.SliceOfN(value, 0, 4).Draw(t, "values")
		var plain []byte
		var err error
		for _, v := range want {
			plain, err = encode(plain, v)
			require.NoError(t, err)
		}
		got, err := decode(plain)
		require.NoError(t, err)
		require.Len(t, got, len(want))
		for i := range want {
			if want[i] == nil {
				want[i] = infinity
			}
			require.Equal(t, want[i], got[i])
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		_, _ = decode(rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "noise")) // does not panic
	})
	_, err := encode(nil, 1.5)
	require.Error(t, err)
}

func TestLikeness_GrantsShortWordsMore(t *testing.T) {
	t.Parallel()
	for want, words := range map[string][]string{
		"0.30": {"smiht"}, "0.33": {"alexnader"}, "0.50": {"jonhatan", "miminton"}, "0.44": {"john", "kobason"},
	} {
		require.Equal(t, want, likeness(words), words)
	}
}
