// Package pools leases one connection pool per tenant and keeps the server
// connections of this process under a budget.
//
// # Contract
//
//   - A pool belongs to a [Key]: tenant, endpoint and credential revision. It is
//     opened once however many callers ask for it together; they share the
//     outcome, and a failed open leaves nothing behind.
//   - A [Lease] keeps its pool from being closed, so no query ever meets an
//     evicted pool. Connections taken from the pool go back before Release.
//   - A pool reserves Options.Share connections of Options.Budget from before it
//     is opened until its Close has returned and the server has hung up, so the
//     server never sees more than Budget connections of this manager.
//   - When the budget is taken, the least recently used pool without a lease is
//     closed in the background for whoever waits. Waiting tenants are served in
//     the order they came. A caller not served within Options.Wait gets a
//     [*BudgetError]: retryable, nothing was done.
//   - Nothing runs by the clock for an idle tenant: a pool idle longer than
//     Options.IdleTimeout is closed when the next Acquire, of any tenant, passes by.
//
// # What can be lost
//
//   - A tenant whose leases always overlap keeps its pool; the budget bounds how
//     many such tenants one process serves, and the others get a [*BudgetError].
//   - A server that does not hang up within hangUpGrace is no longer counted,
//     though its backend may still live there: behind a dead network or a frozen
//     server the budget is a promise about this process only. A backend that
//     runs a query notices by client_connection_check_interval, which is set on
//     every connection; where Configure turns it off, such a query runs on
//     uncounted. A pooler in between must pass that parameter on.
//   - A query cancelled by its context holds its connection's place until the
//     backend is gone. A backend deaf to the cancel request is cut off after
//     about three seconds; what its transaction did is rolled back.
//   - A connection hijacked from a pool, or kept after Release, is outside the
//     contract: the first is not counted, the second holds its pool's
//     reservation until it comes back.
//   - Forget acts on what is open or under way. An Acquire whose caller resolved
//     the tenant earlier and arrives later opens again: the server's own refusal
//     (no CONNECT, no LOGIN, other password) is what ends a tenant's access.
//   - Close that ran out of its context closes pools under their leases.
package pools
