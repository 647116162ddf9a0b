package lists

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/google/uuid"

	"tenantry/internal/apperr"
	"tenantry/internal/secrets"
)

// infinity is null among times, for Postgres.
const infinity = "infinity"

// Kinds of values in a cursor.
const (
	cursorText byte = iota + 1
	cursorInt
	cursorBool
	cursorTime
	cursorNull
	cursorUUID
)

// open reads the cursor. It is sealed under the owner's key for this list,
// sort, filter and search, and tells its holder nothing; one of another
// tenant or question is answered like random bytes.
func (q *Query) open(cursor string) error {
	if cursor == "" {
		return nil
	}
	bad := apperr.New(apperr.Invalid, "CURSOR_INVALID", "cursor: not a next_cursor of this list with this filter, sort and q; leave it out to start again.")
	bad.Fields = []apperr.Field{{Path: "cursor", Rule: "cursor.unknown", Message: "must be the next_cursor of the page before, or absent"}}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	if err != nil {
		return bad
	}
	k, err := q.cursorKey()
	if err != nil {
		return err
	}
	plain, err := k.Open(raw, q.binding)
	if err != nil {
		return bad
	}
	if q.after, err = decode(plain); err != nil || len(q.after) != len(q.terms()) {
		return bad // sealed by us, so another version's
	}
	return nil
}

func (q *Query) cursorKey() (secrets.Key, error) { return q.key.Subkey("cursor") }

// seal writes the cursor of a position.
func (q *Query) seal(at []any) (string, error) {
	var plain []byte
	for _, v := range at {
		var err error
		if plain, err = encode(plain, v); err != nil {
			return "", err
		}
	}
	k, err := q.cursorKey()
	if err != nil {
		return "", err
	}
	sealed, err := k.Seal(plain, q.binding)
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(sealed), nil
}

// encode keeps full precision: a cursor of whole seconds would repeat the
// rows of its second.
func encode(to []byte, value any) ([]byte, error) {
	switch v := value.(type) {
	case string:
		return append(binary.AppendUvarint(append(to, cursorText), uint64(len(v))), v...), nil
	case int64:
		return binary.AppendVarint(append(to, cursorInt), v), nil
	case bool:
		if v {
			return append(to, cursorBool, 1), nil
		}
		return append(to, cursorBool, 0), nil
	case time.Time:
		return binary.AppendVarint(append(to, cursorTime), v.UnixMicro()), nil
	case nil:
		return append(to, cursorNull), nil
	case uuid.UUID:
		return append(append(to, cursorUUID), v[:]...), nil
	}
	return nil, fmt.Errorf("a %T cannot be in a cursor", value)
}

func decode(plain []byte) ([]any, error) {
	var out []any
	for len(plain) > 0 {
		kind := plain[0]
		plain = plain[1:]
		var v any
		size := 0
		switch kind {
		case cursorText:
			n, used := binary.Uvarint(plain)
			if used <= 0 || n > uint64(len(plain)-used) {
				return nil, fmt.Errorf("cut text")
			}
			size = used + int(n) //nolint:gosec // not above the length of plain
			v = string(plain[used:size])
		case cursorInt, cursorTime:
			var n int64
			n, size = binary.Varint(plain)
			if v = n; kind == cursorTime {
				v = time.UnixMicro(n).UTC()
			}
		case cursorBool:
			if size = 1; len(plain) > 0 {
				v = plain[0] == 1
			}
		case cursorNull:
			out = append(out, infinity)
			continue
		case cursorUUID:
			if size = 16; len(plain) >= size {
				v = uuid.UUID(plain[:size])
			}
		}
		if v == nil || size <= 0 || size > len(plain) {
			return nil, fmt.Errorf("no value of kind %d", kind)
		}
		out, plain = append(out, v), plain[size:]
	}
	return out, nil
}
