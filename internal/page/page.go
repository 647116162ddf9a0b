// Package page is the walk through a list: keyset pages in the order of
// (created_at, id), with an opaque cursor.
//
// The cursor is sealed and bound to its owner and resource, keeps the key at
// full precision, and tells its holder nothing; a cursor of another tenant or
// list is answered like random bytes.
package page

import (
	"encoding/base64"
	"encoding/binary"
	"time"

	"github.com/google/uuid"

	"tenantry/internal/apperr"
	"tenantry/internal/secrets"
)

// Limits of a page.
const (
	DefaultLimit = 20
	MaxLimit     = 100
)

// Request asks for a page.
type Request struct {
	// Limit is 1 to MaxLimit; 0 stands for DefaultLimit.
	Limit int
	// Cursor is Next of the page before; empty for the first.
	Cursor string
}

// Result is a page and the cursor of the one after; empty on the last.
type Result[T any] struct {
	Items []T
	Next  string
}

// Position is where a walk stands: after the row with this key.
type Position struct {
	CreatedAt time.Time
	ID        uuid.UUID
}

// Size answers the rows to show, refusing what is out of bounds.
func (r Request) Size() (int, error) {
	if r.Limit < 0 || r.Limit > MaxLimit {
		return 0, apperr.InvalidField("limit", "int32.gte_lte", "must be 1 to 100, or absent for 20").WithParams("gte", "1", "lte", "100")
	}
	if r.Limit == 0 {
		return DefaultLimit, nil
	}
	return r.Limit, nil
}

// After opens the cursor; nil means the start.
func (r Request) After(key secrets.DataKey, list string) (*Position, error) {
	if r.Cursor == "" {
		return nil, nil
	}
	bad := apperr.New(apperr.Invalid, "CURSOR_INVALID", "cursor: not a next_cursor of this list; leave it out to start again.")
	raw, err := base64.RawURLEncoding.Strict().DecodeString(r.Cursor)
	if err != nil {
		return nil, bad
	}
	k, err := key.Subkey("cursor")
	if err != nil {
		return nil, err
	}
	plain, err := k.Open(raw, list+"/created_at,id")
	if err != nil || len(plain) != 24 {
		return nil, bad
	}
	micros := int64(binary.BigEndian.Uint64(plain)) //nolint:gosec // written by Cut from an int64
	return &Position{CreatedAt: time.UnixMicro(micros).UTC(), ID: uuid.UUID(plain[8:])}, nil
}

// Walk answers one page: it opens the cursor, fetches one row more than the
// page shows, and cuts.
func Walk[T any](r Request, key secrets.DataKey, list string, fetch func(after *Position, limit int) ([]T, error), at func(T) Position) (Result[T], error) {
	size, err := r.Size()
	if err != nil {
		return Result[T]{}, err
	}
	after, err := r.After(key, list)
	if err != nil {
		return Result[T]{}, err
	}
	rows, err := fetch(after, size+1)
	if err != nil {
		return Result[T]{}, err
	}
	return Cut(rows, size, key, list, at)
}

// Cut makes a page of rows fetched with one more than size: the extra row
// only tells that there is a next page.
func Cut[T any](rows []T, size int, key secrets.DataKey, list string, at func(T) Position) (Result[T], error) {
	if len(rows) <= size {
		return Result[T]{Items: rows}, nil
	}
	rows = rows[:size]
	p := at(rows[size-1])
	plain := make([]byte, 24)
	binary.BigEndian.PutUint64(plain, uint64(p.CreatedAt.UnixMicro())) //nolint:gosec // two's complement both ways
	copy(plain[8:], p.ID[:])
	k, err := key.Subkey("cursor")
	if err != nil {
		return Result[T]{}, err
	}
	sealed, err := k.Seal(plain, list+"/created_at,id")
	if err != nil {
		return Result[T]{}, err
	}
	return Result[T]{Items: rows, Next: base64.RawURLEncoding.EncodeToString(sealed)}, nil
}
