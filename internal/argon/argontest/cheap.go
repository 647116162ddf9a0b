// Package argontest makes hashing cheap for tests about something else: a
// hundred accounts cost milliseconds then, also under the race detector. What
// guards passwords is tested in internal/auth and, on the real process, in test.
package argontest

import "tenantry/internal/argon"

// Cheap computes t with the least memory and time there is. Only what Cheap
// has made can be compared with it.
func Cheap(t argon.Task) []byte {
	t.Memory, t.Time = 8, 1
	return t.Sum()
}
