package connections

import (
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
)

var (
	// ErrBudget is what every [*BudgetError] unwraps to.
	ErrBudget = errors.New("connections: none became free")
	// ErrClosed refuses every caller once Close was called.
	ErrClosed = errors.New("connections: closed")
)

// retryAfter is when a refused caller may come again.
const retryAfter = time.Second

// BudgetError says that the caller got no connection: too many callers of its
// tenant wait already, or nothing moved for Options.Stall. Nothing was done: the
// call can be repeated after RetryAfter.
type BudgetError struct {
	RetryAfter time.Duration
}

func (e *BudgetError) Error() string {
	return fmt.Sprintf("%v; retry after %s", ErrBudget, e.RetryAfter)
}

// Unwrap makes errors.Is(err, ErrBudget) true.
func (e *BudgetError) Unwrap() error { return ErrBudget }

// OpenError says that no connection to a tenant's database could be opened.
// Everyone who waited for that open gets the same value. Test for it before
// testing for context errors: an open that ran into OpenTimeout unwraps to
// context.DeadlineExceeded although no caller's deadline passed.
//
// Its text may name host, role and database, never a password: it is for the
// log.
type OpenError struct {
	Tenant uuid.UUID
	Err    error
}

func (e *OpenError) Error() string {
	return fmt.Sprintf("connections: open tenant %s: %v", e.Tenant, e.Err)
}

func (e *OpenError) Unwrap() error { return e.Err }
