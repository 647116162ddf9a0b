// Package fleet runs two API processes on one Postgres and one Redis, makes
// many tenants through the signed hook and the real worker, and asks them all:
// first a few often, most of them rarely (Zipf), reads and writes, at a
// concurrency within the budget of connections; then all of them as often, at a
// fixed pace that no slow answer holds up.
//
// Two things must hold. No request fails. And the server never has more
// connections than the processes may hold together: each tenant within its share,
// all within the budget, and the pool of the central database; it is
// asked all the time, from the first order to the last answer.
package fleet
