package pools

import (
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
)

var (
	// ErrBudget is what every [*BudgetError] unwraps to.
	ErrBudget = errors.New("pools: connection budget exhausted")
	// ErrRetired refuses a key that Forget or a newer revision has retired. The
	// caller resolves the tenant again; with the same key it may meet it again.
	ErrRetired = errors.New("pools: key retired")
	// ErrClosed refuses every lease once Close was called.
	ErrClosed = errors.New("pools: manager closed")
)

// BudgetError says that no connection of the budget became free in time.
// Nothing was done: the call can be repeated after RetryAfter.
type BudgetError struct {
	RetryAfter time.Duration
}

func (e *BudgetError) Error() string {
	return fmt.Sprintf("%v; retry after %s", ErrBudget, e.RetryAfter)
}

// Unwrap makes errors.Is(err, ErrBudget) true.
func (e *BudgetError) Unwrap() error { return ErrBudget }

// OpenError says that a tenant's pool could not be opened. Everyone who waited
// for that open gets the same value. Test for it before testing for context
// errors: an open that ran into OpenTimeout unwraps to
// context.DeadlineExceeded although no caller's deadline passed.
//
// Its text may name host, role and database, never a password: it is for the
// log.
type OpenError struct {
	Tenant uuid.UUID
	Err    error
}

func (e *OpenError) Error() string {
	return fmt.Sprintf("pools: open tenant %s: %v", e.Tenant, e.Err)
}

func (e *OpenError) Unwrap() error { return e.Err }
