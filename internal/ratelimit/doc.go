// Package ratelimit decides whether a request may go on, by GCRA (the leaky
// bucket of ITU-T I.371 as a meter) over several keys at once: an address, a
// tenant, a principal.
//
// # Contract
//
//   - A [Limit] admits in any window at most Burst + Rate × window requests of
//     one key, however calls interleave and over however many processes.
//   - One call asks for all its keys in one round trip: one Lua script, on
//     Redis' own clock, so processes with different clocks agree. Either every
//     key admits the request and is charged, or none is charged.
//   - While Redis is away or slow, a stricter limiter in this process decides:
//     a quarter of each limit, in bounded memory, so up to four processes that
//     fell back together stay within it. Nothing is ever admitted unmetered.
//     Options.Observe says which of the two decided.
//   - A dead Redis costs a few requests [Timeout] each, then one request a
//     second, which tries it again; the others do not wait.
//
// # What can be lost
//
//   - Redis that comes back empty begins with full buckets, and so does the
//     limiter in the process when it takes over: around such an event a window
//     holds at most the sum of both.
//   - A request whose answer from Redis came too late was perhaps charged there
//     and is charged here again: strict, never lenient.
//   - When the process's table is full of keys in use, new keys of a kind share
//     one bucket: somebody who walks through addresses while Redis is away slows
//     newcomers, not those who are there.
//
// The keys share the hash tag {rl}: on a Redis Cluster they live in one slot.
package ratelimit
