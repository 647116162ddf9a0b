// Package clock is the time that rules use, so a test can move it.
package clock

import "time"

// Clock answers the current time in UTC, with microseconds: what Postgres
// keeps, so a value read back equals the value written.
type Clock func() time.Time

// System is the machine's clock.
func System() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }
